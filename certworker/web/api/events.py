"""
The outcomes of jobs as server-sent events (HTML Living Standard, section 9.2), from `certworker:events`.

Each open stream occupies a thread of the server. So the number of streams is limited, and each ends after ten
minutes. The browser then connects again, and the new stream continues after the event in `Last-Event-ID`.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any

from flask import Response, request
from redis import Redis
from redis.exceptions import RedisError

from certworker.dashboard.own_names import own_event
from certworker.observability.events import EVENTS
from certworker.redis.codec import decode_text, fields_in
from certworker.web.access import Access, current_access
from certworker.web.access.accesses import session_id
from certworker.web.api.parameters import query_values
from certworker.web.api.responses import Busy, components

#: The maximum number of open streams: of all callers, of all tenants, and of one caller.
MOST_STREAMS = 6
MOST_STREAMS_OF_TENANTS = 4
MOST_STREAMS_OF_ONE = 2

#: The longest duration of a stream, and the time without events after which a comment keeps it open.
STREAM_SECONDS = 600.0
HEARTBEAT_SECONDS = 15.0

#: How long one read of Redis waits. The server detects a closed connection within this time.
WAIT_MILLISECONDS = 1_000
#: The maximum number of events of one read.
EVENTS_AT_ONCE = 100

#: How long a client waits before it connects again.
RETRY_MILLISECONDS = 3_000

#: The kinds of callers.
OPERATOR, TENANT = "operator", "tenant"

_ID = re.compile(r"[0-9]{1,15}-[0-9]{1,15}")


class Streams:
    """
    Limits the number of open streams.
    """

    def __init__(self) -> None:
        self._open: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()

    def enter(self, access: Access) -> None:
        """
        Take a place for the caller with *access*. All tokens of a tenant are one caller.

        Raises:
            Busy: No place is free for this caller.
        """
        kind, caller = _caller(access)
        with self._lock:
            tenants = sum(count for (kind, _), count in self._open.items() if kind == TENANT)
            if (
                self._open.total() >= MOST_STREAMS
                or self._open[kind, caller] >= MOST_STREAMS_OF_ONE
                or (kind == TENANT and tenants >= MOST_STREAMS_OF_TENANTS)
            ):
                raise Busy("Too many streams of events are open.")
            self._open[kind, caller] += 1

    def leave(self, access: Access) -> None:
        """
        Free the place of the caller with *access*.
        """
        with self._lock:
            self._open[_caller(access)] -= 1
            self._open += Counter()


def _caller(access: Access) -> tuple[str, str]:
    return (OPERATOR, access.identity) if access.tenant is None else (TENANT, access.tenant)


_streams = Streams()


def stream_events() -> Response:
    """
    Stream the outcomes of jobs as server-sent events.
    """
    query_values(())
    access, connection = current_access(), components().sources.connection
    after = last_id(connection, request.headers.get("Last-Event-ID", ""))
    has_left: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
    accesses, session = components().access, session_id()

    def is_gone() -> bool:
        return has_left() or not accesses.is_current(access, session)

    _streams.enter(access)
    response = Response(
        events_after(connection, after, access.tenant, is_gone), content_type="text/event-stream"
    )
    response.call_on_close(lambda: _streams.leave(access))
    # Without this header, a proxy such as nginx buffers the events.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def last_id(connection: Redis, given: str) -> str:
    """
    Return the id after which a stream starts: the *given* one if it is valid, or the id of the latest event.

    Raises:
        redis.RedisError: Redis failed.
    """
    if _ID.fullmatch(given):
        return given
    last: Any = connection.xrevrange(EVENTS, count=1)
    return decode_text(last[0][0]) if last else "0-0"


def events_after(
    connection: Redis,
    after: str,
    tenant: str | None,
    is_gone: Callable[[], bool],
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[bytes]:
    """
    Yield the events after the one with the id *after*, as they happen, for at most ten minutes.

    The stream ends early if Redis fails, or if *is_gone* returns True.

    Args:
        tenant: The tenant whose events to yield; None for all.
        is_gone: Returns whether the client has closed the connection, or may no longer read.
        monotonic: Returns monotonic seconds.
    """
    ends = monotonic() + STREAM_SECONDS
    # If the client connects again before the first event, it continues after this id.
    yield f"retry: {RETRY_MILLISECONDS}\nid: {after}\n\n".encode()
    spoke = monotonic()
    while monotonic() < ends and not is_gone():
        try:
            found: Any = connection.xread({EVENTS: after}, EVENTS_AT_ONCE, WAIT_MILLISECONDS)
        except RedisError:
            return  # the client connects again, and continues when Redis responds
        for event_id, fields in found[0][1] if found else ():
            after = decode_text(event_id)
            event = fields_in(fields.get(b"event"))
            try:
                shown = own_event(connection, event, tenant) if event and tenant is not None else event
            except RedisError:
                return
            if shown:
                yield f"id: {after}\ndata: {json.dumps(shown, ensure_ascii=False)}\n\n".encode()
                spoke = monotonic()
        if monotonic() - spoke >= HEARTBEAT_SECONDS:
            yield b": the stream is open\n\n"
            spoke = monotonic()
