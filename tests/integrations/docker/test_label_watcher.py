"""
Tests of the requests that labels of containers cause.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from certworker.errors import CertworkerError
from certworker.errors.redis import RedisFault
from certworker.integrations.docker.client import DockerClient
from certworker.integrations.docker.label_watcher import DOMAINS_LABEL, MAX_NAMES, LabelWatcher
from tests.servers.engine import Engine, Listed
from tests.servers.worker import wait_until


@pytest.fixture
def socket() -> Iterator[Path]:
    """
    Yield a short path for the socket of the engine.
    """
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "docker.sock"


@pytest.fixture
def engine(socket: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Engine]:
    """
    Yield an engine without containers.
    """
    caplog.set_level(logging.INFO, "certworker")
    with Engine(set(), socket) as engine:
        yield engine


class Queue:
    """
    A queue that fails *failures* times, and then records each request.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.failures = 0

    def __call__(self, name: str, by: str) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no Redis")
        self.requests.append((name, by))

    @property
    def names(self) -> list[str]:
        """
        Return the requested names.
        """
        return [name for name, _ in self.requests]


@pytest.fixture
def queue() -> Queue:
    """
    Return an empty queue.
    """
    return Queue()


def explain(error: BaseException) -> CertworkerError | None:
    """
    Return the failure for *error*, if the queue is unreachable.
    """
    unreachable = isinstance(error, ConnectionError)
    return RedisFault(address="redis:6379", reason=error) if unreachable else None


@pytest.fixture
def follow(socket: Path, queue: Queue) -> Iterator[Callable[..., LabelWatcher]]:
    """
    Yield a function that starts a watcher, and stop the watchers afterwards.
    """
    started: list[LabelWatcher] = []

    def start(*, between: float = 60, wildcards: bool = False) -> LabelWatcher:
        labels = LabelWatcher(
            DockerClient(f"unix://{socket}"),
            queue,
            private_names=False,
            wildcards=wildcards,
            explain=explain,
            first_pause_seconds=0.1,
            seconds_between_starts=between,
        )
        labels.start()
        started.append(labels)
        return labels

    yield start
    for labels in started:
        labels.stop()


def wait_for(queue: Queue, *names: str) -> None:
    """
    Wait until all *names* are requested.
    """
    wait_until(lambda: set(names) <= set(queue.names) or None, lambda: str(queue.requests))


def wait_for_followers(engine: Engine, count: int = 1) -> None:
    """
    Wait until *count* clients follow the events.
    """
    wait_until(lambda: len(engine.followers) == count or None, lambda: str(engine.asked))


class TestContainers:
    def test_names_of_running_containers_are_requested(
        self, engine: Engine, queue: Queue, follow: Callable[..., LabelWatcher]
    ) -> None:
        """
        At the start, each name of a running container is requested with its origin.
        """
        engine.start("shop", certworker_domains="shop.example.com, WWW.example.com.,")
        engine.listed.append(Listed("old", {DOMAINS_LABEL: "old.example.com"}, "exited"))
        follow()
        wait_for(queue, "www.example.com")

        by = "the label of the container shop"
        assert [("shop.example.com", by), ("www.example.com", by)] == queue.requests

    def test_a_started_container_causes_a_request(
        self, engine: Engine, queue: Queue, follow: Callable[..., LabelWatcher]
    ) -> None:
        """
        A container that starts causes requests, if it has the label.
        """
        follow()
        wait_for_followers(engine)
        engine.start("blog")
        engine.start("shop", certworker_domains="shop.example.com")
        wait_for(queue, "shop.example.com")

        assert ["shop.example.com"] == queue.names

    def test_restarts_cause_a_limited_number_of_requests(
        self, engine: Engine, queue: Queue, follow: Callable[..., LabelWatcher]
    ) -> None:
        """
        A restart causes requests, unless it follows the last one within a minute.
        """
        labels = follow(between=60)
        wait_for_followers(engine)
        for _ in range(20):
            engine.start("shop", certworker_domains="shop.example.com")
        engine.start("last", certworker_domains="last.example.com")
        wait_for(queue, "last.example.com")
        assert ["shop.example.com", "last.example.com"] == queue.names
        labels.stop()
        engine.hang_up()

        follow(between=0)
        wait_until(lambda: queue.names.count("shop.example.com") == 2 or None, lambda: str(queue.requests))
        wait_for_followers(engine)
        engine.start("shop", certworker_domains="shop.example.com")
        wait_until(lambda: queue.names.count("shop.example.com") == 3 or None, lambda: str(queue.requests))


class TestHostileLabels:
    @pytest.mark.parametrize(
        ("text", "expected_warning", "valid"),
        [
            ("../../etc/passwd,good.example.com,b ad", ". Further errors: 1. ", ["good.example.com"]),
            ("good.example.com,evil\nINFO forged", r"evil\nINFO forged", ["good.example.com"]),
            ("localhost", "[config.domain_localhost]", []),
            ("*.example.com", "[name.wildcard]", []),
            (" , ", "is invalid: It has no name. ", []),
            ("x" * 50_000, "[name.too_long]", []),
            (
                ",".join(f"a{n}.example.com" for n in range(5000)),
                "It has 5000 names, and certworker uses only the first 100. ",
                None,
            ),
        ],
    )
    def test_an_invalid_label_is_one_warning(
        self,
        engine: Engine,
        queue: Queue,
        follow: Callable[..., LabelWatcher],
        caplog: pytest.LogCaptureFixture,
        text: str,
        expected_warning: str,
        valid: list[str] | None,
    ) -> None:
        """
        An invalid label causes one warning, and its valid names are requested.
        """
        follow(between=0)
        wait_for_followers(engine)
        for _ in range(3):
            engine.start("evil", **{DOMAINS_LABEL: text})
        engine.start("last", certworker_domains="last.example.com")
        wait_for(queue, "last.example.com")
        (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

        assert "[label.unusable] The label certworker.domains of the container evil is invalid" in warning
        assert expected_warning in warning
        assert len(warning) < 1000
        expected = [f"a{n}.example.com" for n in range(MAX_NAMES)] if valid is None else valid
        assert {*expected, "last.example.com"} == set(queue.names)

    def test_a_wildcard_is_requested_with_a_provider(
        self, engine: Engine, queue: Queue, follow: Callable[..., LabelWatcher]
    ) -> None:
        """
        With a DNS provider, the wildcard of a label is requested.
        """
        follow(wildcards=True)
        wait_for_followers(engine)
        engine.start("functions", **{DOMAINS_LABEL: "*.example.com, example.com"})
        wait_for(queue, "example.com")

        assert ["*.example.com", "example.com"] == sorted(queue.names)


class TestOutages:
    def test_an_engine_that_starts_later_is_followed(
        self,
        socket: Path,
        queue: Queue,
        follow: Callable[..., LabelWatcher],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        The watcher logs the unreachable engine once with the remedy, and follows it later.
        """
        caplog.set_level(logging.INFO, "certworker")
        follow()
        wait_until(lambda: "[reload.engine]" in caplog.text or None, lambda: caplog.text)
        time.sleep(0.5)
        with Engine(set(), socket) as engine:
            engine.start("shop", certworker_domains="shop.example.com")
            wait_for(queue, "shop.example.com")
            wait_until(lambda: "are readable again" in caplog.text or None, lambda: caplog.text)

        assert 1 == caplog.text.count("[reload.engine]")
        assert "CERTWORKER_DOCKER_HOST=tcp://socket-proxy:2375 · certworker retries" in caplog.text

    def test_containers_started_during_an_outage_are_found(
        self, engine: Engine, queue: Queue, follow: Callable[..., LabelWatcher]
    ) -> None:
        """
        After an outage, the names of new containers are requested, and no other name again.
        """
        engine.start("shop", certworker_domains="shop.example.com")
        follow()
        wait_for_followers(engine)
        wait_for(queue, "shop.example.com")
        engine.hang_up()
        engine.start("blog", certworker_domains="blog.example.com")
        wait_for(queue, "blog.example.com")
        wait_for_followers(engine)
        engine.start("wiki", certworker_domains="wiki.example.com")
        wait_for(queue, "wiki.example.com")

        assert ["blog.example.com", "shop.example.com", "wiki.example.com"] == sorted(queue.names)

    @pytest.mark.parametrize("refusing", ["/events", "/containers/json"])
    def test_a_refusing_proxy_is_logged_once(
        self,
        engine: Engine,
        queue: Queue,
        follow: Callable[..., LabelWatcher],
        caplog: pytest.LogCaptureFixture,
        refusing: str,
    ) -> None:
        """
        A refused request is logged once, and the watcher continues when it is allowed.
        """
        engine.refusing = refusing
        engine.start("shop", certworker_domains="shop.example.com")
        follow()
        wait_until(lambda: "[label.refused]" in caplog.text or None, lambda: caplog.text)
        time.sleep(0.7)
        assert 1 == caplog.text.count("[label.refused]")
        assert [] == queue.requests
        engine.refusing = "$^"
        wait_for(queue, "shop.example.com")

    def test_requests_are_repeated_when_the_queue_is_reachable(
        self,
        engine: Engine,
        queue: Queue,
        follow: Callable[..., LabelWatcher],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        The watcher repeats the requests when the queue is reachable, and logs the outage once.
        """
        follow()
        wait_for_followers(engine)
        queue.failures = 2
        engine.start("shop", certworker_domains="shop.example.com")
        wait_for(queue, "shop.example.com")

        assert 1 == caplog.text.count("no Redis")


class TestStop:
    def test_it_stops_without_an_event(self, engine: Engine, follow: Callable[..., LabelWatcher]) -> None:
        """
        The watcher stops immediately, even without an event.
        """
        labels = follow()
        wait_for_followers(engine)
        labels.stop()

        assert "labels" not in {thread.name for thread in threading.enumerate()}

    def test_a_watcher_that_was_not_started_can_be_stopped(self, socket: Path, queue: Queue) -> None:
        """
        Stopping a watcher that was not started succeeds.
        """
        LabelWatcher(DockerClient(f"unix://{socket}"), queue, private_names=False, wildcards=False).stop()
