"""
A replacement for Traefik: a TLS server that reads the proxy's files at each handshake.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"This name has a valid certificate.\n"
)

#: The time limit of each read and write.
TIMEOUT_SECONDS = 5.0


class DevelopmentProxy:
    """
    Serves TLS on a free port of the loopback interface, with the files that *files_of* returns.

    Args:
        files_of: Returns the paths of chain and key for a name, from the current configuration of the proxy;
            None if it has none for the name.
    """

    def __init__(self, files_of: Callable[[str], tuple[Path, Path] | None]) -> None:
        self.files_of = files_of
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)

    def start(self) -> None:
        """
        Start a thread that serves until :meth:`stop`, or until the process ends.
        """
        self._thread.start()

    def stop(self) -> None:
        """
        Accept no more connections, and wait for the end of the thread.
        """
        # A closed socket does not wake a thread that waits in accept(), which would take one more connection.
        with suppress(OSError):  # Not every system can shut down a listening socket.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_SECONDS)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(TIMEOUT_SECONDS)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = self._choose
        try:
            with connection, context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(4096)
                secured.sendall(RESPONSE)
        except OSError:
            # There is no certificate for the name, or the client refused it, or closed the connection, or
            # timed out.
            return

    def _choose(self, secured: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        files = self.files_of(name) if name else None
        if files is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        chosen = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chosen.load_cert_chain(*files)
        secured.context = chosen
        return None


def handshake(name: str, port: int, root: Path) -> dict[str, object]:
    """
    Connect to *port* of this machine with the server name *name*, like a browser that trusts only *root*.

    Return the certificate of the server.

    Raises:
        ssl.SSLError: There is no certificate for *name*, or it is not from *root*, or not valid now.
        OSError: No server responds on *port*.
    """
    context = ssl.create_default_context(cafile=str(root))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=name) as secured,
    ):
        return dict(secured.getpeercert() or {})
