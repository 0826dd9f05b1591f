"""
When the CA suggests to renew a certificate (ACME Renewal Information, RFC 9773).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from certworker.acme.network import Network
from certworker.acme.transport import Reply
from certworker.acme.waiting import retry_after
from certworker.errors import CertworkerError
from certworker.renewal import Window

logger = logging.getLogger(__name__)

#: What a CA says about the next question is kept within these limits (RFC 9773, section 4.3.1).
SHORTEST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(days=1)
#: Without an answer: longer each time, up to the pause for a fault that lasts (section 4.3.3).
LONGEST_BACKOFF = timedelta(hours=6)

#: So many answers are kept in memory; one is some 300 bytes.
ANSWERS_KEPT = 100_000


@dataclass(frozen=True)
class Suggestion:
    """
    What the CA said last.
    """

    window: Window | None
    ask_again: datetime
    faults: int = 0


class RenewalInfo:
    """
    The windows that one CA suggests, asked for when they are needed and its Retry-After has passed.
    """

    def __init__(self, network: Network, clock: Callable[[], datetime]) -> None:
        self._network = network
        self._clock = clock
        self._known: dict[str, Suggestion] = {}
        self._lock = Lock()

    def suggestion(self, renewal_id: str, name: str) -> Suggestion | None:
        """
        The window for the certificate *renewal_id* (section 4.1); None where the CA suggests none at all.

        An error keeps the window that was known: the certificate is renewed in time without the CA's advice.

        Args:
            name: A name of the certificate, for the log.
        """
        url = self._url(renewal_id)
        if url is None:
            return None
        with self._lock:
            known = self._known.get(renewal_id)
        if known and self._clock() < known.ask_again:
            return known
        asked = self._ask(url, known)
        if asked.window and known and known.window and known.window != asked.window:
            _tell_moved(name, asked.window)
        with self._lock:
            if len(self._known) >= ANSWERS_KEPT:
                self._known.clear()
            self._known[renewal_id] = asked
        return asked

    def _url(self, renewal_id: str) -> str | None:
        try:
            base = self._network.directory().renewal_info
        except CertworkerError:
            return None
        return f"{base.rstrip('/')}/{renewal_id}" if base else None

    def _ask(self, url: str, known: Suggestion | None) -> Suggestion:
        now = self._clock()
        try:
            reply = self._network.get(url)
            window = _window(reply)
        except CertworkerError as failure:
            faults = known.faults + 1 if known else 1
            logger.debug("no renewal information: %s", failure)
            pause = min(SHORTEST_PAUSE * 2 ** min(faults, 16), LONGEST_BACKOFF)
            return Suggestion(known.window if known else None, now + pause, faults)
        wanted = (retry_after(reply.headers, now) or now + LONGEST_BACKOFF) - now
        return Suggestion(window, now + min(max(wanted, SHORTEST_PAUSE), LONGEST_PAUSE))


def _window(reply: Reply) -> Window | None:
    told = reply.document.get("suggestedWindow")
    try:
        assert isinstance(told, dict)  # noqa: S101
        start, end = (datetime.fromisoformat(str(told[edge])) for edge in ("start", "end"))
        explanation: Any = reply.document.get("explanationURL")
        # A window that ends before it begins is to be treated as none (section 4.2).
        return Window(start, end, str(explanation) if explanation else "") if start < end else None
    except (AssertionError, KeyError, ValueError, TypeError):
        raise reply.unusable("no suggestedWindow") from None


def _tell_moved(name: str, window: Window) -> None:
    logger.warning(
        "the CA wants this certificate renewed between %s and %s%s",
        f"{window.start:%Y-%m-%d %H:%M}",
        f"{window.end:%Y-%m-%d %H:%M} UTC",
        f"; it explains why at {window.explanation_url}" if window.explanation_url else "",
        extra={"domain": name, "event": "renewal"},
    )
