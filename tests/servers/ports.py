"""
Ports for servers.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from random import SystemRandom

#: Below the ports that the kernel gives to connections on their way out: one of those could have taken the
#: port between the moment when it was found free and the one when the server listens.
PORTS = range(10_000, 32_000)


def free_port() -> int:
    """
    A port of the loopback interface that nobody has, for TCP or UDP.
    """
    for port in SystemRandom().sample(PORTS, 100):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, suppress(OSError):
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"of a hundred ports in {PORTS} none is free")
