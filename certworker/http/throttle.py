"""
The connections to a port, their limits, and the server that accepts them.

Python runs one thread at a time, and each request takes a few hundred microseconds: a flood of requests would
delay the jobs. So after an error of the client, such as an unknown path, the HTTP port reads from the
connection only after a pause. A CA or a proxy requests known paths, and gets its responses immediately.

A client that sends its request byte by byte uses little CPU time, but occupies a connection. So each request
has to be complete within :data:`REQUEST_SECONDS`, and a full server closes the connections that have waited
longest. The server always accepts connections: the next one may come from a CA.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from time import monotonic, sleep
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, Task, WSGITask

logger = logging.getLogger(__name__)

#: The maximum number of connections that are accepted before other connections are served.
ACCEPTED_AT_ONCE = 64

#: A request must be complete within this time after the connection or the previous response. The client must
#: also read each part of a response within this time. Let's Encrypt waits as long for a response.
REQUEST_SECONDS = 10.0

#: For this time, the loop leaves each part of an unfinished response to the thread that writes it.
LEFT_TO_THE_THREAD_SECONDS = 0.1

#: The loop checks all connections whenever one of them sends something. With more than this number of
#: connections, the loop pauses between two passes. The next pass reads from all that have sent something.
MANY_CONNECTIONS = 50
PASS_PAUSE_SECONDS = 0.005

#: Headers of every response: no cache stores the response, and no browser guesses its type.
HEADERS = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))


@dataclass(frozen=True)
class Bounds:
    """
    The limits of a server.

    Attributes:
        subject: The name of the port in the log.
        connections: The maximum number of connections.
        threads: The number of threads that respond.
        pause_seconds: The minimum pause of a connection after a client error; 0: no pause. The pause may be
            up to a second longer, because an idle server checks its connections once a second.
        read_at_once: The maximum number of bytes of one read, which are parsed together.
        longest_header: The maximum size of the request line and the headers in bytes.
        longest_body: The maximum size of a body in bytes.
        unread: The thread that writes a response waits while more than this number of bytes are unsent.
        ahead: With more than this number of unanswered requests, the server reads nothing from a connection.
            If it is not 0, the server notices that a client disconnects before the end of a stream.
        pipelined: The maximum number of unanswered requests of a connection. With more, the server closes the
            connection after the current response. Browsers and proxies wait for each response.
    """

    subject: str
    connections: int
    threads: int
    pause_seconds: float
    read_at_once: int
    longest_header: int
    longest_body: int
    unread: int
    ahead: int = 0
    pipelined: int = 1_000


class StrictParser(HTTPRequestParser):
    """
    Parses a request, and rejects invalid requests that waitress does not reject.

    For some of them, waitress would log an error and send no response. It would accept the others.
    """

    headers: dict[str, str]
    chunked: bool

    def parse_header(self, header_plus: bytes) -> None:
        """
        Parse the request line and the headers.

        Raises:
            ParsingError: They are invalid, or the length of the body is ambiguous (RFC 9112, section 6.1).
            TransferEncodingNotImplemented: The body has another transfer coding than `chunked`.
        """
        try:
            super().parse_header(header_plus)
        except ValueError as error:
            # For example, the target is http://[, or Content-Length has 5,000 digits.
            raise ParsingError("The request is malformed.") from error
        # waitress removes Transfer-Encoding only from the headers of an HTTP/1.1 request.
        if "TRANSFER_ENCODING" in self.headers or (self.chunked and "CONTENT_LENGTH" in self.headers):
            raise ParsingError("The length of the body is ambiguous.")


class ThrottledTask(WSGITask):
    """
    One request and its response.
    """

    close_on_finish: bool

    def service(self) -> None:
        """
        Respond. After a client error, delay the next request or close the connection.

        Also close the connection if it has too many unanswered requests.
        """
        self.channel.is_served = True
        try:
            super().service()
        finally:
            self.channel.is_served = False
        pause_seconds = self.channel.server.bounds.pause_seconds
        self.close_on_finish |= len(self.channel.requests) > self.channel.server.bounds.pipelined
        if pause_seconds and self.status.startswith("4"):  # 5xx is not a fault of the client
            self.channel.readable_again = monotonic() + pause_seconds
            # Pipelined requests do not wait for the pause, so the connection is closed.
            self.close_on_finish |= len(self.channel.requests) > 1
        self.channel.waiting_since = monotonic()


class RejectionTask(ErrorTask):
    """
    The response to a request that waitress cannot parse or does not accept (400, 413, 431 or 501).

    It is also the response after an internal error (500).
    """

    def execute(self) -> None:
        """
        Respond, with :data:`HEADERS` as in every other response.
        """
        self.response_headers.extend(HEADERS)
        super().execute()


class ThrottledChannel(HTTPChannel):
    """
    A connection, with the times of its next read and its last progress.
    """

    task_class: type[Task] = ThrottledTask
    error_task_class: type[Task] = RejectionTask
    parser_class: type[HTTPRequestParser] = StrictParser

    #: Whether a request is getting its response. Otherwise, the requests of the connection wait for a thread.
    is_served = False

    #: The earliest time of the next read, on the monotonic clock.
    readable_again = 0.0

    #: Whether the loop is reading from the connection, and whether it responds to the request afterwards.
    is_reading = False
    responds_at_once = False

    #: The time since which a part of an unfinished response has been waiting for the client; None: no part.
    unread_since: float | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        #: The time of the connection, the last complete request, or the last response (on the monotonic
        #: clock). A part of a request does not count.
        self.waiting_since = monotonic()
        super().__init__(*arguments, **options)

    def received(self, data: bytes) -> bool:
        """
        Parse *data*. The wait of a complete request begins now, unless earlier requests are unanswered.

        Return False if nothing was parsed, because the connection is about to close.
        """
        was_idle = not self.requests
        parsed = bool(super().received(data))
        if was_idle and self.requests:
            self.waiting_since = monotonic()
        return parsed

    def readable(self) -> bool:
        """
        Return whether to read from the connection.
        """
        return monotonic() >= self.readable_again and bool(super().readable())

    def handle_read(self) -> None:
        """
        Read from the connection. Respond to a request that needs no thread.
        """
        self.is_reading = True
        super().handle_read()
        self.is_reading = False
        if self.responds_at_once:
            self.responds_at_once = False
            self.service()

    def writable(self) -> bool:
        """
        Return whether the loop has to write the rest of a response, or to close the connection.

        While a thread writes a response, the thread sends each part. The loop helps only after a while: if it
        always tried to send the same part, it would spin.
        """
        since = self.unread_since
        waits = since is not None and monotonic() - since > LEFT_TO_THE_THREAD_SECONDS
        return (waits or not self.requests) and bool(super().writable())

    def is_slow(self, now: float) -> bool:
        """
        Return whether the next request is not complete in time, or the client does not read a response in
        time. Record since when a part of the response has been waiting.
        """
        if not self.requests:
            return now - self.waiting_since > REQUEST_SECONDS
        # The response may be a stream, which has no end. Its client has to read each part within the time.
        if not self.total_outbufs_len:
            self.unread_since = None
        elif self.unread_since is None:
            self.unread_since = now
        return self.unread_since is not None and now - self.unread_since > REQUEST_SECONDS


class BoundedServer(TcpWSGIServer):
    """
    A server with a limited number of connections, none of which can block the others.
    """

    channel_class = ThrottledChannel

    def __init__(
        self, bounds: Bounds, responds_at_once: Callable[[str], bool], *arguments: Any, **options: Any
    ) -> None:
        """
        Args:
            bounds: The limits of the server.
            responds_at_once: Returns whether the loop responds to requests for a path, without a thread.
            arguments: The positional arguments of the waitress server.
            options: The named arguments of the waitress server.
        """
        #: The limits of the server, which its connections read.
        self.bounds = bounds
        self._responds_at_once = responds_at_once
        self._trigger_lock = Lock()
        self._has_stopped = False
        self._full = False
        super().__init__(
            *arguments,
            threads=bounds.threads,
            recv_bytes=bounds.read_at_once,
            max_request_header_size=bounds.longest_header,
            max_request_body_size=bounds.longest_body,
            outbuf_high_watermark=bounds.unread,
            channel_request_lookahead=bounds.ahead,
            **options,
        )

    def add_task(self, task: ThrottledChannel) -> None:
        """
        Leave the first request of the connection *task* to a thread, or to the loop after its read.

        A thread costs two switches between threads, each of which may take longer than the response.
        """
        request = task.requests[0]
        if task.is_reading and not request.error and self._responds_at_once(request.path):
            task.responds_at_once = True
        else:
            super().add_task(task)

    def pull_trigger(self) -> None:
        """
        Wake the loop, unless the server has stopped.

        A thread that responds calls this method, possibly after the stop. Another file may then have the
        descriptor of the trigger.
        """
        with self._trigger_lock:
            if not self._has_stopped:
                super().pull_trigger()

    def stop(self) -> None:
        """
        Wake the loop, whose thread then closes the server and its connections.
        """
        with self._trigger_lock:
            if not self._has_stopped:
                self.trigger.pull_trigger(self._close_all)

    def _close_all(self) -> None:
        with self._trigger_lock:
            self._has_stopped = True
            self.close()
        # A connection closes between two writes of the thread that responds.
        for channel in list(self.active_channels.values()):
            channel.handle_close()

    def pass_once(self) -> None:
        """
        Close the slow connections. Then accept new ones, and read or write each ready connection once.
        """
        # Slow connections are closed before the pass. During the pass, a new socket may get the descriptor of
        # a closed one.
        self._close_slow(monotonic())
        wasyncore.loop(timeout=1.0, use_poll=True, map=self._map, count=1)
        if len(self.active_channels) > MANY_CONNECTIONS:
            sleep(PASS_PAUSE_SECONDS)

    def readable(self) -> bool:
        """
        Return whether the server accepts connections. It does so even when it is full.
        """
        return bool(self.accepting)

    def handle_accept(self) -> None:
        """
        Accept the waiting connections, at most :data:`ACCEPTED_AT_ONCE` of them.
        """
        for _ in range(ACCEPTED_AT_ONCE):
            before = len(self.active_channels)
            super().handle_accept()
            if len(self.active_channels) == before:
                return

    def _close_slow(self, now: float) -> None:
        channels, most = list(self.active_channels.values()), self.bounds.connections
        slow = [each for each in channels if each.is_slow(now)]
        # A request that is getting its response does not count.
        queued = [each for each in channels if each.requests and not each.is_served]
        # Requests that wait for a thread must not occupy all places. The oldest connections make room.
        waiting = queued if len(queued) > most / 2 else [each for each in channels if not each.requests]
        waiting.sort(key=lambda each: each.waiting_since)
        surplus = len(channels) - most
        for each in dict.fromkeys([*slow, *waiting[: max(0, surplus)]]):
            each.handle_close()
        if surplus > 0 and not self._full:
            self._full = True
            logger.warning(
                "%s has more than %d connections: the server closes those that have waited longest",
                self.bounds.subject,
                most,
            )
        elif len(channels) < most / 2:
            self._full = False
