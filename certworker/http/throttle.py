"""
The connections to the HTTP port, and the server that accepts them.

Python runs one thread at a time, and a request costs some hundred microseconds of it: a flood would take the
time that jobs need. So a connection that requests what does not exist is read again a little later. What a CA
or a proxy requests exists, and is answered at once.

A connection that sends its request byte by byte costs little, but fills a place. So each request has to be
complete within :data:`REQUEST_SECONDS`, and a server that is full closes the connection that has waited the
longest. It never stops accepting: the next connection may be the CA's.
"""

from __future__ import annotations

import logging
from time import monotonic, sleep
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, Task, WSGITask

logger = logging.getLogger(__name__)

#: At least so long; the loop of the server looks at quiet connections once a second.
PAUSE_SECONDS = 2.0

#: All of them, open files of the jobs included, have to stay below the usual limit of 1,024.
CONNECTIONS = 500

#: Connections that are accepted before those that sent something are served.
ACCEPTED_AT_ONCE = 64

#: A request is complete after this, counted from the connection or from the answer before; and its answer has
#: been read after this. Let's Encrypt gives up after ten seconds, too.
REQUEST_SECONDS = 10.0

#: The loop looks at all connections each time one of them sends something. With many of them it rests between
#: two passes, and a pass serves all that has come meanwhile.
MANY = 50
REST_SECONDS = 0.005

#: For every answer: no cache stores it, and no browser takes it for anything but what it says it is.
HEADERS = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))


class ThrottledTask(WSGITask):
    """
    One request and its answer.
    """

    close_on_finish: bool

    def service(self) -> None:
        """
        Answer, and note whether there was something to answer.
        """
        super().service()
        if self.status.startswith("4"):  # what fails on our side, without Redis, is nobody's garbage
            self.channel.heard_again = monotonic() + PAUSE_SECONDS
            # Requests that were sent without waiting for the answers need no pause to be heard.
            self.close_on_finish |= len(self.channel.requests) > 1
        self.channel.waits_since = monotonic()


class Refusal(ErrorTask):
    """
    The answer to a request that waitress cannot read, or does not accept: 400, 413, 431, 501.
    """

    def execute(self) -> None:
        """
        Answer with the headers of every other answer.
        """
        self.response_headers.extend(HEADERS)
        super().execute()


class ThrottledChannel(HTTPChannel):
    """
    A connection.
    """

    task_class: type[Task] = ThrottledTask
    error_task_class: type[Task] = Refusal

    #: On the monotonic clock.
    heard_again = 0.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        #: When it was accepted or answered, on the monotonic clock. What it sends meanwhile does not count.
        self.waits_since = monotonic()
        super().__init__(*arguments, **options)

    def readable(self) -> bool:
        """
        Whether to listen to it.
        """
        return monotonic() >= self.heard_again and bool(super().readable())

    def writable(self) -> bool:
        """
        Whether it waits for an answer that is complete; for half of one the loop of the server would spin.
        """
        return not self.requests and bool(super().writable())


class BoundedServer(TcpWSGIServer):
    """
    A server with at most :data:`CONNECTIONS` connections, none of which can keep others out.
    """

    channel_class = ThrottledChannel

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._full = False

    def pass_once(self) -> None:
        """
        Read and write once what all connections, the listening one included, have to be read and written.
        """
        # Between two passes: within one, the number of a closed socket may be that of a new one already.
        self._close_the_slow(monotonic())
        wasyncore.loop(timeout=1.0, use_poll=True, map=self._map, count=1)
        if len(self.active_channels) > MANY:
            sleep(REST_SECONDS)

    def readable(self) -> bool:
        """
        Whether to accept connections: always.
        """
        return bool(self.accepting)

    def handle_accept(self) -> None:
        """
        Accept all that wait, up to :data:`ACCEPTED_AT_ONCE`.
        """
        for _ in range(ACCEPTED_AT_ONCE):
            before = len(self.active_channels)
            super().handle_accept()
            if len(self.active_channels) == before:
                return

    def _close_the_slow(self, now: float) -> None:
        unfinished = [each for each in self.active_channels.values() if not each.requests]
        unfinished.sort(key=lambda each: each.waits_since)
        surplus = len(self.active_channels) - CONNECTIONS
        for place, each in enumerate(unfinished):
            if place < surplus or now - each.waits_since > REQUEST_SECONDS:
                each.handle_close()
        if surplus > 0 and not self._full:
            self._full = True
            logger.warning(
                "the HTTP port has %d connections: those that wait the longest for their request are closed",
                CONNECTIONS,
            )
        elif len(self.active_channels) < CONNECTIONS / 2:
            self._full = False
