"""
TLS handshakes that show which names a server has a certificate for.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable

#: The pause between two handshakes. Each costs the server 1 ms.
PAUSE_SECONDS = 0.004
#: The time limit of a handshake. Caddy waits for the CA in it.
HANDSHAKE_SECONDS = 150.0
PATIENCE_SECONDS = 300.0


def served(port: int, name: str) -> bool:
    """
    Return whether the server at *port* of the loopback interface has a certificate for *name*.

    The certificate is not verified, because the benchmark knows the CA.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=HANDSHAKE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=name) as connection,
        ):
            certificate = connection.getpeercert(binary_form=True) or b""
    except (ssl.SSLError, ConnectionError):
        return False
    # DER has a DNS name as plain text.
    return name.encode() in certificate


def wait_until_served(port: int, names: Iterable[str]) -> None:
    """
    Wait until the server at *port* has a certificate for each of *names*.

    Raises:
        TimeoutError: One of them is not served after five minutes.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    for name in names:
        while not served(port, name):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is not served")
            time.sleep(PAUSE_SECONDS)
