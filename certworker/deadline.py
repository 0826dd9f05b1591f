"""
One deadline for a whole exchange over a network, independent of the number of reads and writes.

The timeout of a socket applies to a single call. A peer that sends one byte every few seconds never exceeds
it. A socket that a :class:`Deadline` opens gets a new timeout before each call: the remaining time. The
deadline includes the resolution of the host, the connection and the TLS handshake.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from math import inf
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

#: The maximum number of bytes that a peer may send in one exchange.
LARGEST_EXCHANGE = 64 << 20


@dataclass(frozen=True)
class Place:
    """
    One address of a host, with a port.
    """

    family: int
    #: The address in the format of the socket module.
    address: tuple[Any, ...]

    @classmethod
    def of(cls, address: IPv4Address | IPv6Address, port: int) -> Place:
        """
        Return the place at *address*, without a resolver.
        """
        return cls(socket.AF_INET6 if address.version == 6 else socket.AF_INET, (str(address), port))

    @property
    def ip(self) -> IPv4Address | IPv6Address:
        """
        Return the address without the port.
        """
        return ip_address(self.address[0])


class Deadline:
    """
    The latest end of an exchange, which begins with the creation of this object.

    Args:
        seconds: How long the whole exchange may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._moment = time.monotonic() + seconds
        self._received = 0

    def left(self) -> float:
        """
        Return the remaining time in seconds.

        Raises:
            TimeoutError: No time is left.
        """
        left = self._moment - time.monotonic()
        if left <= 0:
            raise self._over()
        return left

    @contextmanager
    def applied(self, connection: socket.socket) -> Iterator[None]:
        """
        Set the timeout of *connection* to the remaining time, for the one call within the block.

        Raises:
            TimeoutError: No time is left, or the call took longer.
        """
        connection.settimeout(self.left())
        try:
            yield
        except TimeoutError:
            raise self._over() from None

    @contextmanager
    def begun(self) -> Iterator[None]:
        """
        Bind the persistent connections that this thread opens or uses within the block to this deadline.

        A persistent connection outlives the exchange that opened it; see :func:`bind_to_exchanges` for TLS.
        """
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    @staticmethod
    def present() -> Deadline:
        """
        Return the deadline of the :meth:`begun` block that this thread is in.

        Raises:
            LookupError: This thread is in no such block.
        """
        return _current.get()

    def places(self, host: str, port: int) -> list[Place]:
        """
        Resolve *host*, which may be an IP address, with the resolver of this machine.

        Raises:
            OSError: *host* is invalid or has no address, or the resolver does not respond in time.
        """
        # The resolver of the C library has no deadline, and Python cannot interrupt a thread inside it.
        answer: SimpleQueue[list[Place] | OSError] = SimpleQueue()
        Thread(target=_resolve, args=(host, port, answer), name="resolve", daemon=True).start()
        try:
            resolved = answer.get(timeout=self.left())
        except Empty:
            raise TimeoutError(f"no address of {host} within {self._seconds:g} s") from None
        if isinstance(resolved, OSError):
            raise resolved
        return resolved

    def connect(self, places: Sequence[Place], *, most_seconds: float = inf) -> socket.socket:
        """
        Connect to the first of *places* that accepts; each gets an equal share of the remaining time.

        Args:
            most_seconds: The maximum time for one place.

        Raises:
            OSError: No place accepts, and this is the error of the last one. Or *places* is empty, or no time
                is left.
        """
        last_error = OSError("no address")
        for number, place in enumerate(places):
            share = min(self.left() / (len(places) - number), most_seconds)
            try:
                return self._opened(place.family, place.address, share)
            except OSError as error:
                last_error = error
        raise last_error

    def connect_to(self, host: str, port: int) -> socket.socket:
        """
        Resolve *host* and connect to its first address that accepts.

        Raises:
            OSError: *host* is invalid or has no address, or no address accepts in time.
        """
        return self.connect(self.places(host, port))

    def connect_unix(self, path: str) -> socket.socket:
        """
        Connect to the Unix socket at *path*.

        Raises:
            OSError: No program listens there, or the connection takes longer than the remaining time.
        """
        return self._opened(socket.AF_UNIX, path, self.left())

    def secure(self, connection: socket.socket, context: ssl.SSLContext, host: str | None) -> ssl.SSLSocket:
        """
        Start TLS on *connection*, and bind it to this deadline.

        Args:
            host: The name that the handshake sends (SNI) and that *context* verifies; None sends no name.

        Raises:
            OSError: The handshake fails, or takes longer than the remaining time.
        """
        return self.within(context).wrap_socket(connection, server_hostname=host)

    def within(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """
        Bind the sockets that *context* wraps to this deadline; return *context*.
        """

        class Secured(_SecuredSocket):
            own = self

        context.sslsocket_class = Secured
        return context

    def received(self, count: int) -> int:
        """
        Add *count* to the received bytes, and return *count*.

        Raises:
            OSError: The exchange has exceeded :data:`LARGEST_EXCHANGE`.
        """
        self._received += count
        if self._received > LARGEST_EXCHANGE:
            raise OSError(f"a response of more than {LARGEST_EXCHANGE >> 20} MB")
        return count

    def _over(self) -> TimeoutError:
        return TimeoutError(f"no complete response within {self._seconds:g} s")

    def _opened(self, family: int, address: Any, seconds: float) -> socket.socket:
        opened = _PlainSocket(family, socket.SOCK_STREAM)
        # A connection that a thread opens within `begun` is persistent.
        opened.own = None if _current.get(None) is self else self
        try:
            opened.settimeout(seconds)
            opened.connect(address)
        except BaseException:
            opened.close()
            raise
        return opened


def bind_to_exchanges(context: ssl.SSLContext) -> ssl.SSLContext:
    """
    Bind the sockets that *context* wraps to the deadline of the current exchange; return *context*.

    :meth:`Deadline.begun` sets the current deadline.
    """
    context.sslsocket_class = _SecuredSocket
    return context


#: The deadline of the current exchange of this thread.
_current: ContextVar[Deadline] = ContextVar("deadline")


class _Bound:
    #: The deadline of this connection; None means that of the current exchange.
    own: Deadline | None = None

    @property
    def deadline(self) -> Deadline:
        return self.own or _current.get()


class _PlainSocket(_Bound, socket.socket):
    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        with self.deadline.applied(self):
            received = super().recv(bufsize, flags)
        self.deadline.received(len(received))
        return received

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        with self.deadline.applied(self):
            return self.deadline.received(super().recv_into(buffer, nbytes, flags))

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        with self.deadline.applied(self):
            return super().send(data, flags)

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        with self.deadline.applied(self):
            super().sendall(data, flags)


class _SecuredSocket(_Bound, ssl.SSLSocket):
    # `sendall` and the file from `makefile` call these methods.

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        with self.deadline.applied(self):
            received = super().recv(buflen, flags)
        self.deadline.received(len(received))
        return received

    def do_handshake(self, block: bool = False) -> None:
        with self.deadline.applied(self):
            super().do_handshake(block)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        with self.deadline.applied(self):
            return self.deadline.received(super().recv_into(buffer, nbytes, flags))

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        with self.deadline.applied(self):
            return super().send(data, flags)


def _resolve(host: str, port: int, answer: SimpleQueue[list[Place] | OSError]) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        answer.put(error)
    except Exception as error:  # The codec raises UnicodeError for an invalid host.
        answer.put(OSError(f"{host} is not a host ({error})"))
    else:
        answer.put([Place(family, address) for family, *_, address in found])
