"""
Names that a wildcard in service covers: one job, and a thousand at once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.certificates import stored
from bench.figures import Figure, progress
from bench.worlds import PATIENCE_SECONDS, Worker, worker
from certworker.state.domain_records import DomainRecords
from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.config import TraefikConfig
from tests.servers.development import development_authority
from tests.servers.ports import free_port

TITLE = "covered names"
NOTE = (
    "covered names: a wildcard is in service. One warm job at a time, from RPUSH to its record, median of "
    "50. Then 1,000 names on the queue at once, with 16 slots, from the first RPUSH to the last record."
)

BASE = "covered.localhost"
ONE_BY_ONE = 50
AT_ONCE = 1_000
SLOTS = 16

#: The pause between two searches for a record.
PAUSE_SECONDS = 0.001


def measure(place: Path) -> list[Figure]:
    """
    Return the milliseconds of a job, the names per second, and the requests to the CA.
    """
    port = free_port()
    with (
        development_authority(place, http01_port=port) as authority,
        worker(
            place / "worker", directory_url=authority.directory_url, http_port=port, slots=SLOTS
        ) as running,
    ):
        volume = CertificateStore(place / "worker" / "certificates")
        for wildcard in stored(volume, [f"*.{BASE}"], datetime.now(UTC)):
            TraefikConfig(place / "worker" / "config").publish(wildcard)
        before = len(authority.requests)
        progress(f"{TITLE}: {ONE_BY_ONE} one by one, {AT_ONCE} at once")
        one = median(_seconds(running, [f"one{number}.{BASE}"]) for number in range(ONE_BY_ONE))
        all_of_them = _seconds(running, [f"all{number}.{BASE}" for number in range(AT_ONCE)])
        requests = len(authority.requests) - before
    return [
        Figure(TITLE, "one warm job", 1000 * one, "ms", 10),
        Figure(TITLE, "1,000 at once", AT_ONCE / all_of_them, "names/s", 200, "above"),
        Figure(TITLE, "requests to the CA", requests, "", 0),
    ]


def _seconds(running: Worker, names: Sequence[str]) -> float:
    records, began = DomainRecords(running.connection), time.perf_counter()
    running.request(names)
    left = list(names)
    while left:
        if time.perf_counter() - began > PATIENCE_SECONDS:
            raise TimeoutError(f"{len(left)} names are not covered, among them {left[0]}")
        # A search for all names would use the processor time of the worker.
        found = next(records.read_many(left[-1:]))
        if found and found.state == "covered":
            left.pop()
        else:
            time.sleep(PAUSE_SECONDS)
    return time.perf_counter() - began
