"""
A container that says by a label which domains it serves gets their certificates when it starts.

What runs already is read first, then the engine's events are followed. An engine that is away is asked again
until it answers; nothing else waits for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing

from certworker.domains import normalize
from certworker.errors import CertworkerError
from certworker.errors.reload import EngineUnreachable, LabelUnusable, ListingRefused
from certworker.integrations.docker.client import MAX_SILENCE_SECONDS, ContainerStarts, DockerClient
from certworker.integrations.docker.container import Container
from certworker.supervision import BEAT_SECONDS, Faults, Loop, beat, unexplained

logger = logging.getLogger(__name__)

LABEL = "certworker.domains"

#: Of one container.
MAX_NAMES = 100

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0

#: One that ends and starts again all the time is not a reason to ask all the time.
START_INTERVAL_SECONDS = 60.0


class LabelWatcher:
    """
    A thread that asks for the names in the labels of containers.

    Args:
        request: Puts a name on the queue; it is told who asks.
        private_names: Whether names are fine that only a private network knows.
        explain: Returns the CertworkerError behind an error of *request*, or None.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self,
        containers: DockerClient,
        request: Callable[[str, str], object],
        *,
        private_names: bool,
        explain: Callable[[BaseException], CertworkerError | None] = unexplained,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        seconds_between_starts: float = START_INTERVAL_SECONDS,
    ) -> None:
        self._containers = containers
        self._request = request
        self._private = private_names
        self._first_pause = first_pause_seconds
        self._between = seconds_between_starts
        #: When each container, by its id, was last asked for.
        self._asked: dict[str, float] = {}
        self._said: str | None = None
        self._starts: ContainerStarts | None = None
        self._pause = first_pause_seconds
        self.loop = Loop(
            "labels",
            self._read,
            seconds=MAX_SILENCE_SECONDS + BEAT_SECONDS,
            faults=Faults("the reader of labels", explain),
        )

    def start(self) -> None:
        """
        Begin.
        """
        self.loop.start()

    def stop(self) -> None:
        """
        End it at once, although the engine has nothing to say.
        """
        self.loop.stopping.set()
        if starts := self._starts:
            starts.close()
        self.loop.stop()

    def _read(self) -> float:
        try:
            self._follow()
            self._pause = self._first_pause
        except (EngineUnreachable, ListingRefused) as failure:
            # The engine is away, which is no fault of this loop: it beats, and asks again.
            self._log(failure)
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        return self._pause

    def _follow(self) -> None:
        # Before the list is read: what starts meanwhile stands in one of them, or in both.
        with closing(self._containers.starts(LABEL)) as starts:
            self._starts = starts
            running = self._containers.running(LABEL)
            self._forget_all_but(running)
            for container in running:
                beat()
                if container.id not in self._asked:
                    self._request_names(container)
            self._answers()
            if self.loop.stopping.is_set():
                return
            for container in starts:
                beat()
                if time.monotonic() - self._asked.get(container.id, -self._between) >= self._between:
                    self._request_names(container)

    def _request_names(self, container: Container) -> None:
        for name in self._names(container):
            logger.info(
                "asked for by the container %s", container.name, extra={"domain": name, "event": "job"}
            )
            self._request(name, f"the label of the container {container.name}")
        self._asked[container.id] = time.monotonic()

    def _names(self, container: Container) -> Iterator[str]:
        """
        What can be asked for; of the rest the first one is told, when the container is new.
        """
        wrong = []
        given = [each for each in container.labels.get(LABEL, "").split(",") if each.strip()]
        for each in given[:MAX_NAMES]:
            try:
                yield normalize(each, private=self._private)
            except CertworkerError as failure:
                wrong.append(f"[{failure.code}] {failure.message}")
        if not given or len(given) > MAX_NAMES:
            wrong.append(f"It has {len(given)} names; from 1 to {MAX_NAMES} are asked for.")
        if wrong and container.id not in self._asked:
            more = f" ({len(wrong) - 1} more)" if len(wrong) > 1 else ""
            unusable = LabelUnusable(label=LABEL, container=container.name, reason=wrong[0] + more)
            logger.warning("%s", unusable, extra={"code": unusable.code})

    def _forget_all_but(self, running: list[Container]) -> None:
        there, now = {container.id for container in running}, time.monotonic()
        self._asked = {
            each: moment
            for each, moment in self._asked.items()
            if each in there or now - moment < self._between
        }

    def _log(self, failure: CertworkerError) -> None:
        if failure.code != self._said:
            logger.warning("%s · certworker tries again", failure, extra={"code": failure.code})
        self._said = failure.code

    def _answers(self) -> None:
        if self._said:
            logger.info("the labels of containers can be read again")
        self._said = None
