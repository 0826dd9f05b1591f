"""
After certificates have changed, those who read them once are told: one reload for a whole burst.

They are named in the settings, or have a label that says what they are to get.

That happens beside the jobs. An engine that is away fails no issuance; it is asked again until it answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from certworker.errors import CertworkerError
from certworker.errors.reload import LabelUnusable
from certworker.integrations.docker.container import Container
from certworker.integrations.publications import Publications
from certworker.settings.reload import Reload
from certworker.supervision import Faults, Loop, beat

logger = logging.getLogger(__name__)

LABEL = "certworker.reload"

#: A burst is over after this much quiet.
QUIET_SECONDS = 3.0
#: One that does not end is not waited for: a certificate that was renewed in it may be needed.
MAX_BURST_SECONDS = 60.0

RETRY_INTERVAL_SECONDS = 60.0
PAUSE_WITHOUT_A_CHANGE_SECONDS = 60.0

#: One reload makes up to three requests of the engine, and a restart waits for the container.
LONGEST_RELOAD_SECONDS = 120.0

#: A restart and the last words of a container take this long.
SHUTDOWN_TIMEOUT_SECONDS = 15.0


class Reloader:
    """
    A thread that makes *reloads* whenever a certificate has changed.

    Args:
        reload: Makes one of them; it raises CertworkerError if it cannot.
        labelled: The containers that run and have the label; it raises CertworkerError if it cannot tell.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self,
        reloads: Sequence[Reload],
        reload: Callable[[Reload], None],
        labelled: Callable[[], Sequence[Container]] = list,
        *,
        quiet_seconds: float = QUIET_SECONDS,
        longest_burst_seconds: float = MAX_BURST_SECONDS,
        pause_seconds: float = RETRY_INTERVAL_SECONDS,
    ) -> None:
        self._reloads = tuple(reloads)
        self._reload = reload
        self._labelled = labelled
        self._pause = pause_seconds
        self._publications = Publications(
            lambda: self.loop.wake(),
            quiet_seconds=quiet_seconds,
            longest_burst_seconds=longest_burst_seconds,
        )
        self._made: set[Reload] = set()
        self._owed = False
        self._told: set[tuple[object, str]] = set()
        self.loop = Loop("reloads", self._step, seconds=LONGEST_RELOAD_SECONDS, faults=Faults("the reloads"))

    def start(self) -> None:
        """
        Begin.
        """
        self.loop.start()

    def stop(self) -> None:
        """
        End it; a change that nobody was told of is told at once.
        """
        self._publications.stop()
        self.loop.finish(SHUTDOWN_TIMEOUT_SECONDS)

    def after(self, issue: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        """
        Return *issue*, the function behind a job, followed by the reloads for what it has issued.
        """
        return self._publications.after(issue)

    def enqueue(self) -> None:
        """
        Note that a certificate has changed, and return at once.
        """
        self._publications.add(())

    def _step(self) -> float | None:
        if changes := len(self._publications.take()):
            self._made.clear()
            self._owed = True
        elif self._publications.stopped:
            return None
        if self._owed:
            self._owed = not self._make_all_but(self._made, changes)
        if self._publications.stopped:
            return None
        return self._pause if self._owed else PAUSE_WITHOUT_A_CHANGE_SECONDS

    def _make_all_but(self, made: set[Reload], changes: int) -> bool:
        """
        Make what is not in *made*, and put it there; return whether nothing is left to be made.
        """
        complete = True
        wanted = self._reloads
        try:
            wanted += tuple(self._of_labels(self._labelled()))
        except CertworkerError as failure:
            self._log_once(LABEL, failure, "It is tried again.")
            complete = False
        else:
            self._forget(LABEL)
        unexpected: Exception | None = None
        for reload in dict.fromkeys(wanted):
            beat()
            try:
                if reload not in made and self._is_made(reload, changes):
                    made.add(reload)
            except Exception as error:  # the others are made first
                unexpected = error
        if unexpected:
            raise unexpected
        return complete and made.issuperset(wanted)

    def _of_labels(self, containers: Sequence[Container]) -> Iterator[Reload]:
        for container in containers:
            text = container.labels.get(LABEL, "")
            try:
                yield Reload.parse(f"{container.name}:{text}")
            except ValueError as error:
                unusable = LabelUnusable(label=LABEL, container=container.name, reason=f"{error}: {text}")
                self._log_once((container.id, text), unusable)

    def _is_made(self, reload: Reload, changes: int) -> bool:
        try:
            self._reload(reload)
        except CertworkerError as failure:
            self._log_once(reload, failure, "It is tried again.")
            return False
        self._forget(reload)
        burst = f" ({changes} changes)" if changes > 1 else ""
        logger.info("%s: done, for certificates have changed%s", reload, burst, extra={"event": "reload"})
        return True

    def _log_once(self, subject: object, failure: CertworkerError, outlook: str = "") -> None:
        if (subject, failure.code) not in self._told:
            logger.warning("%s", f"{failure} {outlook}".strip(), extra={"code": failure.code})
        self._told.add((subject, failure.code))

    def _forget(self, subject: object) -> None:
        self._told = {(other, code) for other, code in self._told if other != subject}
