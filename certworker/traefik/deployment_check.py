"""
Checks after each publication that Traefik serves the new certificate.

The check runs in its own thread: Traefik needs time to read its files, and no job waits for Traefik. If
Traefik serves another certificate, the check logs a warning once a day until Traefik serves the new one. A
worker or mirror checks only new certificates: those that it has issued, imported or received from another
host. `certworker doctor NAME` checks any name at any time.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial, wraps
from socket import gaierror
from typing import Any

from certworker.errors import CertworkerError, Severity
from certworker.errors.proxy import ProxyUnreachable
from certworker.settings import HttpAddress
from certworker.state.once_per import LOGGED_TTL
from certworker.storage.certificate_store import CertificateStore
from certworker.supervision import Faults, Loop, Postponed, beat, optional
from certworker.traefik.config import TraefikConfig
from certworker.traefik.tls_probe import TIMEOUT_SECONDS, check_proxy, leaf_of

logger = logging.getLogger(__name__)

#: How long Traefik may take before a certificate is reported as not served.
GRACE_SECONDS = 30.0
#: With many certificates, Traefik may take as long as this number of reloads.
RELOADS_OF_GRACE = 6
PAUSE_SECONDS = 1.0
IDLE_PAUSE_SECONDS = 60.0
#: The pause between checks of a reported certificate. An alert of Prometheus ends at most this long after
#: Traefik serves the certificate.
SLOW_POLL_SECONDS = 300.0

#: The maximum number of pending checks. While all certificates are being reissued, a sample is enough.
MAX_PENDING = 500
#: The maximum number of reported certificates that are checked again. More failures usually share one cause,
#: which the reports show.
MAX_REPORTED = 100

#: If the default address of Traefik does not resolve, no check is enqueued for this time.
UNRESOLVED_PAUSE_SECONDS = 60.0


@dataclass
class _Pending:
    names: list[str]
    leaf: bytes
    since: float
    until: float
    rewrite_at: float | None
    #: The time of the next check.
    at: float
    #: When the certificate was last reported as not served; None: never.
    reported_at: float | None = None
    #: Whether a notification was sent.
    notified: bool = False
    #: Whether its last check ended with an unexpected error.
    failing: bool = False


class DeploymentCheck:
    """
    A thread that checks that Traefik serves each new certificate.

    Args:
        address: The address of Traefik's TLS port.
        configured: Whether an operator set that address; the default may not exist.
        write: Called with a name and the reason why its certificate is not served. After such a call, called
            with None when it is served.
        grace_seconds: How long Traefik may take before a certificate is reported as not served.
        pause_seconds: The pause between two checks of a certificate that is not reported.
        slow_poll_seconds: The pause between two checks of a reported certificate.
        day: After this time, a certificate that is still not served is reported again.
        observe: Called with the seconds that Traefik took to serve a new certificate.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self,
        store: CertificateStore,
        traefik: TraefikConfig,
        address: HttpAddress,
        *,
        configured: bool,
        write: Callable[[str, CertworkerError | None], None],
        grace_seconds: float = GRACE_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
        slow_poll_seconds: float = SLOW_POLL_SECONDS,
        day: timedelta = LOGGED_TTL,
        observe: Callable[[float], object] = lambda _seconds: None,
    ) -> None:
        self._store = store
        self._traefik = traefik
        self._address = address
        self._configured = configured
        self._write = write
        self._grace = grace_seconds
        self._pause = pause_seconds
        self._slow_poll = slow_poll_seconds
        self._day_seconds = day.total_seconds()
        self._observe = observe
        self._pending: list[_Pending] = []
        self._mutex = threading.Lock()
        self._paused_until = 0.0
        self._faults = Faults("the deployment check")
        self.loop = Loop("deployment_check", self._step)

    def start(self) -> None:
        """
        Start the thread.
        """
        self.loop.start()

    def stop(self) -> None:
        """
        Stop the thread. Wait a few seconds for the current check, but not for the other pending checks.
        """
        self.loop.stop(2 * TIMEOUT_SECONDS)

    def after(self, issue: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        """
        Return a wrapper of *issue*, which returns the state and the names of a publication.

        The wrapper also enqueues the check of an issued or imported certificate.
        """

        @wraps(issue)
        def issued(*arguments: object, **keywords: object) -> dict[str, Any]:
            result = issue(*arguments, **keywords)
            if result["state"] in ("issued", "imported"):
                # The certificate is in service, even if the check cannot start.
                optional("the start of the deployment check", partial(self.enqueue, result["names"]), None)
            return result

        return issued

    def enqueue(self, names: Sequence[str]) -> None:
        """
        Enqueue the check of the certificate of *names*, unless it is missing, checks are paused, or too many
        are pending.
        """
        if time.monotonic() < self._paused_until:
            return
        stored = self._store.current(names[0])
        with self._mutex:
            if stored is None or len(self._pending) >= MAX_PENDING:
                return
            now, grace = time.monotonic(), self._grace_seconds()
            # A newer certificate replaces a pending check of the same names.
            self._pending = [pending for pending in self._pending if pending.names[0] != names[0]]
            self._pending.append(
                _Pending(
                    list(names),
                    leaf_of(stored.certificate.cert_pem),
                    since=now,
                    until=now + grace,
                    rewrite_at=now + grace / 3,
                    at=now,
                )
            )
        self.loop.wake()

    def _grace_seconds(self) -> float:
        # The file is written again after a third of this time. With many certificates, an early change would
        # make Traefik reload again while it is still reading the certificates.
        with suppress(CertworkerError):
            return max(self._grace, RELOADS_OF_GRACE * self._traefik.reload_seconds())
        return self._grace

    def oldest_unserved(self) -> float:
        """
        Return the seconds since the oldest publication that Traefik is not yet known to serve; 0: none.
        """
        with self._mutex:
            oldest = min((pending.since for pending in self._pending), default=None)
        return 0.0 if oldest is None else time.monotonic() - oldest

    def _step(self) -> float:
        for pending in self._due():
            if self.loop.stopping.is_set():
                break
            try:
                finished = self._is_finished(pending)
                pending.failing = False
            except Exception as error:  # it must not stop the other checks
                pending.failing, finished = True, False
                pending.at = time.monotonic() + self._faults.failed(error)
            else:
                beat()
            if finished:
                with self._mutex:
                    self._pending = [other for other in self._pending if other is not pending]
        with self._mutex:
            earliest = min((pending.at for pending in self._pending), default=math.inf)
            failing = any(pending.failing for pending in self._pending)
        pause = min(IDLE_PAUSE_SECONDS, max(0.0, earliest - time.monotonic()))
        if failing:
            raise Postponed(min(pause, self._pause))
        self._faults.succeeded()
        return pause

    def _due(self) -> list[_Pending]:
        now = time.monotonic()
        with self._mutex:
            return [pending for pending in self._pending if pending.at <= now]

    def _is_finished(self, pending: _Pending) -> bool:
        if pending.reported_at is not None and not self._is_still_wanted(pending):
            return True
        try:
            failure = self._check(pending)
        except gaierror as error:
            if not self._configured:
                self._paused_until = time.monotonic() + UNRESOLVED_PAUSE_SECONDS
                return True
            failure = self._unreachable(error)
        except OSError as error:
            failure = self._unreachable(error)
        if failure is None:
            logger.info("Traefik now serves the new certificate (checked)", extra=_log_fields(pending))
            self._observe(time.monotonic() - pending.since)
            if pending.notified:
                self._write(pending.names[0], None)
            return True
        now = time.monotonic()
        if pending.rewrite_at and now > pending.rewrite_at:
            pending.rewrite_at = None
            self._rewrite(pending)
        if now < pending.until:
            pending.at = now + self._pause
            return False
        self._report_missing(pending, failure, now)
        return sum(pending.reported_at is not None for pending in self._pending) > MAX_REPORTED

    def _report_missing(self, pending: _Pending, failure: CertworkerError, now: float) -> None:
        # If Traefik does not respond, it is usually being restarted. A wrong certificate is a real failure.
        known = failure.severity is not Severity.WARNING
        is_new = known and not pending.notified
        if is_new:
            pending.notified = True
            self._write(pending.names[0], failure)
        if (
            pending.reported_at is None
            or is_new
            or (known and now - pending.reported_at >= self._day_seconds)
        ):
            pending.reported_at = now
            logger.warning("%s", failure, extra={**_log_fields(pending), "code": failure.code})
        pending.at = now + self._slow_poll

    def _is_still_wanted(self, pending: _Pending) -> bool:
        # Since the last check, the certificate may have been renewed, or the name removed.
        with suppress(CertworkerError):
            stored = self._store.current(pending.names[0])
            if stored is None:
                return False
            pending.names, pending.leaf = list(stored.metadata.names), leaf_of(stored.certificate.cert_pem)
        return True

    def _check(self, pending: _Pending) -> CertworkerError | None:
        results = (self._reason(name, pending) for name in pending.names)
        return next(filter(None, results), None)

    def _reason(self, name: str, pending: _Pending) -> CertworkerError | None:
        beat()  # a certificate has up to a hundred names, and each may take a few seconds
        return check_proxy(name, pending.leaf, self._address, self._traefik.directory)

    def _unreachable(self, error: OSError) -> CertworkerError:
        return ProxyUnreachable(proxy=self._address, reason=error.strerror or error)

    def _rewrite(self, pending: _Pending) -> None:
        # Traefik may have missed the event, or have read the file before the volume had the certificate.
        try:
            if stored := self._store.current(pending.names[0]):
                self._traefik.publish(stored, again=True)
        except CertworkerError as failure:
            logger.warning("%s", failure, extra={**_log_fields(pending), "code": failure.code})


def _log_fields(pending: _Pending) -> dict[str, object]:
    return {"domain": pending.names[0], "event": "served"}
