"""
A stand-in for Traefik: a TLS server that follows the proxy's files at each handshake.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nThis name has a padlock.\n"
)

#: A visitor who says nothing is not waited for.
PATIENCE_SECONDS = 5.0


class DevelopmentProxy:
    """
    Serves TLS on a free port of the loopback interface, with the pair of files that *files_of* names.

    Args:
        files_of: The paths of chain and key for a name, as the proxy's configuration has them now.
    """

    def __init__(self, files_of: Callable[[str], tuple[Path, Path] | None]) -> None:
        self.files_of = files_of
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def start(self) -> None:
        """
        Serve in a thread that ends with the process.
        """
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def stop(self) -> None:
        """
        Take no more visitors.
        """
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                visitor, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(visitor,), daemon=True).start()

    def _serve(self, visitor: socket.socket) -> None:
        visitor.settimeout(PATIENCE_SECONDS)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = self._choose
        try:
            with visitor, context.wrap_socket(visitor, server_side=True) as secured:
                secured.recv(4096)
                secured.sendall(RESPONSE)
        except OSError:
            return  # a visitor who went away, or who does not trust us

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
    Visit *name* as a browser that trusts *root* would, and return the certificate it was shown.

    Raises:
        ssl.SSLError: The certificate is not for *name*, not from *root*, or not valid now.
        OSError: Nobody answered on *port*.
    """
    context = ssl.create_default_context(cafile=str(root))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=name) as secured,
    ):
        return dict(secured.getpeercert() or {})
