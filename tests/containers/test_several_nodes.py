"""
Three hosts of the guide "Several hosts", each with its own Traefik, volumes and networks.

The tests share the hosts, and run in this order.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from certworker.replication.sealing import ReplicationKeys
from tests.containers.certification import ContainedPebble
from tests.containers.conftest import IMAGE
from tests.containers.docker import Docker
from tests.containers.hosts import GUIDE, Hosts
from tests.containers.project import PATIENCE_SECONDS, WORKER
from tests.containers.test_bad_days import UNTIL_A_DEAD_WORKER_IS_MISSED_SECONDS
from tests.servers.worker import wait_until

#: The engine starts many programs. An idle machine needs a fifth of this limit.
pytestmark = pytest.mark.timeout(600)

KEY = "CERTWORKER_REPLICATION_KEY"

#: The image of certworker with a library that shifts its clock.
WITH_FAKETIME = f"""\
FROM {IMAGE}
USER root
RUN apt-get update && apt-get install --yes --no-install-recommends libfaketime
USER 10001:10001
"""

#: A compose file for a host whose clock is wrong.
SHIFTED_CLOCK = """
services:
  {worker}:
    image: certworker-clock
    environment:
      LD_PRELOAD: libfaketime.so.1
      LD_LIBRARY_PATH: /usr/lib/x86_64-linux-gnu/faketime
      FAKETIME: "{shift}"
      FAKETIME_DONT_FAKE_MONOTONIC: "1"
"""

#: The fields of `certworker status --nodes --json` that the tests compare.
FIELDS = ("role", "names", "away")


@pytest.fixture(scope="module")
def pebble(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainedPebble]:
    """
    Yield a CA that runs.
    """
    network = f"certworker-{secrets.token_hex(4)}"
    docker("network", "create", network)
    pebble = ContainedPebble(docker, network, tmp_path_factory.mktemp("pebble") / "pebble")
    pebble.start()
    yield pebble
    pebble.remove()
    docker("network", "rm", network)


@pytest.fixture(scope="module")
def hosts(
    docker: Docker,
    image: str,
    pebble: ContainedPebble,
    tmp_path_factory: pytest.TempPathFactory,
    tell: Callable[[str], None],
) -> Iterator[Hosts]:
    """
    Yield the three hosts after the steps of the guide.
    """
    hosts = Hosts(docker, pebble.network, pebble, tmp_path_factory.mktemp("hosts"))
    try:
        began = time.monotonic()
        hosts.start()
        tell(f"Three hosts run after {time.monotonic() - began:.0f} s.")
        yield hosts
    finally:
        hosts.remove()


def test_the_steps_of_the_guide_lead_from_one_host_to_three(hosts: Hosts) -> None:
    """
    `certworker status --nodes` shows three hosts. The certificate of the first host is not ordered again.
    """
    hosts.wait_for_states([("worker", 1, False), ("worker", 1, False), ("mirror", 1, False)], *FIELDS)
    hosts.serve("main.internal")
    shown, _ = hosts.all[2].type("any host")

    assert [hosts.all[n].settings["HOST_ADDRESS"] for n in range(3)] == [
        each["host"] for each in hosts.states()
    ]
    assert all(host.settings["HOST_ADDRESS"] in shown for host in hosts.all)
    hosts.serve("shop.internal")
    assert (2, 1) == (hosts.pebble.orders(), hosts.pebble.accounts())


def test_all_hosts_serve_what_one_host_issues(hosts: Hosts, tell: Callable[[str], None]) -> None:
    """
    Traefik of each host serves the same certificate, soon after each other.
    """
    hosts.request("one.internal", on=2)
    first = time.monotonic()
    hosts.serve("one.internal")
    tell(f"All hosts serve the certificate {time.monotonic() - first:.1f} s after the end of its job.")


def test_a_host_that_was_away_catches_up(hosts: Hosts) -> None:
    """
    While host 3 is away, names are issued, renewed and removed, and the stream loses these entries.
    """
    first, _, third = hosts.all
    before = hosts.serve("shop.internal")
    third.compose("stop", WORKER, "traefik")
    hosts.request("two.internal")
    hosts.request("--force", "shop.internal")
    first.worker("remove", "--wait", "one.internal")
    renewed = hosts.serve("shop.internal", instead_of=before, on=(1, 2))
    first.redis("XTRIM", "certworker:published", "MAXLEN", "0")
    third.compose("start", WORKER, "traefik")
    third.wait_for_line("bundles received from another host in a comparison: 3")

    assert renewed == hosts.serve("shop.internal")
    assert hosts.serve("two.internal")
    hosts.wait_until_removed("one.internal")


def test_nothing_is_lost_or_ordered_again_after_redis_is_emptied(hosts: Hosts) -> None:
    """
    The hosts continue with their volumes, and the agenda has all names again.
    """
    before = hosts.pebble.orders()
    # A check of another host may have added the removed name before its certificate was removed there.
    wait_until(
        lambda: "3\n" == hosts.all[0].redis("ZCARD", "certworker:agenda") or None,
        lambda: hosts.all[0].worker("status"),
        PATIENCE_SECONDS,
    )
    hosts.all[0].redis("FLUSHALL")
    hosts.request("one.internal", on=2)

    hosts.serve("one.internal")
    hosts.wait_for_states([("worker", 4, False), ("worker", 4, False), ("mirror", 4, False)], *FIELDS)
    hosts.wait_until_all_have_all_names()
    assert (before + 1, 1) == (hosts.pebble.orders(), hosts.pebble.accounts())


def test_the_key_is_replaced_without_a_gap(hosts: Hosts) -> None:
    """
    The hosts restart one after the other at each step of the guide. Certificates reach all at any time.
    """
    old, new = hosts.all[0].settings[KEY], ReplicationKeys.generate()
    steps = {"OLD,NEW": "main.internal", "NEW,OLD": "shop.internal", "NEW": "main.internal"}
    for step, name in steps.items():
        before = hosts.serve(name)
        hosts.restart({KEY: step.replace("OLD", old).replace("NEW", new)}, 1)
        hosts.request("--force", name)
        hosts.serve(name, instead_of=before)
        hosts.restart({KEY: hosts.all[0].settings[KEY]}, 2, 3)
        assert [] == [host for host in hosts.all if "replication." in host.logs()]
    page = GUIDE.read_text().partition("## Replace the key")[2].partition("## ")[0]
    assert [*steps] == re.findall(r"`((?:OLD|NEW)[A-Z,]*)`", page)


def test_a_host_with_a_wrong_key_reports_it_and_serves_what_it_has(hosts: Hosts) -> None:
    """
    The log and `status --nodes` show the code. With the right key, the host catches up.

    The host cannot respond to challenges, so the public DNS of the new name has only the other hosts.
    """
    third = hosts.all[2]
    right, before = third.settings[KEY], hosts.serve("shop.internal")
    hosts.restart({KEY: ReplicationKeys.generate()}, 3)
    hosts.request("three.internal")
    third.wait_for_line("replication.wrong_key")
    hosts.wait_for_states([("",), ("",), ("replication.wrong_key",)], "code")

    assert before == hosts.serve("shop.internal", on=(3,))
    hosts.restart({KEY: right}, 3)
    hosts.serve("three.internal")


@pytest.fixture
def wrong_clocks(hosts: Hosts, docker: Docker, tmp_path: Path) -> Iterator[None]:
    """
    Set the clock of host 2 a day ahead, and that of host 3 a day behind, for the length of the test.
    """
    docker("build", "--quiet", "--tag", "certworker-clock", "-", stdin=WITH_FAKETIME)
    files = {number: tmp_path / f"clock{number}.yml" for number in (2, 3)}
    for (number, file), shift in zip(files.items(), ("+1d", "-1d"), strict=True):
        file.write_text(SHIFTED_CLOCK.format(worker=WORKER, shift=shift))
        hosts.all[number - 1].also(file)
    hosts.restart({}, 2, 3)
    yield
    for number, file in files.items():
        hosts.all[number - 1].without(file)
    hosts.restart({}, 2, 3)


@pytest.mark.usefixtures("wrong_clocks")
def test_hosts_with_a_wrong_clock_serve_the_certificates_of_the_others(hosts: Hosts) -> None:
    """
    Host 2, whose clock is a day ahead, leaves the jobs to host 1 as soon as it knows the clock of the CA. It
    and host 3, whose clock is a day behind, are not away, and serve what host 1 issues.
    """
    before = hosts.pebble.orders()
    while hosts.refuses("clock.skew", "four.internal"):
        pass  # the worker of host 2 took the job before the first check of its clock
    hosts.serve("four.internal")

    hosts.wait_until_all_have_all_names()
    assert before + 1 == hosts.pebble.orders()


def test_a_failover_of_redis_only_delays_certificates(hosts: Hosts, tell: Callable[[str], None]) -> None:
    """
    Redis of host 1 is killed. That of host 2 becomes the primary, and later that of host 1 its replica.
    """
    first, second, third = hosts.all
    ask = ("exec", "--no-TTY", "sentinel", "redis-cli", "-p", "26379", "info", "sentinel")
    wait_until(
        lambda: "slaves=1,sentinels=3" in third.compose(*ask) or None,
        lambda: third.compose(*ask),
        PATIENCE_SECONDS,
    )
    first.compose("kill", "redis")
    began = time.monotonic()
    wait_until(
        lambda: "role:master" in second.redis("INFO", "replication") or None,
        lambda: third.compose(*ask),
        PATIENCE_SECONDS,
    )
    hosts.request("five.internal", on=3)
    hosts.serve("five.internal")
    tell(f"All hosts serve a new name {time.monotonic() - began:.0f} s after the end of the primary.")
    first.compose("start", "redis")

    wait_until(
        lambda: "master_link_status:up" in first.redis("INFO", "replication") or None,
        lambda: first.redis("INFO", "replication"),
        PATIENCE_SECONDS,
    )


def test_another_worker_finishes_the_order_of_a_destroyed_host(hosts: Hosts) -> None:
    """
    Host 2, with a worker in mid-order and the primary of Redis, is lost with its volumes. No name is lost,
    and at most the pending order is repeated. A host with an empty volume replaces it.
    """
    first, _, third = hosts.all
    first.compose("stop", WORKER)
    before = hosts.pebble.orders()
    # Only host 3 has this name in the public DNS, and the connection of the CA waits.
    third.compose("pause", "traefik")
    hosts.all[1].worker("request", "stuck.internal")
    wait_until(
        lambda: hosts.pebble.orders() == before + 1 or None, lambda: hosts.all[1].logs(), PATIENCE_SECONDS
    )
    hosts.destroy(2)
    third.compose("unpause", "traefik")
    first.compose("start", WORKER)
    first.wait_for_line("stuck.internal: certificate issued", seconds=UNTIL_A_DEAD_WORKER_IS_MISSED_SECONDS)
    hosts.serve("stuck.internal", on=(1, 3))

    hosts.all[1].type("start")
    for name in ("main.internal", "stuck.internal"):
        hosts.serve(name)
    # The lost host is away: the replacement has a volume, and therefore a report, of its own.
    hosts.wait_until_all_have_all_names()
    # The worker continues the order, unless the validation of the CA has failed in the meantime.
    assert hosts.pebble.orders() <= before + 2
    assert 1 == hosts.pebble.accounts()
