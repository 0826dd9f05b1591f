"""
Tests of the wait for name servers, with real BIND servers and faulty servers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from certworker.dns01.delegation import ZoneServer
from certworker.dns01.propagation import LONGEST_PAUSE_SECONDS, MAX_QUERIES, Awaited, Propagation, _batches
from certworker.errors import Retry
from certworker.errors.dns01 import NotVisible
from tests.dns01.network import Network, change
from tests.servers.zones import ZoneServer as FakeServer

VALUE = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
OTHER = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
OWNER = "_acme-challenge.example.com"


class Clock:
    """
    Return a time that changes only with each pause.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        """
        Advance the clock.
        """
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """
    Run a network without zones.
    """
    with Network(tmp_path) as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    """
    Return a clock at zero.
    """
    return Clock()


def propagation(clock: Clock, timeout_seconds: float = 20.0) -> Propagation:
    """
    Return a wait whose pauses take no time.
    """
    return Propagation(timeout_seconds, pause=clock.pause, clock=clock)


def awaited(*servers: ZoneServer, values: tuple[str, ...] = (VALUE,)) -> Awaited:
    """
    Return *values* that *servers* must return.
    """
    return Awaited("example.com", OWNER, frozenset(values), servers)


def at(*servers: FakeServer, name: str = "ns1.example.com") -> ZoneServer:
    """
    Return one name server with the addresses of *servers*.
    """
    return ZoneServer(name, tuple(server.address for server in servers))


def showing(network: Network, *values: str) -> FakeServer:
    """
    Return a server that returns *values*.
    """
    server = network.fake("example.com")
    server.rows = {OWNER: {"TXT": [f'"{value}"' for value in values]}}
    return server


class TestWait:
    def test_a_visible_record_needs_no_pause(self, network: Network, clock: Clock) -> None:
        """
        The wait ends without a pause if all servers have the record.
        """
        bind = network.bind("example.com")
        change(bind, "example.com", OWNER, VALUE)

        location = network.delegations().find(OWNER)
        propagation(clock).wait([awaited(*location.servers)])

        assert [] == clock.pauses

    def test_the_wait_includes_a_slow_secondary(self, network: Network) -> None:
        """
        The wait ends when the last server has the record, because the CA may query that one.
        """
        primary, secondary = network.pair("example.com")
        change(primary, "example.com", OWNER, VALUE)
        seen: list[set[str]] = []

        def pause(seconds: float) -> None:
            seen.append(secondary.txt(OWNER))
            secondary.catch_up("example.com")

        location = network.delegations().find(OWNER)
        Propagation(60, pause=pause).wait([awaited(*location.servers)])

        assert set() == seen[0]
        assert {VALUE} == secondary.txt(OWNER)

    def test_the_server_without_the_record_is_named(self, network: Network, clock: Clock) -> None:
        """
        The failure names only the server without the record.
        """
        primary, _ = network.pair("example.com")
        change(primary, "example.com", OWNER, VALUE)

        location = network.delegations().find(OWNER)
        with pytest.raises(NotVisible, match=r"ns2\.example\.com: record missing") as caught:
            propagation(clock).wait([awaited(*location.servers)])

        assert "ns1" not in caught.value.message
        assert Retry.PREFLIGHT is caught.value.retry
        assert 20.0 == pytest.approx(clock.now)
        assert sorted(clock.pauses[:-1]) == clock.pauses[:-1]
        assert max(clock.pauses) <= LONGEST_PAUSE_SECONDS

    def test_the_wait_includes_every_value(self, network: Network, clock: Clock) -> None:
        """
        The wait needs all values of an owner, because a name and its wildcard have two.
        """
        server = at(showing(network, VALUE))

        with pytest.raises(NotVisible):
            propagation(clock, 1).wait([awaited(server, values=(VALUE, OTHER))])
        propagation(clock).wait([awaited(at(showing(network, "other text", OTHER, VALUE)))])

    @pytest.mark.parametrize("value", [VALUE.lower(), OTHER, f"{VALUE} ", ""])
    def test_another_value_does_not_count(self, network: Network, clock: Clock, value: str) -> None:
        """
        A value in another case, or a longer one, does not count.
        """
        with pytest.raises(NotVisible, match="record missing"):
            propagation(clock, 1).wait([awaited(at(showing(network, value)))])

    def test_an_unreachable_server_is_named(self, network: Network, clock: Clock) -> None:
        """
        The failure names an unreachable server.
        """
        down = ZoneServer("ns9.example.com", (network.address(),))

        with pytest.raises(NotVisible, match=r"at ns9\.example\.com: ns9\.example\.com: no answer"):
            propagation(clock, 1).wait([awaited(at(showing(network, VALUE)), down)])

    @pytest.mark.parametrize(("code", "shown"), [("SERVFAIL", "SERVFAIL at"), ("REFUSED", "REFUSED at")])
    def test_a_server_that_fails_is_named(
        self, network: Network, clock: Clock, code: str, shown: str
    ) -> None:
        """
        The failure contains the error that the server returned.
        """
        server = showing(network, VALUE)
        server.codes[OWNER, "TXT"] = code

        with pytest.raises(NotVisible, match=shown):
            propagation(clock, 1).wait([awaited(at(server))])

    def test_an_answer_from_a_cache_does_not_count(self, network: Network, clock: Clock) -> None:
        """
        An answer that is not authoritative does not count.
        """
        server = showing(network, VALUE)
        server.authoritative = False

        with pytest.raises(NotVisible, match="not authoritative at"):
            propagation(clock, 1).wait([awaited(at(server))])

    def test_each_address_of_a_server_counts(self, network: Network, clock: Clock) -> None:
        """
        The wait needs the record at all addresses of a server, because several machines can share a
        name.
        """
        current, old = showing(network, VALUE), showing(network)

        with pytest.raises(NotVisible, match=rf"record missing at {old.host}"):
            propagation(clock, 1).wait([awaited(at(current, old))])

    def test_ipv6_addresses_count(self, network: Network, clock: Clock) -> None:
        """
        The wait needs the record at IPv6 addresses, too, because CAs try them first.
        """
        current = showing(network, VALUE)
        with ExitStack() as stack:
            other = FakeServer("::1", network.port)
            stack.callback(other.stop)
            other.authoritative = True
            with pytest.raises(NotVisible, match="record missing at ::1"):
                propagation(clock, 1).wait([awaited(at(current, other))])

            other.rows = current.rows
            propagation(clock).wait([awaited(at(current, other))])

    def test_an_unreachable_address_is_skipped_if_another_one_answers(
        self, network: Network, clock: Clock
    ) -> None:
        """
        An unreachable address of a server is skipped if another address answers, and gets no further
        query.
        """
        current, lost = showing(network, VALUE), showing(network, VALUE)
        lost.silent.add(OWNER)
        wait = propagation(clock)

        wait.wait([awaited(at(current, lost))])
        lost.asked.clear()
        wait.wait([awaited(at(current, lost))])

        assert [] == lost.asked

    def test_a_server_without_udp_is_queried_over_tcp(self, network: Network, clock: Clock) -> None:
        """
        A server that does not answer over UDP is queried over TCP, because a firewall may drop UDP.
        """
        server = showing(network, VALUE)
        server.tcp_only = True

        propagation(clock).wait([awaited(at(server))])

    def test_a_long_answer_is_read_over_tcp(self, network: Network, clock: Clock) -> None:
        """
        A truncated answer is read over TCP, for example one with hundreds of TXT records.
        """
        server = showing(network, *(f"{number} {'x' * 200}" for number in range(200)), VALUE)
        server.truncates = True

        propagation(clock).wait([awaited(at(server))])

    def test_a_late_answer_counts(self, network: Network, clock: Clock) -> None:
        """
        An answer within the timeout counts, although the other servers have answered earlier.
        """
        late = showing(network, VALUE)
        late.delay_seconds = 0.8

        propagation(clock).wait([awaited(at(showing(network, VALUE)), at(late, name="ns2.example.com"))])

        assert [] == clock.pauses

    def test_the_message_counts_further_servers(self, network: Network, clock: Clock) -> None:
        """
        The message names the first servers and counts the others.
        """
        server = showing(network)
        servers = [at(server, name=f"ns{number}.example.com") for number in range(12)]

        with pytest.raises(NotVisible, match="and 4 more"):
            propagation(clock, 0).wait([awaited(*servers)])


class TestIsGone:
    def test_values_of_other_clients_do_not_count(self, network: Network, clock: Clock) -> None:
        """
        A record is gone although values of other clients remain.
        """
        wait = propagation(clock)

        assert wait.is_gone(OWNER, VALUE, [at(showing(network, OTHER))])
        assert not wait.is_gone(OWNER, VALUE, [at(showing(network, OTHER)), at(showing(network, VALUE))])

    def test_an_unreachable_server_may_still_have_the_record(self, network: Network, clock: Clock) -> None:
        """
        A record is not gone while a server does not answer.
        """
        down = ZoneServer("ns9.example.com", (network.address(),))

        assert not propagation(clock).is_gone(OWNER, VALUE, [down])
        assert not propagation(clock).is_gone(OWNER, VALUE, [])


class TestBatches:
    def test_the_number_of_concurrent_queries_has_a_limit(self) -> None:
        """
        Each batch of queries has a limited number of addresses, because each query needs a socket.
        """
        server = ZoneServer("ns1.example.com", (("127.0.0.1", 53),) * 4)
        pending = [(awaited(server), server)] * MAX_QUERIES

        batches = list(_batches(pending))

        assert pending == [each for batch in batches for each in batch]
        assert all(sum(len(server.addresses) for _, server in batch) <= MAX_QUERIES for batch in batches)
