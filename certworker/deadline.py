"""
One deadline for a whole exchange over a network, however many pieces its bytes come in.

The timeout of a socket applies to a single call, so a peer that sends one byte every few seconds never
exceeds it. A socket that a :class:`Deadline` opens gets a new timeout before each call: what is left of the
deadline. The resolution of the host, the connection and the TLS handshake count, too.
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

#: Bytes. An exchange with any peer ends here.
LARGEST_EXCHANGE = 64 << 20


@dataclass(frozen=True)
class Place:
    """
    One address of a host, with a port.
    """

    family: int
    #: As the socket module has it.
    address: tuple[Any, ...]

    @classmethod
    def of(cls, address: IPv4Address | IPv6Address, port: int) -> Place:
        """
        Return the place at *address*, which needs no resolver.
        """
        return cls(socket.AF_INET6 if address.version == 6 else socket.AF_INET, (str(address), port))

    @property
    def ip(self) -> IPv4Address | IPv6Address:
        """
        The address without the port.
        """
        return ip_address(self.address[0])


class Deadline:
    """
    The moment at which an exchange ends, complete or not. It begins with the creation of this object.

    Args:
        seconds: How long the exchange may take as a whole.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._moment = time.monotonic() + seconds
        self._received = 0

    def left(self) -> float:
        """
        Return how many seconds are left.

        Raises:
            TimeoutError: None.
        """
        left = self._moment - time.monotonic()
        if left <= 0:
            raise self._over()
        return left

    @contextmanager
    def applied(self, connection: socket.socket) -> Iterator[None]:
        """
        Give the one call within the block as long as is left.

        Raises:
            TimeoutError: It took longer.
        """
        connection.settimeout(self.left())
        try:
            yield
        except TimeoutError:
            raise self._over() from None

    @contextmanager
    def begun(self) -> Iterator[None]:
        """
        Bind the kept connections that this thread opens or uses within the block to this deadline.

        A kept connection outlives the exchange that opened it; see :func:`kept` for TLS.
        """
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    @staticmethod
    def present() -> Deadline:
        """
        Return the deadline of the block of :meth:`begun` in which this thread is.

        Raises:
            LookupError: It is in none.
        """
        return _current.get()

    def places(self, host: str, port: int) -> list[Place]:
        """
        Resolve *host*, which may be an IP address, with the resolver of this machine.

        Raises:
            OSError: It has no address, or the resolver does not answer in time.
        """
        # The C library has no deadline for this, and a thread that waits in it cannot be interrupted.
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
        Connect to the first of *places* that accepts; each gets its share of the time that is left.

        Args:
            most_seconds: The largest share of a place.

        Raises:
            OSError: None accepts; the reason of the last one.
        """
        trouble = OSError("no address")
        for number, place in enumerate(places):
            share = min(self.left() / (len(places) - number), most_seconds)
            try:
                return self._opened(place.family, place.address, share)
            except OSError as error:
                trouble = error
        raise trouble

    def connect_to(self, host: str, port: int) -> socket.socket:
        """
        Resolve *host* and connect to its first address that accepts.

        Raises:
            OSError: None accepts, or there is none.
        """
        return self.connect(self.places(host, port))

    def connect_unix(self, path: str) -> socket.socket:
        """
        Connect to the Unix socket at *path*.

        Raises:
            OSError: No program listens there.
        """
        return self._opened(socket.AF_UNIX, path, self.left())

    def secure(self, connection: socket.socket, context: ssl.SSLContext, host: str | None) -> ssl.SSLSocket:
        """
        Begin TLS on *connection*, which this deadline has opened.

        Args:
            host: The name that the handshake asks for (SNI) and that *context* verifies; None: no name.

        Raises:
            OSError: The handshake fails, or is not complete in time.
        """
        return self.within(context).wrap_socket(connection, server_hostname=host)

    def within(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """
        Return *context*, changed so that what it secures is bound to this deadline.
        """

        class Secured(_SecuredSocket):
            own = self

        context.sslsocket_class = Secured
        return context

    def received(self, count: int) -> int:
        """
        Count bytes that have come in, and return *count*.

        Raises:
            OSError: They are more than any exchange brings.
        """
        self._received += count
        if self._received > LARGEST_EXCHANGE:
            raise OSError(f"an answer of more than {LARGEST_EXCHANGE >> 20} MB")
        return count

    def _over(self) -> TimeoutError:
        return TimeoutError(f"no complete answer within {self._seconds:g} s")

    def _opened(self, family: int, address: Any, seconds: float) -> socket.socket:
        opened = _PlainSocket(family, socket.SOCK_STREAM)
        # A connection that is opened within `begun` is a kept one.
        opened.own = None if _current.get(None) is self else self
        try:
            opened.settimeout(seconds)
            opened.connect(address)
        except BaseException:
            opened.close()
            raise
        return opened


def kept(context: ssl.SSLContext) -> ssl.SSLContext:
    """
    Return *context*, changed so that what it secures is bound to the deadline of each exchange that uses it.

    :meth:`Deadline.begun` names the present one.
    """
    context.sslsocket_class = _SecuredSocket
    return context


#: The exchange that this thread is in.
_current: ContextVar[Deadline] = ContextVar("deadline")


class _Bound:
    #: None: that of the present exchange.
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
    # Its other methods for reading and writing end in these.

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
    except Exception as error:  # The codec raises a UnicodeError for what is no host; another thread waits.
        answer.put(OSError(f"{host} is no host ({error})"))
    else:
        answer.put([Place(family, address) for family, *_, address in found])
