"""
When the CA suggests renewing a certificate (ACME Renewal Information, RFC 9773).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Lock

from certworker.acme.session import Session
from certworker.acme.transport import Reply
from certworker.errors import CertworkerError
from certworker.errors.ca import CaUnreachable, Maintenance, ServerInternal, TlsIntercepted
from certworker.errors.config import WrongCaUrl
from certworker.errors.dns import ContainerResolver
from certworker.errors.rate import CaBusy
from certworker.http_dates import retry_after
from certworker.validity import Validity, Window, wait_within

logger = logging.getLogger(__name__)

#: The limits of Retry-After (RFC 9773, section 4.3.2). For a short-lived certificate, the shortest pause and
#: the longest backoff are shorter.
SHORTEST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(days=1)
#: Without a usable response, the pauses grow up to this length (section 4.3.3), unless the CA requests more.
#: After a response without Retry-After, the pause has this length.
LONGEST_BACKOFF = timedelta(hours=6)

#: Failures that do not depend on the certificate. They pause the requests for all certificates.
UNAVAILABLE = (
    CaUnreachable,
    CaBusy,
    ContainerResolver,
    Maintenance,
    ServerInternal,
    TlsIntercepted,
    WrongCaUrl,
)

#: The maximum number of cached responses. A response has about 500 bytes.
CACHED_RESPONSES = 100_000


@dataclass(frozen=True, slots=True)
class RenewalSuggestion:
    """
    The last suggestion of the CA, and when to request the next one.
    """

    #: None if the CA has suggested no window.
    window: Window | None
    retry_after: datetime
    #: The number of consecutive failures since the last response.
    faults: int = 0
    #: The renewal id of the certificate; empty if the suggestion is not cached.
    renewal_id: str = ""


class RenewalInfo:
    """
    The renewal windows that one CA suggests. Each is requested on demand, but not before its pause has ended.
    """

    def __init__(self, session: Session, clock: Callable[[], datetime]) -> None:
        self._session = session
        self._clock = clock
        #: By the names of the certificate, so that the suggestion for a new certificate replaces the old one.
        self._known: dict[tuple[str, ...], RenewalSuggestion] = {}
        self._lock = Lock()
        #: When the pause of an unavailable CA ends, and the number of its consecutive failures.
        self._pause: tuple[datetime, int] | None = None

    def suggestion(
        self, renewal_id: str, names: tuple[str, ...], life: Validity | None = None
    ) -> RenewalSuggestion | None:
        """
        Return the suggestion for the certificate *renewal_id* (section 4.1).

        Return None if the CA offers no renewal information.

        After an error, return the last known window, if any. Without a window, the renewal time depends on
        the validity.

        Args:
            names: The names of the certificate.
            life: The validity of the certificate; None if unknown.
        """
        with self._lock:
            known, pause = self._known.get(names), self._pause
        known = known if known and known.renewal_id == renewal_id else None
        now = self._clock()
        if known and now < known.retry_after:
            return known
        if pause and now < pause[0]:
            # Otherwise, 1,000 names would wait for 1,000 timeouts, one after another.
            return RenewalSuggestion(known.window if known else None, pause[0])
        try:
            current = self._ask(renewal_id, known, now, life)
        except Exception:
            # This is a bug in certworker. An optional suggestion must not prevent the renewal.
            logger.exception(
                "unexpected error while reading the renewal information", extra={"domain": names[0]}
            )
            return RenewalSuggestion(
                known.window if known else None, now + wait_within(life, LONGEST_BACKOFF)
            )
        if current is None:
            return None
        if current.window and current.window != (known.window if known else None):
            _log_window(names[0], current.window, moved=bool(known and known.window))
        with self._lock:
            if len(self._known) >= CACHED_RESPONSES:
                self._known.clear()
            self._known[names] = replace(current, renewal_id=renewal_id)
        return current

    def _ask(
        self, renewal_id: str, known: RenewalSuggestion | None, now: datetime, life: Validity | None
    ) -> RenewalSuggestion | None:
        try:
            base = self._session.directory().renewal_info
            if base is None:
                return None
            reply = self._session.get(f"{base.rstrip('/')}/{renewal_id}")
            window = _window(reply)
        except CertworkerError as failure:
            logger.debug("could not read the renewal information: %s", failure)
            faults = known.faults + 1 if known else 1
            again = _again(failure, faults, now, life)
            if isinstance(failure, UNAVAILABLE):
                again = self._pause_requests(failure, now, life)
            return RenewalSuggestion(known.window if known else None, again, faults)
        with self._lock:
            self._pause = None
        wanted = (retry_after(reply.headers, now) or now + wait_within(life, LONGEST_BACKOFF)) - now
        return RenewalSuggestion(
            window, now + min(max(wanted, wait_within(life, SHORTEST_PAUSE)), LONGEST_PAUSE)
        )

    def _pause_requests(self, failure: CertworkerError, now: datetime, life: Validity | None) -> datetime:
        with self._lock:
            until, faults = self._pause or (now, 0)
            # Simultaneous failures count as one.
            if until <= now:
                until, faults = _again(failure, faults + 1, now, life), faults + 1
                self._pause = until, faults
            return until


def _again(failure: CertworkerError, faults: int, now: datetime, life: Validity | None) -> datetime:
    pause: timedelta = wait_within(life, SHORTEST_PAUSE) * 2 ** min(faults - 1, 16)
    pause = min(pause, wait_within(life, LONGEST_BACKOFF))
    return min(max(now + pause, failure.until or now), now + LONGEST_PAUSE)


def _window(reply: Reply) -> Window | None:
    document = reply.document
    window, explanation = document.get("suggestedWindow"), document.get("explanationURL")
    edges = window if isinstance(window, dict) else {}
    try:
        start, end = (_time(edges.get(edge)) for edge in ("start", "end"))
    except (ValueError, OverflowError):
        raise reply.unusable("no valid suggestedWindow") from None
    # A window that does not end after its start is invalid (section 4.2).
    return Window(start, end, explanation if isinstance(explanation, str) else "") if start < end else None


def _time(text: object) -> datetime:
    time = datetime.fromisoformat(text if isinstance(text, str) else "")
    if time.tzinfo is None:
        raise ValueError("no time zone")
    return time.astimezone(UTC)


def _log_window(name: str, window: Window, *, moved: bool) -> None:
    if not moved and not window.explanation_url:
        return
    logger.warning(
        "the CA suggests renewing this certificate between %s and %s%s",
        f"{window.start:%Y-%m-%d %H:%M}",
        f"{window.end:%Y-%m-%d %H:%M} UTC",
        f", reason: {window.explanation_url}" if window.explanation_url else "",
        extra={"domain": name, "event": "renewal"},
    )
