"""
Ports for servers.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from random import SystemRandom

#: Below the ports that the kernel gives to connections on their way out: one of those could have taken the
#: port between the moment when it was found free and the one when the server listens.
_ALL = range(10_000, 32_000)

#: Test processes beside each other (pytest-xdist calls them gw0, gw1, …) each have ports of their own.
_SHARES = 16
_SHARE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _SHARES
_MINE = _ALL[_SHARE::_SHARES]

#: One after the other, so that a port comes again only after all others, from a place that another run has
#: hardly begun at.
_START = SystemRandom().randrange(len(_MINE))
_NEXT: Iterator[int] = cycle([*_MINE[_START:], *_MINE[:_START]])


def free_port() -> int:
    """
    A port of the loopback interface that nobody has, for TCP or UDP, nor got from here lately.
    """
    for _ in range(100):
        port = next(_NEXT)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, suppress(OSError):
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"of a hundred ports in {_ALL} none is free")
