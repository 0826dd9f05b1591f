"""
A peer that sends one byte at a time.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: The pause between two bytes. It is shorter than the timeout of a single call.
PAUSE_SECONDS = 0.02
MOST_PIECES = 1_000


@contextmanager
def trickling(context: ssl.SSLContext | None = None, greeting: bytes = b"") -> Iterator[int]:
    """
    Yield the port of a peer that sends *greeting* and then one byte at a time, with *context* over TLS.
    """

    def serve() -> None:
        try:
            visitor, _ = listener.accept()
            secured = context.wrap_socket(visitor, server_side=True) if context else visitor
            with secured:
                secured.sendall(greeting)
                for _ in range(MOST_PIECES):
                    secured.sendall(b"x")
                    time.sleep(PAUSE_SECONDS)
        except OSError:
            return  # the client disconnected

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        yield listener.getsockname()[1]
