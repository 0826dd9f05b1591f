"""
The repair of the files in service, for all names of a volume, without the CA.
"""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Figure, progress
from bench.worlds import redis_server
from certworker.renewal.agenda import Agenda
from certworker.renewal.repair import Repair
from certworker.state.priority_queues import PriorityQueues
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import LIVE
from certworker.traefik.config import TraefikConfig
from tests.storage.authority import Signer

TITLE = "repair"
NOTE = (
    "repair: 10,000 names, each with its own certificate, as a worker repairs them at its start and every "
    "hour. No request goes to a CA. The limits: a minute after a loss, and 5 s without damage."
)

NAMES = 10_000
PROGRESS_EVERY = 2_000


def measure(place: Path) -> list[Figure]:
    """
    Return the seconds of a repair after different losses.
    """
    store, traefik = CertificateStore(place / "certificates"), TraefikConfig(place / "config")
    _fill(store)
    with redis_server(place / "redis") as redis, redis.client() as connection:
        repair = Repair(
            store,
            traefik,
            Agenda(connection),
            PriorityQueues(connection),
            is_held=lambda _name: False,
            clock=lambda: datetime.now(UTC),
        )
        all_files = _seconds(repair, "all files of Traefik are missing", NAMES)
        nothing = _seconds(repair, "nothing is damaged", 0)
        shutil.rmtree(store.directory / LIVE)
        links = _seconds(repair, "all live links are missing", NAMES)
    return [
        Figure(TITLE, f"{NAMES:,} names, all files of Traefik missing", all_files, "s", 60),
        Figure(TITLE, f"{NAMES:,} names, all live links missing", links, "s", 60),
        Figure(TITLE, f"{NAMES:,} names, nothing damaged", nothing, "s", 5),
    ]


def _fill(store: CertificateStore) -> None:
    signer = Signer()
    for number in range(NAMES):
        if number % PROGRESS_EVERY == 0:
            progress(f"{TITLE}: storing {NAMES} certificates, {number} are stored")
        certificate = signer.certificate(f"shop{number:05}.example.org")
        store.mark_published(store.store(certificate, authority="bench", kind="private", token=1))


def _seconds(repair: Repair, damage: str, expected: int) -> float:
    progress(f"{TITLE}: {damage}")
    began = time.monotonic()
    repaired = repair.repair()
    took = time.monotonic() - began
    if repaired != expected:
        raise RuntimeError(f"{damage}: {repaired} names were repaired instead of {expected}")
    return took
