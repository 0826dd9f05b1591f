"""
Many questions at once: one datagram each, and whatever comes back until it is enough.

Asked one after the other, a dozen questions would take a dozen round trips.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

#: A datagram gets lost now and then: it is sent again after so long.
RESEND_SECONDS = (0.6, 1.5)
TIMEOUT_SECONDS = 3.0
#: Once each question has an answer from somebody, the others get a little longer.
GRACE_SECONDS = 0.4

MAX_DATAGRAM = 65_535

Server = tuple[str, int]
Reply = TypeVar("Reply")


@dataclass(frozen=True)
class UdpQuery(Generic[Reply]):
    """
    One question to one server.
    """

    server: Server
    #: Letters about the same thing go to several servers: one answer is enough.
    key: object
    content: bytes
    #: The answer in a datagram; None if it answers something else.
    accept: Callable[[bytes], Reply | None]


def exchange(letters: Sequence[UdpQuery[Reply]]) -> list[Reply | None]:
    """
    Send all *letters*, and return the reply to each; None: there was none.
    """
    with ExitStack() as stack:
        return _Exchange(letters, stack).run()


class _Exchange(Generic[Reply]):
    def __init__(self, letters: Sequence[UdpQuery[Reply]], stack: ExitStack) -> None:
        self._letters = letters
        self._replies: list[Reply | None] = [None] * len(letters)
        self._open = set(range(len(letters)))
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
            if self._is_enough():
                end = min(end, now + GRACE_SECONDS)
            if now >= end:
                break
            if again and now >= again[0]:
                del again[0]
                self._send()
            for number, _ in self._poll.poll(1000 * (min([end, *again]) - now) + 1):
                self._receive(self._servers[number])
        return self._replies

    def _is_enough(self) -> bool:
        return all(self._letters[index].key in self._answered for index in self._open)

    def _send(self) -> None:
        for index in sorted(self._open):
            letter = self._letters[index]
            if index not in self._open:
                continue
            try:
                self._socket(letter.server).send(letter.content)
            except OSError:
                self._give_up(letter.server)

    def _socket(self, server: Server) -> socket.socket:
        # Connected, so that the kernel takes datagrams of that server only, and says if nobody listens there.
        # Its port is a new one, which a stranger would have to guess.
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
        for index in [index for index in self._open if self._letters[index].server == server]:
            letter = self._letters[index]
            if (reply := letter.accept(content)) is not None:
                self._replies[index] = reply
                self._answered.add(letter.key)
                self._open.discard(index)
                return

    def _give_up(self, server: Server) -> None:
        # There is no way to it, nobody listens there, or this machine has no socket for it (no IPv6, too many
        # open files).
        self._open = {index for index in self._open if self._letters[index].server != server}
        if (opened := self._sockets.get(server)) is not None:
            self._poll.unregister(opened)
