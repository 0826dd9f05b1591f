"""
The memory of 64 slots that wait for a slow CA.
"""

from __future__ import annotations

import time
from pathlib import Path

from bench.figures import Figure, progress
from bench.processes import tree_bytes
from bench.worlds import PATIENCE_SECONDS, worker
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port

TITLE = "64 slots at a slow CA"
NOTE = (
    "64 slots at a slow CA: PSS of the worker's process tree, in megabytes of 10⁶ bytes. The CA is the "
    "development CA, which runs in the process of the benchmark and delays each validation."
)

NAMES = [f"slot{number}.localhost" for number in range(64)]

#: The delay of a validation, in which all slots become busy.
VALIDATION_SECONDS = 15.0


def measure(place: Path) -> list[Figure]:
    """
    Return the memory of a worker after one certificate, with all slots busy, and after 65 certificates.
    """
    http_port = free_port()
    with (
        FaultyAuthority(place / "authority", http01_port=http_port) as authority,
        worker(
            place, directory_url=authority.directory_url, http_port=http_port, slots=len(NAMES)
        ) as certworker,
    ):
        idle = tree_bytes(certworker.process.pid)
        authority.faults.validation_seconds = VALIDATION_SECONDS
        progress(f"{TITLE}: waiting for all to be taken")
        certworker.request(NAMES)
        _wait_until_all_wait(authority)
        waiting = tree_bytes(certworker.process.pid)
        progress(f"{TITLE}: waiting for the CA")
        certworker.wait_for(NAMES)
        afterwards = tree_bytes(certworker.process.pid)
    return [
        Figure(TITLE, "idle", idle / 1e6, "MB", 55),
        Figure(TITLE, "all waiting", waiting / 1e6, "MB", 65),
        Figure(TITLE, "afterwards", afterwards / 1e6, "MB", 65),
    ]


def _wait_until_all_wait(authority: FaultyAuthority) -> None:
    deadline = time.monotonic() + min(VALIDATION_SECONDS, PATIENCE_SECONDS)
    waiting_names: set[str] = set()
    while not waiting_names.issuperset(NAMES):
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {len(waiting_names)} of {len(NAMES)} slots wait for the CA")
        time.sleep(0.1)
        waiting_names = {
            name for asked in authority.requests if asked.kind == "challenge" for name in asked.names
        }
