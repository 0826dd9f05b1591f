"""
A WSGI server on one address, in its own thread.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable
from typing import Any

from certworker.errors.config import AddressElsewhere, AddressInUse, AddressNotUsable, PortForbidden
from certworker.http.throttle import BoundedServer, Bounds
from certworker.settings import HttpAddress
from certworker.supervision import Faults, Loop, Postponed

#: The server is stalled after twice this time without progress.
BEAT_SECONDS = 15.0

#: The maximum time that a stop waits until all connections are closed.
STOP_SECONDS = 10.0

#: The maximum number of connections that the kernel holds until the server accepts them.
BACKLOG = 1024

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Listener:
    """
    A WSGI server on one address, in its own thread.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self,
        address: HttpAddress,
        application: Application,
        bounds: Bounds,
        *,
        name: str,
        variable: str,
        prefix: str = "",
        is_always_quick: bool = True,
        responds_at_once: Callable[[str], bool] = lambda _path: False,
    ) -> None:
        """
        Args:
            address: Where to listen. `::` also accepts IPv4; port 0 selects a free port.
            application: Responds to the requests.
            bounds: The limits of the server.
            name: The name of the loop.
            variable: The environment variable of the address, for the remedy if the address cannot be used.
            prefix: The path prefix of the application. Requests may have or lack it.
            is_always_quick: Whether each response is quick. If so, the server counts as stalled while
                requests are waiting and none gets a response.
            responds_at_once: Returns whether the loop responds to requests for a path, without a thread.
        """
        self._address = address
        self._variable = variable
        self._application = application
        self._bounds = bounds
        self._prefix = prefix
        self._is_always_quick = is_always_quick
        self._responds_at_once = responds_at_once
        self._server: Any = None
        self._connections: dict[int, Any] = {}
        self._answered = 0
        self._seen = 0
        self.loop = Loop(name, self._serve, seconds=BEAT_SECONDS, faults=Faults(bounds.subject))

    @property
    def port(self) -> int:
        """
        Return the port that the server listens on.
        """
        return int(self._server.effective_port)

    def start(self) -> None:
        """
        Start the server, which responds as soon as this method returns.

        Raises:
            AddressNotUsable: The server cannot listen on the address.
        """
        try:
            listening = _listening(self._address)
        except OSError as error:
            raise unusable(self._address, self._variable, error) from error
        self._server = BoundedServer(
            self._bounds,
            self._responds_at_once,
            self._answer,
            map=self._connections,
            _sock=listening,
            bind_socket=False,
            sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
            backlog=BACKLOG,
            url_prefix=self._prefix,
            # The application decides which peers are proxies.
            clear_untrusted_proxy_headers=False,
            log_socket_errors=False,
            ident=None,
        )
        self.loop.start()

    def stop(self) -> None:
        """
        Close the server; do nothing if it never started.
        """
        if self._server is not None:
            # The loop ends when no connection is left.
            self._server.stop()
            self.loop.finish(STOP_SECONDS)

    def _serve(self) -> float | None:
        """
        Read and write the connections once. Return None after a stop, when no socket is left; otherwise 0.

        Raises:
            Postponed: Requests are waiting, and no thread has responded since the previous pass.
        """
        self._server.pass_once()
        if not self._connections:
            self._server.task_dispatcher.shutdown()
            return None
        answered, before = self._answered, self._seen
        self._seen = answered
        if self._is_always_quick and self._server.task_dispatcher.queue and answered == before:
            raise Postponed(0)  # requests are waiting and no thread responds: the server is stalled
        return 0

    def _answer(self, request: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        answer = self._application(request, start_response)
        self._answered += 1
        return answer


def unusable(address: HttpAddress, variable: str, error: OSError) -> AddressNotUsable:
    """
    Return the failure for *error*, which ended the attempt to listen on the *address* in *variable*.
    """
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(address=address, variable=variable)
    if error.errno == errno.EADDRNOTAVAIL:
        return AddressElsewhere(address=address, variable=variable, port=address.port)
    reason = error.strerror or error
    if error.errno in (errno.EACCES, errno.EPERM):
        return PortForbidden(address=address, variable=variable, reason=reason)
    return AddressNotUsable(address=address, variable=variable, reason=reason)


def _listening(address: HttpAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind((address.host, address.port))
        # Two programs may bind the same address, but only one of them may listen.
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
