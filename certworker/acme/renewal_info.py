"""
When the CA suggests to renew a certificate (ACME Renewal Information, RFC 9773).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock

from certworker.acme.polling import retry_after
from certworker.acme.session import Session
from certworker.acme.transport import Reply
from certworker.errors import CertworkerError
from certworker.errors.ca import CaUnreachable, Maintenance, ServerInternal, TlsIntercepted
from certworker.errors.config import WrongCaUrl
from certworker.errors.dns import ContainerResolver
from certworker.errors.rate import CaBusy
from certworker.validity import Validity, Window, wait_within

logger = logging.getLogger(__name__)

#: What a CA says about the next question is kept within these limits (RFC 9773, section 4.3.1). All pauses
#: that are not the CA's own are shorter for a certificate with a short life.
SHORTEST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(days=1)
#: Without an answer: longer each time, up to the pause for a fault that lasts (section 4.3.3).
LONGEST_BACKOFF = timedelta(hours=6)

#: What says more of the CA than of one certificate: nobody asks it for another one for a while.
UNAVAILABLE = (
    CaUnreachable,
    CaBusy,
    ContainerResolver,
    Maintenance,
    ServerInternal,
    TlsIntercepted,
    WrongCaUrl,
)

#: So many answers are kept in memory; one is some 300 bytes.
CACHED_ANSWERS = 100_000


@dataclass(frozen=True)
class RenewalSuggestion:
    """
    What the CA said last.
    """

    window: Window | None
    retry_after: datetime
    faults: int = 0


class RenewalInfo:
    """
    The windows that one CA suggests, asked for when they are needed and its Retry-After has passed.
    """

    def __init__(self, network: Session, clock: Callable[[], datetime]) -> None:
        self._network = network
        self._clock = clock
        self._known: dict[str, RenewalSuggestion] = {}
        self._lock = Lock()
        #: Until when nobody asks a CA that did not answer, and how often in a row that was.
        self._silence: tuple[datetime, int] | None = None

    def suggestion(
        self, renewal_id: str, name: str, life: Validity | None = None
    ) -> RenewalSuggestion | None:
        """
        The window for the certificate *renewal_id* (section 4.1); None where the CA suggests none at all.

        An error keeps the window that was known: the certificate is renewed in time without the CA's advice.

        Args:
            name: A name of the certificate, for the log.
            life: Of the certificate; None: unknown.
        """
        with self._lock:
            known, silence = self._known.get(renewal_id), self._silence
        now = self._clock()
        if known and now < known.retry_after:
            return known
        if silence and now < silence[0]:
            # A thousand names would else wait for a thousand time-outs, one after the other.
            return RenewalSuggestion(known.window if known else None, silence[0])
        try:
            asked = self._ask(renewal_id, known, now, life)
        except Exception:
            # A fault of certworker: advice that is optional must not cost the certificate.
            logger.exception("unexpected error in the renewal information", extra={"domain": name})
            return RenewalSuggestion(
                known.window if known else None, now + wait_within(life, LONGEST_BACKOFF)
            )
        if asked is None:
            return None
        if asked.window and asked.window != (known.window if known else None):
            _tell(name, asked.window, moved=bool(known and known.window))
        with self._lock:
            if len(self._known) >= CACHED_ANSWERS:
                self._known.clear()
            self._known[renewal_id] = asked
        return asked

    def _ask(
        self, renewal_id: str, known: RenewalSuggestion | None, now: datetime, life: Validity | None
    ) -> RenewalSuggestion | None:
        try:
            base = self._network.directory().renewal_info
            if base is None:
                return None
            reply = self._network.get(f"{base.rstrip('/')}/{renewal_id}")
            window = _window(reply)
        except CertworkerError as failure:
            logger.debug("no renewal information: %s", failure)
            faults = known.faults + 1 if known else 1
            again = _again(failure, faults, now, life)
            if isinstance(failure, UNAVAILABLE):
                again = self._fell_silent(failure, now, life)
            return RenewalSuggestion(known.window if known else None, again, faults)
        with self._lock:
            self._silence = None
        wanted = (retry_after(reply.headers, now) or now + wait_within(life, LONGEST_BACKOFF)) - now
        return RenewalSuggestion(
            window, now + min(max(wanted, wait_within(life, SHORTEST_PAUSE)), LONGEST_PAUSE)
        )

    def _fell_silent(self, failure: CertworkerError, now: datetime, life: Validity | None) -> datetime:
        with self._lock:
            until, faults = self._silence or (now, 0)
            # Those that asked at the same time count as one.
            if until <= now:
                until, faults = _again(failure, faults + 1, now, life), faults + 1
                self._silence = until, faults
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
        start, end = (_moment(edges.get(edge)) for edge in ("start", "end"))
    except (ValueError, OverflowError):
        raise reply.unusable("no suggestedWindow") from None
    # A window that ends before it begins counts as none (section 4.2).
    return Window(start, end, explanation if isinstance(explanation, str) else "") if start < end else None


def _moment(text: object) -> datetime:
    moment = datetime.fromisoformat(text if isinstance(text, str) else "")
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment.astimezone(UTC)


def _tell(name: str, window: Window, *, moved: bool) -> None:
    if not moved and not window.explanation_url:
        return
    logger.warning(
        "the CA wants this certificate renewed between %s and %s%s",
        f"{window.start:%Y-%m-%d %H:%M}",
        f"{window.end:%Y-%m-%d %H:%M} UTC",
        f"; it explains why at {window.explanation_url}" if window.explanation_url else "",
        extra={"domain": name, "event": "renewal"},
    )
