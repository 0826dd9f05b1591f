"""
Tests of the maintenance of the volume of a mirror.
"""

from __future__ import annotations

from certworker.replication.upkeep import Upkeep
from certworker.storage.certificate_store import KEPT_GENERATIONS
from certworker.validity import now_in_utc
from tests.replication.hosts import Mirror, Origin

A = "a.example.org"


def test_damaged_files_are_repaired(origin: Origin, mirror: Mirror) -> None:
    """
    A lost file of Traefik returns.
    """
    stored = origin.issue(A, token=5)
    mirror.follow()
    (mirror.traefik.directory / f"{A}.yml").unlink()

    Upkeep(mirror.store, mirror.traefik, now_in_utc).repair()

    assert mirror.serves(A, stored)


def test_old_generations_are_removed(origin: Origin, mirror: Mirror) -> None:
    """
    A mirror keeps as many generations of a name as a worker.
    """
    for token in range(1, KEPT_GENERATIONS + 4):
        stored = origin.issue(A, token=token)
    mirror.follow()

    Upkeep(mirror.store, mirror.traefik, now_in_utc).repair()

    assert KEPT_GENERATIONS == len(mirror.store.generations())
    assert mirror.serves(A, stored)
