"""
Is it there, the padlock? After a certificate was published, Traefik is asked until it shows it.

That happens beside the jobs: Traefik takes a moment to read its files, and no job waits for it. What it
shows in the place of a certificate is told once a day, until it shows that. A worker remembers it of its own
certificates and not beyond its end: to ask Traefik for each certificate of a volume at every start would be
too much, and `certworker doctor NAME` asks at any time.
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

PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 1.0
PAUSE_WITHOUT_ANY_SECONDS = 60.0
SLOW_POLL_SECONDS = timedelta(hours=1).total_seconds()

#: While a whole volume is issued anew, a sample says enough.
MAX_PENDING = 500
#: Where so many are not shown the cause is one, and their lines tell it.
MAX_REPORTED = 100

#: Where no Traefik is, it is not looked for after each certificate of a burst.
WRONG_GUESS_IS_KEPT_SECONDS = 60.0


@dataclass
class _Pending:
    names: list[str]
    leaf: bytes
    until: float
    rewrite_at: float | None
    #: When to look next.
    at: float
    #: When it was last told that it is missed; None: it is not, so far.
    told: float | None = None
    #: Whether somebody was written to about that.
    written: bool = False
    #: Whether the last check of it ended with an unexpected error.
    failing: bool = False


class DeploymentCheck:
    """
    A thread that asks Traefik, for some time, for each certificate that was published.

    Args:
        address: Where Traefik speaks TLS.
        demanded: An operator has named that address; otherwise it is a guess, which may be wrong.
        write: Called with a name and why its certificate is not shown; and with None when it is after all.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self,
        volume: CertificateStore,
        traefik: TraefikConfig,
        address: HttpAddress,
        *,
        demanded: bool,
        write: Callable[[str, CertworkerError | None], None],
        patience_seconds: float = PATIENCE_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
        pause_after_that_seconds: float = SLOW_POLL_SECONDS,
        day: timedelta = LOGGED_TTL,
    ) -> None:
        self._volume = volume
        self._traefik = traefik
        self._address = address
        self._demanded = demanded
        self._write = write
        self._patience = patience_seconds
        self._pause = pause_seconds
        self._pause_after_that = pause_after_that_seconds
        self._day_seconds = day.total_seconds()
        self._awaited: list[_Pending] = []
        self._mutex = threading.Lock()
        self._nowhere_until = 0.0
        self._faults = Faults("the deployment check")
        self.loop = Loop("deployment_check", self._step)

    def start(self) -> None:
        """
        Begin.
        """
        self.loop.start()

    def stop(self) -> None:
        """
        End it; what was not seen until now is not waited for.
        """
        self.loop.stop(2 * TIMEOUT_SECONDS)

    def after(self, issue: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        """
        *issue*, the function behind a job, followed by a look at Traefik for what it has issued.
        """

        @wraps(issue)
        def issued(*arguments: object, **keywords: object) -> dict[str, Any]:
            result = issue(*arguments, **keywords)
            if result["state"] == "issued":
                # The certificate is in service, whatever becomes of the check.
                optional("the start of the deployment check", partial(self.enqueue, result["names"]), None)
            return result

        return issued

    def enqueue(self, names: Sequence[str]) -> None:
        """
        Look for the certificate that *names* have on the volume; returns at once.
        """
        if time.monotonic() < self._nowhere_until:
            return
        stored = self._volume.current(names[0])
        with self._mutex:
            if stored is None or len(self._awaited) >= MAX_PENDING:
                return
            now = time.monotonic()
            # A newer certificate of the same names takes the place of the one that is still looked for.
            self._awaited = [each for each in self._awaited if each.names[0] != names[0]]
            self._awaited.append(
                _Pending(
                    list(names),
                    leaf_of(stored.certificate.cert_pem),
                    until=now + self._patience,
                    rewrite_at=now + self._patience / 3,
                    at=now,
                )
            )
        self.loop.wake()

    def _step(self) -> float:
        for each in self._due():
            if self.loop.stopping.is_set():
                break
            try:
                settled = self._is_settled(each)
                each.failing = False
            except Exception as error:  # the others are none the worse for it
                each.failing, settled = True, False
                each.at = time.monotonic() + self._faults.failed(error)
            else:
                beat()
            if settled:
                with self._mutex:
                    self._awaited = [other for other in self._awaited if other is not each]
        with self._mutex:
            earliest = min((each.at for each in self._awaited), default=math.inf)
            failing = any(each.failing for each in self._awaited)
        pause = min(PAUSE_WITHOUT_ANY_SECONDS, max(0.0, earliest - time.monotonic()))
        if failing:
            raise Postponed(min(pause, self._pause))
        self._faults.over()
        return pause

    def _due(self) -> list[_Pending]:
        now = time.monotonic()
        with self._mutex:
            return [each for each in self._awaited if each.at <= now]

    def _is_settled(self, awaited: _Pending) -> bool:
        if awaited.told is not None and not self._is_still_wanted(awaited):
            return True
        try:
            failure = self._check(awaited)
        except gaierror as error:
            if not self._demanded:
                self._nowhere_until = time.monotonic() + WRONG_GUESS_IS_KEPT_SECONDS
                return True
            failure = self._unreachable(error)
        except OSError as error:
            failure = self._unreachable(error)
        if failure is None:
            logger.info("Traefik serves it now (checked)", extra=_about(awaited))
            if awaited.written:
                self._write(awaited.names[0], None)
            return True
        now = time.monotonic()
        if awaited.rewrite_at and now > awaited.rewrite_at:
            awaited.rewrite_at = None
            self._rewrite(awaited)
        if now < awaited.until:
            awaited.at = now + self._pause
            return False
        self._report_missing(awaited, failure, now)
        return sum(each.told is not None for each in self._awaited) > MAX_REPORTED

    def _report_missing(self, awaited: _Pending, failure: CertworkerError, now: float) -> None:
        # A Traefik that does not answer is being started anew, mostly; what it shows is known.
        known = failure.severity is not Severity.WARNING
        news = known and not awaited.written
        if news:
            awaited.written = True
            self._write(awaited.names[0], failure)
        if awaited.told is None or news or (known and now - awaited.told >= self._day_seconds):
            awaited.told = now
            logger.warning("%s", failure, extra={**_about(awaited), "code": failure.code})
        awaited.at = now + self._pause_after_that

    def _is_still_wanted(self, awaited: _Pending) -> bool:
        # In an hour another worker may have renewed it, and somebody may have removed it.
        with suppress(CertworkerError):
            stored = self._volume.current(awaited.names[0])
            if stored is None:
                return False
            awaited.names, awaited.leaf = list(stored.metadata.names), leaf_of(stored.certificate.cert_pem)
        return True

    def _check(self, awaited: _Pending) -> CertworkerError | None:
        looks = (self._reason(name, awaited) for name in awaited.names)
        return next(filter(None, looks), None)

    def _reason(self, name: str, awaited: _Pending) -> CertworkerError | None:
        beat()  # a certificate has up to a hundred names, and each may take some seconds
        return check_proxy(name, awaited.leaf, self._address, self._traefik.directory)

    def _unreachable(self, error: OSError) -> CertworkerError:
        return ProxyUnreachable(proxy=self._address, reason=error.strerror or error)

    def _rewrite(self, awaited: _Pending) -> None:
        # Its event may have been lost, or the files were read before the volume had them.
        try:
            if stored := self._volume.current(awaited.names[0]):
                self._traefik.publish(stored, again=True)
        except CertworkerError as failure:
            logger.warning("%s", failure, extra={**_about(awaited), "code": failure.code})


def _about(awaited: _Pending) -> dict[str, object]:
    return {"domain": awaited.names[0], "event": "served"}
