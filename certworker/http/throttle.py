"""
The connections to the HTTP port, and the server that accepts them.

Python runs one thread at a time, and each request takes a few hundred microseconds: a flood of requests would
delay the jobs. So after a request for an unknown path, the server reads from the connection only after a
pause. A CA or a proxy requests known paths, and gets its responses immediately.

A connection that sends its request byte by byte uses little CPU time, but occupies a slot. So each request
has to be complete within :data:`REQUEST_SECONDS`, and a full server closes the connection that has waited
longest. The server always accepts connections: the next one may come from a CA.
"""

from __future__ import annotations

import logging
from threading import Lock
from time import monotonic, sleep
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, Task, WSGITask

logger = logging.getLogger(__name__)

#: The minimum pause; the server checks idle connections once a second.
PAUSE_SECONDS = 2.0

#: The largest number of connections. With the open files of the jobs, it is below the usual limit of 1,024.
CONNECTIONS = 500

#: Connections that are accepted before other connections are served.
ACCEPTED_AT_ONCE = 64

#: A request must be complete, and its response read, within this time. The time starts with the connection or
#: the previous response. Let's Encrypt also waits ten seconds.
REQUEST_SECONDS = 10.0

#: The loop checks all connections whenever one of them sends something. With many connections, it pauses
#: between two passes, and a pass serves all data that arrived in the meantime.
MANY_CONNECTIONS = 50
PASS_PAUSE_SECONDS = 0.005

#: The headers of every response: no cache stores it, and no browser guesses its type.
HEADERS = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))


class ThrottledTask(WSGITask):
    """
    One request and its response.
    """

    close_on_finish: bool

    def service(self) -> None:
        """
        Respond, and delay the next request after a client error.
        """
        super().service()
        if self.status.startswith("4"):  # 5xx is not a fault of the client
            self.channel.readable_again = monotonic() + PAUSE_SECONDS
            # Pipelined requests do not wait for the pause, so the connection is closed.
            self.close_on_finish |= len(self.channel.requests) > 1
        self.channel.waiting_since = monotonic()


class RejectionTask(ErrorTask):
    """
    The response to a request that waitress cannot parse or does not accept: 400, 413, 431, 501.
    """

    def execute(self) -> None:
        """
        Respond, with the headers of every other response.
        """
        self.response_headers.extend(HEADERS)
        super().execute()


class ThrottledChannel(HTTPChannel):
    """
    A connection, with the time of its next read.
    """

    task_class: type[Task] = ThrottledTask
    error_task_class: type[Task] = RejectionTask

    #: The time of the next read, on the monotonic clock.
    readable_again = 0.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        #: The time of the connection or the last response, on the monotonic clock. Received bytes do not
        #: count.
        self.waiting_since = monotonic()
        super().__init__(*arguments, **options)

    def readable(self) -> bool:
        """
        Return whether to read from the connection.
        """
        return monotonic() >= self.readable_again and bool(super().readable())

    def writable(self) -> bool:
        """
        Return whether a complete response waits to be sent. An incomplete response would make the loop spin.
        """
        return not self.requests and bool(super().writable())


class BoundedServer(TcpWSGIServer):
    """
    A server with at most :data:`CONNECTIONS` connections, none of which can block others.
    """

    channel_class = ThrottledChannel

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._trigger_lock = Lock()
        self._has_stopped = False
        super().__init__(*arguments, **options)
        self._full = False

    def pull_trigger(self) -> None:
        """
        Wake the loop, unless the server has stopped.

        The thread of an answer calls this method at its end. After the stop, another file may have the number
        of the trigger.
        """
        with self._trigger_lock:
            if not self._has_stopped:
                super().pull_trigger()

    def stop(self) -> None:
        """
        Close the server and its connections, in the thread of the loop.
        """
        with self._trigger_lock:
            if not self._has_stopped:
                self.trigger.pull_trigger(self._close_all)

    def _close_all(self) -> None:
        with self._trigger_lock:
            self._has_stopped = True
            self.close()
        # A connection closes between two writes of the thread that answers.
        for channel in list(self.active_channels.values()):
            channel.handle_close()

    def pass_once(self) -> None:
        """
        Read and write all connections once, including the listening socket.
        """
        # Slow connections are closed before the pass. During it, a new socket may reuse the number of a
        # closed one.
        self._close_slow(monotonic())
        wasyncore.loop(timeout=1.0, use_poll=True, map=self._map, count=1)
        if len(self.active_channels) > MANY_CONNECTIONS:
            sleep(PASS_PAUSE_SECONDS)

    def readable(self) -> bool:
        """
        Return whether the server accepts connections, which it does even when it is full.
        """
        return bool(self.accepting)

    def handle_accept(self) -> None:
        """
        Accept all waiting connections, at most :data:`ACCEPTED_AT_ONCE`.
        """
        for _ in range(ACCEPTED_AT_ONCE):
            before = len(self.active_channels)
            super().handle_accept()
            if len(self.active_channels) == before:
                return

    def _close_slow(self, now: float) -> None:
        unfinished = [each for each in self.active_channels.values() if not each.requests]
        unfinished.sort(key=lambda each: each.waiting_since)
        surplus = len(self.active_channels) - CONNECTIONS
        for index, each in enumerate(unfinished):
            if index < surplus or now - each.waiting_since > REQUEST_SECONDS:
                each.handle_close()
        if surplus > 0 and not self._full:
            self._full = True
            logger.warning(
                "the HTTP port has %d connections: the server closes those that have waited longest",
                CONNECTIONS,
            )
        elif len(self.active_channels) < CONNECTIONS / 2:
            self._full = False
