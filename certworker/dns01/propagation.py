"""
The wait until all name servers of a zone return the records that were created in it.

certworker queries at most 16 name servers directly, each at up to four addresses that this machine has a
route to. It sends a query over UDP, and again over TCP if no complete answer arrives. It skips an address
that does not answer for five minutes if another address of the same server answers. certworker does not
query a resolver, which would cache that a record does not exist.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from certworker.dns.query import NOT_AUTHORITATIVE, SILENT, DnsAnswer, DnsQuestion, query_each_server
from certworker.dns.resolver import server_address
from certworker.dns.udp import Server
from certworker.dns01.delegation import ZoneServer
from certworker.errors.dns01 import NotVisible
from certworker.supervision import beat
from certworker.ttl_cache import TtlCache

logger = logging.getLogger(__name__)

#: The pauses between rounds of queries, in seconds. They grow, because local servers return a record
#: immediately, and others after a few seconds.
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
GROWTH = 1.6

#: If only other addresses of a server answer, certworker does not query the silent one for this many seconds.
SILENCE_SECONDS = 300.0

#: The maximum number of queries that are sent at the same time.
MAX_QUERIES = 500

#: The maximum number of name servers in a message.
MAX_SHOWN = 8

MISSING = "record missing"


@dataclass(frozen=True)
class Awaited:
    """
    The values that all *servers* must return at *fqdn*.
    """

    #: One of the names that the CA validates with these values, for messages.
    name: str
    fqdn: str
    values: frozenset[str]
    servers: tuple[ZoneServer, ...]


class Propagation:
    """
    Waits until all name servers of a zone return its records, and checks whether a record is gone.

    Args:
        timeout_seconds: How long to wait.
        pause: Waits for a number of seconds.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        timeout_seconds: float,
        *,
        pause: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout = timeout_seconds
        self._pause = pause
        self._clock = clock
        #: Addresses that do not answer, such as IPv6 addresses behind a broken tunnel.
        self._silent: TtlCache[Server, bool] = TtlCache()

    def wait(self, awaited: Sequence[Awaited]) -> float:
        """
        Wait until all servers return all values, and return the elapsed seconds.

        A server is not queried if this machine has no route to any of its allowed addresses.

        Raises:
            NotVisible: A server did not return a value in time. The failure lists such servers for one name.
        """
        began = self._clock()
        pending = [(each, server) for each in awaited for server in each.servers if server.addresses]
        pause = FIRST_PAUSE_SECONDS
        while True:
            states = self._query(pending)
            pending = [key for key, state in states.items() if state]
            elapsed = self._clock() - began
            if not pending:
                return elapsed
            if elapsed >= self._timeout:
                raise self._failure(states)
            beat()
            self._pause(min(pause, self._timeout - elapsed))
            pause = min(pause * GROWTH, LONGEST_PAUSE_SECONDS)

    def is_gone(self, fqdn: str, value: str, servers: Sequence[ZoneServer]) -> bool:
        """
        Return whether all addresses of *servers* give authoritative answers without *value* at *fqdn*.

        Return False if there are no addresses.
        """
        asked = [DnsQuestion(each, fqdn, "TXT", own=True) for server in servers for each in server.addresses]
        answers = query_each_server(asked[:MAX_QUERIES])
        return bool(answers) and all(
            not answer.error and answer.authoritative and value not in answer.texts.get(fqdn, ())
            for answer in answers.values()
        )

    def _query(self, pending: Sequence[tuple[Awaited, ZoneServer]]) -> dict[tuple[Awaited, ZoneServer], str]:
        """
        Return the problem of each name server with each record; empty if the server returns all values.
        """
        states: dict[tuple[Awaited, ZoneServer], str] = {}
        for batch in _batches(pending):
            answers = query_each_server(
                [
                    DnsQuestion(address, each.fqdn, "TXT", own=True)
                    for each, server in batch
                    for address in self._addresses(server)
                ]
            )
            for each, server in batch:
                states[each, server] = self._state(each, server, answers)
        return states

    def _addresses(self, server: ZoneServer) -> Sequence[Server]:
        return [each for each in server.addresses if not self._silent.get(each)] or server.addresses

    def _state(self, awaited: Awaited, server: ZoneServer, answers: dict[DnsQuestion, DnsAnswer]) -> str:
        found = {
            address: _lack(answer, awaited)
            for address in server.addresses
            if (answer := answers.get(DnsQuestion(address, awaited.fqdn, "TXT", own=True)))
        }
        answered = {address: lack for address, lack in found.items() if lack != SILENT}
        if not answered:
            return SILENT
        for address in found.keys() - answered.keys():
            # The address gave no answer, but another address of the same server did.
            self._silent.put(address, True, SILENCE_SECONDS)
        lacking = [f"{lack} at {server_address(address)}" for address, lack in answered.items() if lack]
        return ", ".join(lacking)

    def _failure(self, states: dict[tuple[Awaited, ZoneServer], str]) -> NotVisible:
        lacking = {key: state for key, state in states.items() if state}
        awaited, _ = next(iter(lacking))
        of_first = {server.name: state for (each, server), state in lacking.items() if each == awaited}
        names = list(of_first)[:MAX_SHOWN]
        others = f" and {len(of_first) - MAX_SHOWN} more" if len(of_first) > MAX_SHOWN else ""
        shown = "; ".join(f"{name}: {of_first[name]}" for name in names)
        return NotVisible(
            record=awaited.fqdn,
            name=awaited.name,
            servers=", ".join(names) + others,
            detail=f"{shown} (after {self._timeout:g} s)",
        ).from_preflight()


def _lack(answer: DnsAnswer, awaited: Awaited) -> str:
    if answer.error:
        return answer.error
    if not answer.authoritative:
        return NOT_AUTHORITATIVE
    return "" if awaited.values <= set(answer.texts.get(awaited.fqdn, ())) else MISSING


def _batches(
    pending: Sequence[tuple[Awaited, ZoneServer]],
) -> Iterator[Sequence[tuple[Awaited, ZoneServer]]]:
    batch: list[tuple[Awaited, ZoneServer]] = []
    queries = 0
    for each in pending:
        if batch and queries + len(each[1].addresses) > MAX_QUERIES:
            yield batch
            batch, queries = [], 0
        batch.append(each)
        queries += len(each[1].addresses)
    if batch:
        yield batch
