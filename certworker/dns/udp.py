"""
Concurrent queries, each in one datagram. Unanswered queries are repeated at most twice.

Sequential queries would take one round trip each.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

#: Datagrams may get lost, so unanswered queries are sent again after these times in seconds.
RESEND_SECONDS = (0.6, 1.5)
TIMEOUT_SECONDS = 3.0
#: How long to wait for the other servers after each key has a reply.
GRACE_SECONDS = 0.4

MAX_DATAGRAM = 65_535

Server = tuple[str, int]
Reply = TypeVar("Reply")


@dataclass(frozen=True)
class UdpQuery(Generic[Reply]):
    """
    One query to one server.
    """

    server: Server
    #: Queries with the same key go to several servers, and one reply is enough.
    key: object
    content: bytes
    #: Returns the reply in a datagram, or None if the datagram is invalid or replies to another query.
    accept: Callable[[bytes], Reply | None]


def exchange(queries: Sequence[UdpQuery[Reply]]) -> list[Reply | None]:
    """
    Send all *queries*, and return the reply to each, or None for a query without a reply in time.
    """
    with ExitStack() as stack:
        return _Exchange(queries, stack).run()


def has_route(server: Server) -> bool:
    """
    Return whether this machine has a route to *server*. A machine without IPv6 has none to IPv6 addresses.
    """
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as unsent:
            unsent.connect(server)
    except OSError:
        return False
    return True


class _Exchange(Generic[Reply]):
    def __init__(self, queries: Sequence[UdpQuery[Reply]], stack: ExitStack) -> None:
        self._queries = queries
        self._replies: list[Reply | None] = [None] * len(queries)
        self._open = set(range(len(queries)))
        self._answered: set[object] = set()
        self._stack = stack
        self._poll = select.poll()
        self._sockets: dict[Server, socket.socket] = {}
        self._servers: dict[int, Server] = {}

    def run(self) -> list[Reply | None]:
        began = time.monotonic()
        again = [began + seconds for seconds in RESEND_SECONDS]
        end = began + TIMEOUT_SECONDS
        self._send()
        while self._open:
            now = time.monotonic()
            if self._all_keys_answered():
                end = min(end, now + GRACE_SECONDS)
            if now >= end:
                break
            if again and now >= again[0]:
                del again[0]
                self._send()
            for number, _ in self._poll.poll(1000 * (min([end, *again]) - now) + 1):
                self._receive(self._servers[number])
        return self._replies

    def _all_keys_answered(self) -> bool:
        return all(self._queries[index].key in self._answered for index in self._open)

    def _send(self) -> None:
        for index in sorted(self._open):
            query = self._queries[index]
            if index not in self._open:
                continue
            try:
                self._socket(query.server).send(query.content)
            except OSError:
                self._give_up(query.server)

    def _socket(self, server: Server) -> socket.socket:
        # On a connected socket, the kernel accepts datagrams only from that server, and reports a closed
        # port. The random port of each socket makes forged replies unlikely.
        if server not in self._sockets:
            family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
            opened = self._stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            opened.setblocking(False)
            self._sockets[server] = opened
            self._servers[opened.fileno()] = server
            self._poll.register(opened, select.POLLIN)
            opened.connect(server)
        return self._sockets[server]

    def _receive(self, server: Server) -> None:
        try:
            content = self._sockets[server].recv(MAX_DATAGRAM)
        except BlockingIOError:
            return
        except OSError:
            self._give_up(server)
            return
        for index in [index for index in self._open if self._queries[index].server == server]:
            query = self._queries[index]
            if (reply := query.accept(content)) is not None:
                self._replies[index] = reply
                self._answered.add(query.key)
                self._open.discard(index)
                return

    def _give_up(self, server: Server) -> None:
        # The server is unreachable, its port is closed, or this machine cannot open a socket (no IPv6, or too
        # many open files).
        self._open = {index for index in self._open if self._queries[index].server != server}
        if (opened := self._sockets.get(server)) is not None:
            self._poll.unregister(opened)
