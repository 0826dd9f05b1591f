"""
The requests of containers by their labels: certworker requests the names when a container starts.

The watcher lists the running containers, then follows the events of the engine. If the engine is unreachable
or refuses the list, the watcher retries. No other part of the worker waits for the watcher.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

from certworker.domains import normalize
from certworker.errors import CertworkerError
from certworker.errors.reload import EngineUnreachable, LabelUnusable, ListingRefused
from certworker.integrations.docker.client import MAX_SILENCE_SECONDS, ContainerStarts, DockerClient
from certworker.integrations.docker.container import Container
from certworker.supervision import BEAT_SECONDS, Faults, Loop, beat, unexplained

logger = logging.getLogger(__name__)

DOMAINS_LABEL = "certworker.domains"

#: The maximum number of names of one container.
MAX_NAMES = 100

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0

#: The minimum interval between the requests for two starts of a container, which may restart repeatedly.
START_INTERVAL_SECONDS = 60.0


class LabelWatcher:
    """
    A thread that requests the names in the labels of containers.

    Args:
        containers: The engine.
        request: Puts a name on the queue, with the origin of the request.
        private_names: Whether names of a private network are accepted.
        wildcards: Whether wildcards are accepted.
        explain: Returns the CertworkerError that describes an error of *request*, or None.
        first_pause_seconds: The pause after the engine disconnects. Failures in a row double it, up to a
            minute.
        seconds_between_starts: See :data:`START_INTERVAL_SECONDS`.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self,
        containers: DockerClient,
        request: Callable[[str, str], object],
        *,
        private_names: bool,
        wildcards: bool,
        explain: Callable[[BaseException], CertworkerError | None] = unexplained,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        seconds_between_starts: float = START_INTERVAL_SECONDS,
    ) -> None:
        self._containers = containers
        self._request = request
        self._normalize = partial(normalize, private=private_names, wildcards=wildcards)
        self._first_pause = first_pause_seconds
        self._start_interval = seconds_between_starts
        #: The time of the last requests for each container, by its id.
        self._requested_at: dict[str, float] = {}
        self._logged: str | None = None
        self._starts: ContainerStarts | None = None
        self._pause = first_pause_seconds
        self.loop = Loop(
            "labels",
            self._read,
            seconds=MAX_SILENCE_SECONDS + BEAT_SECONDS,
            faults=Faults("the watcher of labels", explain),
        )

    def start(self) -> None:
        """
        Start the thread.
        """
        self.loop.start()

    def stop(self) -> None:
        """
        Stop the thread immediately, even if no event arrives.
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
            # An unreachable engine is not a fault of this loop, which continues to beat and retries.
            self._log(failure)
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        return self._pause

    def _follow(self) -> None:
        # The events begin before the list, so that no container that starts in between is missed.
        with closing(self._containers.starts(DOMAINS_LABEL)) as starts:
            self._starts = starts
            running = self._containers.running(DOMAINS_LABEL)
            self._forget_all_but(running)
            for container in running:
                beat()
                if container.id not in self._requested_at:
                    self._request_names(container)
            self._log_recovery()
            if self.loop.stopping.is_set():
                return
            for container in starts:
                beat()
                if (
                    time.monotonic() - self._requested_at.get(container.id, -self._start_interval)
                    >= self._start_interval
                ):
                    self._request_names(container)

    def _request_names(self, container: Container) -> None:
        for name in self._names(container):
            self._request(name, f"the label of the container {container.name}")
            logger.info(
                "requested by the container %s", container.name, extra={"domain": name, "event": "job"}
            )
        self._requested_at[container.id] = time.monotonic()

    def _names(self, container: Container) -> Iterator[str]:
        """
        Yield the valid names. If the container is new, log the first reason why its label is invalid.
        """
        reasons = []
        texts = [each for each in container.labels.get(DOMAINS_LABEL, "").split(",") if each.strip()]
        for each in texts[:MAX_NAMES]:
            try:
                yield self._normalize(each)
            except CertworkerError as failure:
                reasons.append(f"[{failure.code}] {failure.message}")
        if not texts:
            reasons.append("It has no name.")
        if len(texts) > MAX_NAMES:
            reasons.append(f"It has {len(texts)} names, and certworker uses only the first {MAX_NAMES}.")
        if reasons and container.id not in self._requested_at:
            others = len(reasons) - 1
            more = f" Further errors: {others}." if others else ""
            unusable = LabelUnusable(label=DOMAINS_LABEL, container=container.name, reason=reasons[0] + more)
            logger.warning("%s", unusable, extra={"code": unusable.code})

    def _forget_all_but(self, running: list[Container]) -> None:
        ids, now = {container.id for container in running}, time.monotonic()
        self._requested_at = {
            each: requested
            for each, requested in self._requested_at.items()
            if each in ids or now - requested < self._start_interval
        }

    def _log(self, failure: CertworkerError) -> None:
        if failure.code != self._logged:
            logger.warning("%s · certworker retries", failure, extra={"code": failure.code})
        self._logged = failure.code

    def _log_recovery(self) -> None:
        if self._logged:
            logger.info("the labels of containers are readable again")
        self._logged = None
