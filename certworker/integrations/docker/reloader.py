"""
The reloads of containers and of HAProxy after certificates have changed: one reload for a whole burst.

Settings or labels name the servers. A failed reload does not affect the issuance. It is retried until it
succeeds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from certworker.errors import CertworkerError
from certworker.errors.reload import LabelUnusable
from certworker.integrations.docker.container import Container
from certworker.integrations.publications import Publications
from certworker.settings.reload import Reload, Target
from certworker.supervision import Faults, Loop, beat

logger = logging.getLogger(__name__)

RELOAD_LABEL = "certworker.reload"

#: A burst ends after this time without a publication.
QUIET_SECONDS = 3.0
#: Any burst ends after this time, because the containers may need its first certificate.
MAX_BURST_SECONDS = 60.0

RETRY_INTERVAL_SECONDS = 60.0
PAUSE_WITHOUT_A_CHANGE_SECONDS = 60.0

#: A reload sends up to four requests, of which the first reads the version of the API. A restart waits for
#: the container.
LONGEST_RELOAD_SECONDS = 120.0

#: Enough for a restart, which waits until the container has ended.
SHUTDOWN_TIMEOUT_SECONDS = 15.0


class Reloader:
    """
    A thread that performs the reloads after certificates have changed.

    Args:
        reloads: The reloads in the settings.
        reload: Performs one reload, or raises CertworkerError.
        labeled: Returns the running containers with the label, or raises CertworkerError.
        quiet_seconds: A burst ends after this time without a publication.
        longest_burst_seconds: Any burst ends after this time.
        pause_seconds: The pause before failed reloads are retried.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self,
        reloads: Sequence[Target],
        reload: Callable[[Target], None],
        labeled: Callable[[], Sequence[Container]] = list,
        *,
        quiet_seconds: float = QUIET_SECONDS,
        longest_burst_seconds: float = MAX_BURST_SECONDS,
        pause_seconds: float = RETRY_INTERVAL_SECONDS,
    ) -> None:
        self._reloads = tuple(reloads)
        self._reload = reload
        self._labeled = labeled
        self._pause = pause_seconds
        self._publications = Publications(
            lambda: self.loop.wake(),
            quiet_seconds=quiet_seconds,
            longest_burst_seconds=longest_burst_seconds,
        )
        self._done: set[Target] = set()
        self._pending = False
        self._logged: set[tuple[object, str]] = set()
        self.loop = Loop("reloads", self._step, seconds=LONGEST_RELOAD_SECONDS, faults=Faults("the reloads"))

    def start(self) -> None:
        """
        Start the thread.
        """
        self.loop.start()

    def stop(self) -> None:
        """
        Stop the thread, after one more run of all reloads if certificates have changed since the last run.
        """
        self._publications.stop()
        self.loop.finish(SHUTDOWN_TIMEOUT_SECONDS)

    def after(self, issue: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        """
        Return a version of *issue*, the function behind a job, that requests the reloads after each new
        certificate.
        """
        return self._publications.after(issue)

    def enqueue(self) -> None:
        """
        Request the reloads, because a certificate has changed, and return immediately.
        """
        self._publications.add(())

    def _step(self) -> float | None:
        if changes := len(self._publications.take()):
            self._done.clear()
            self._pending = True
        elif self._publications.stopped:
            return None
        if self._pending:
            self._pending = not self._reload_all_but(self._done, changes)
        if self._publications.stopped:
            return None
        return self._pause if self._pending else PAUSE_WITHOUT_A_CHANGE_SECONDS

    def _reload_all_but(self, done: set[Target], changes: int) -> bool:
        """
        Perform the reloads that are not in *done*, add each success to it, and return whether none is left.
        """
        complete = True
        requested = self._reloads
        try:
            requested += tuple(self._of_labels(self._labeled()))
        except CertworkerError as failure:
            self._log_once(RELOAD_LABEL, failure, " · certworker retries")
            complete = False
        else:
            self._forget(RELOAD_LABEL)
        unexpected: Exception | None = None
        for reload in dict.fromkeys(requested):
            beat()
            try:
                if reload not in done and self._succeeds(reload, changes):
                    done.add(reload)
            except Exception as error:  # the other reloads are performed first
                unexpected = error
        if unexpected:
            raise unexpected
        return complete and done.issuperset(requested)

    def _of_labels(self, containers: Sequence[Container]) -> Iterator[Reload]:
        for container in containers:
            text = container.labels.get(RELOAD_LABEL, "")
            try:
                yield Reload.parse(f"{container.name}:{text}")
            except ValueError as error:
                unusable = LabelUnusable(
                    label=RELOAD_LABEL, container=container.name, reason=f"{error}: {text}"
                )
                self._log_once((container.id, text), unusable)

    def _succeeds(self, reload: Target, changes: int) -> bool:
        try:
            self._reload(reload)
        except CertworkerError as failure:
            self._log_once(reload, failure, " · certworker retries")
            return False
        self._forget(reload)
        burst = f" ({changes} changes)" if changes > 1 else ""
        logger.info("%s: reloaded after a change of certificates%s", reload, burst, extra={"event": "reload"})
        return True

    def _log_once(self, subject: object, failure: CertworkerError, suffix: str = "") -> None:
        if (subject, failure.code) not in self._logged:
            logger.warning("%s%s", failure, suffix, extra={"code": failure.code})
        self._logged.add((subject, failure.code))

    def _forget(self, subject: object) -> None:
        self._logged = {(other, code) for other, code in self._logged if other != subject}
