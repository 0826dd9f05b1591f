"""
Random kills of a worker and a mirror while many certificates are renewed: each proxy has only whole pairs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from certworker.worker.producer import request_certificate
from tests.replication.hosts import Origin
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess, wait_until
from tests.soak.served import Served
from tests.test_mirroring import Hosts

#: An idle machine needs a tenth of this limit.
pytestmark = pytest.mark.timeout(900)

#: The number of names. A longer run: KILLED_NAMES=1000.
NAMES = int(os.environ.get("KILLED_NAMES", "60"))

KILLS = 6
#: A worker is killed in each of so many kills; in the others, it is the mirror.
KILLS_PER_WORKER = 3
LONGEST_PAUSE_SECONDS = 1.5

#: The lease of a killed worker.
LEASE_SECONDS = 6
PATIENCE_SECONDS = 60.0 + 0.3 * NAMES

#: How long the certificates in service are still valid, of 90 days.
LEFT = timedelta(days=10)

HOSTS = ("worker", "mirror")


@contextmanager
def monitored(hosts: Hosts, names: list[str]) -> Iterator[list[Served]]:
    """
    Read the files of each proxy all the time, with code that is independent of certworker.
    """
    monitors = [Served(hosts.place / host / "config", names) for host in HOSTS]
    for monitor in monitors:
        monitor.start()
    try:
        yield monitors
    finally:
        for monitor in monitors:
            monitor.stop()


def kill_at_random(hosts: Hosts, random: Random) -> None:
    """
    Kill the worker or the mirror after random pauses, and start it again at once.
    """
    for kill in range(KILLS):
        time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))
        victim: WorkerProcess = hosts.mirror if kill % KILLS_PER_WORKER else hosts.worker
        victim.kill()
        victim.start()


def test_during_random_kills_each_proxy_has_whole_pairs(
    tmp_path: Path, app_authority: FaultyAuthority, own_redis: RedisServer, http_port: int
) -> None:
    """
    No proxy ever has a key of another certificate, and both hosts have all renewed certificates in the end.
    """
    (tmp_path / "hosts").mkdir()
    hosts = Hosts(tmp_path / "hosts", app_authority.directory_url, own_redis.port, http_port)
    hosts.worker.program = ["tests.servers.worker_program", str(LEASE_SECONDS)]
    names = [f"n{number}.localhost" for number in range(NAMES)]
    old = set[int]()
    with own_redis.client() as connection:
        origin = Origin(hosts.place / "worker", connection, hosts.common["CERTWORKER_REPLICATION_KEY"])
        for token, name in enumerate(names, 1):
            # It is due, so that a check repeats the request of a job that was killed.
            certificate = origin.signer.certificate(name, ends=LEFT)
            stored = origin.store.store(certificate, authority="a", kind="private", token=token)
            origin.store.mark_published(stored)
            hosts.traefik("worker").publish(stored)
            old.add(int(stored.metadata.serial, 16))
        with hosts.mirror:
            wait_until(
                lambda: hosts.store("mirror").links.count() == NAMES or None,
                lambda: hosts.mirror.log,
            )
            with hosts.worker, monitored(hosts, names) as monitors:
                hosts.worker.wait_for_line("ready")
                for name in names:
                    request_certificate(name, connection=connection)
                kill_at_random(hosts, Random(13))
                wait_until(
                    lambda: not any(not_renewed(monitor, old) for monitor in monitors) or None,
                    lambda: f"{[not_renewed(monitor, old) for monitor in monitors]}\n{hosts.worker.log}",
                    PATIENCE_SECONDS,
                )
    assert [[], []] == [monitor.faults for monitor in monitors]
    for name in names:
        first, second = (hosts.store(host).current(name) for host in HOSTS)
        assert first is not None
        assert second is not None
        assert first.certificate.key.pem == second.certificate.key.pem


def not_renewed(monitor: Served, old: set[int]) -> list[str]:
    """
    Return the names for which *monitor* has seen no certificate except those in *old*.
    """
    return [name for name in monitor.names if not monitor.serials.get(name, set()) - old]
