"""
The requests from CAs for the responses that this worker presents, so that an order knows when to poll.

A CA decides a few milliseconds after its requests. An earlier poll is useless, and a later one wastes time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event

#: How long an order waits for a further request before it polls. A CA requests a response from several places
#: at the same time, and decides after the last request.
SETTLED_SECONDS = 0.003


@dataclass
class _Fetch:
    #: Set after the first request.
    requested: Event = field(default_factory=Event)
    #: The time of the latest request, on the monotonic clock.
    latest: float = 0.0


class Fetches:
    """
    The requests for the tokens that this worker presents. Any number of threads may use one object.
    """

    def __init__(self) -> None:
        self._fetches: dict[str, _Fetch] = {}

    def expect(self, token: str) -> None:
        """
        Start recording the requests for *token*.
        """
        self._fetches[token] = _Fetch()

    def forget(self, token: str) -> None:
        """
        Stop recording the requests for *token*.
        """
        self._fetches.pop(token, None)

    def note(self, token: str) -> None:
        """
        Record a request for *token*, if it is expected.
        """
        if fetch := self._fetches.get(token):
            fetch.latest = time.monotonic()
            fetch.requested.set()

    def wait(self, tokens: Sequence[str], seconds: float) -> None:
        """
        Wait until each of *tokens* has been requested and the requests have ended, for at most *seconds*.

        Another worker or a web server may respond instead, so the requests may never arrive here.
        """
        end = time.monotonic() + seconds
        fetches = [self._fetches.get(token, _Fetch()) for token in tokens]
        for fetch in fetches:
            fetch.requested.wait(max(0.0, end - time.monotonic()))
        while (left := min(end, _settled(fetches, end)) - time.monotonic()) > 0:
            time.sleep(left)


def _settled(fetches: Sequence[_Fetch], end: float) -> float:
    if not all(fetch.requested.is_set() for fetch in fetches):
        return end
    return max((fetch.latest for fetch in fetches), default=end) + SETTLED_SECONDS
