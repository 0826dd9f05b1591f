"""
Tests of the maintenance of the volume of a mirror.
"""

from __future__ import annotations

from datetime import datetime

import pytest

from certworker.replication import upkeep
from certworker.replication.upkeep import Upkeep
from certworker.storage.certificate_store import KEPT_GENERATIONS, CertificateStore
from certworker.storage.inventory import Inventory, take_inventory
from certworker.traefik.config import TraefikConfig
from certworker.traefik.shards import shards_in
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


def test_shards_are_repaired(origin: Origin, mirror: Mirror) -> None:
    """
    The repair moves files to shards, and writes a shard again after another program has changed it.
    """
    stored = origin.issue(A, token=5)
    mirror.follow()
    mirror.traefik = TraefikConfig(mirror.directory / "config", layout="sharded")
    loop = Upkeep(mirror.store, mirror.traefik, now_in_utc)

    loop.repair()

    (shard,) = mirror.traefik.directory.glob("*.yml")
    assert shards_in([shard.name])
    shard.write_bytes(shard.read_bytes()[:-20])
    assert not mirror.serves(A, stored)
    loop.repair()
    assert [shard] == list(mirror.traefik.directory.glob("*.yml"))
    assert mirror.serves(A, stored)


def test_a_concurrent_removal_is_not_undone(
    origin: Origin, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A name that is removed between the inventory and the repair is not served again.
    """
    origin.issue(A, token=5)
    mirror.follow()

    def inventory_before_the_removal(store: CertificateStore, now: datetime) -> Inventory:
        found = take_inventory(store, now)
        origin.store.remove(A)
        assert ["removed"] == mirror.follow()
        return found

    monkeypatch.setattr(upkeep, "take_inventory", inventory_before_the_removal)

    Upkeep(mirror.store, mirror.traefik, now_in_utc).repair()

    assert mirror.traefik.files(A) is None


def test_old_generations_are_removed(origin: Origin, mirror: Mirror) -> None:
    """
    A mirror keeps as many generations of a name as a worker.
    """
    for token in range(1, KEPT_GENERATIONS + 4):
        stored = origin.issue(A, token=token)
    mirror.follow()

    Upkeep(mirror.store, mirror.traefik, now_in_utc).prune()

    assert KEPT_GENERATIONS == len(mirror.store.links.complete_generations())
    assert mirror.serves(A, stored)
