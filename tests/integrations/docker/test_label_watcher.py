"""
Tests of the requests of containers by their labels.
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
def place() -> Iterator[Path]:
    """
    Return a short path for the engine's socket.
    """
    with tempfile.TemporaryDirectory() as made:
        yield Path(made) / "docker.sock"


@pytest.fixture
def engine(place: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Engine]:
    """
    Return an engine without containers.
    """
    caplog.set_level(logging.INFO, "certworker")
    with Engine(set(), place) as engine:
        yield engine


class Queue:
    """
    Records requests, after *failures* failed ones.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.failures = 0

    def __call__(self, name: str, by: str) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no Redis")
        self.asked.append((name, by))

    @property
    def names(self) -> list[str]:
        """
        Return the requested names.
        """
        return [name for name, _ in self.asked]


@pytest.fixture
def queue() -> Queue:
    """
    Return a queue without requests.
    """
    return Queue()


def explain(error: BaseException) -> CertworkerError | None:
    """
    Explain the error of an unreachable queue.
    """
    away = isinstance(error, ConnectionError)
    return RedisFault(address="redis:6379", reason=error) if away else None


@pytest.fixture
def follow(place: Path, queue: Queue) -> Iterator[Callable[..., LabelWatcher]]:
    """
    Start a watcher, which the fixture stops.
    """
    started: list[LabelWatcher] = []

    def start(*, between: float = 60, wildcards: bool = False) -> LabelWatcher:
        labels = LabelWatcher(
            DockerClient(f"unix://{place}"),
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
    wait_until(lambda: set(names) <= set(queue.names) or None, lambda: str(queue.asked))


def wait_for_followers(engine: Engine, count: int = 1) -> None:
    """
    Wait until the events are followed.
    """
    wait_until(lambda: len(engine.followers) == count or None, lambda: str(engine.asked))


class TestContainers:
    def test_what_runs_at_the_start_is_asked_for(
        self, engine: Engine, queue: Queue, follow: Callable[..., LabelWatcher]
    ) -> None:
        """
        Each name of a running container is requested, with its origin; stopped containers are ignored.
        """
        engine.start("shop", certworker_domains="shop.example.com, WWW.example.com.,")
        engine.listed.append(Listed("old", {DOMAINS_LABEL: "old.example.com"}, "exited"))
        follow()
        wait_for(queue, "www.example.com")

        by = "the label of the container shop"
        assert [("shop.example.com", by), ("www.example.com", by)] == queue.asked

    def test_one_that_starts_is_asked_for_at_once(
        self, engine: Engine, queue: Queue, follow: Callable[..., LabelWatcher]
    ) -> None:
        """
        Only containers with the label cause requests.
        """
        follow()
        wait_for_followers(engine)
        engine.start("blog")
        engine.start("shop", certworker_domains="shop.example.com")
        wait_for(queue, "shop.example.com")

        assert ["shop.example.com"] == queue.names

    def test_one_that_restarts_is_asked_for_again_but_not_all_the_time(
        self, engine: Engine, queue: Queue, follow: Callable[..., LabelWatcher]
    ) -> None:
        """
        A restart causes requests again, but not each second.
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
        wait_until(lambda: queue.names.count("shop.example.com") == 2 or None, lambda: str(queue.asked))
        wait_for_followers(engine)
        engine.start("shop", certworker_domains="shop.example.com")
        wait_until(lambda: queue.names.count("shop.example.com") == 3 or None, lambda: str(queue.asked))


class TestHostileLabels:
    @pytest.mark.parametrize(
        ("text", "warning", "good"),
        [
            ("../../etc/passwd,good.example.com,b ad", "(1 more)", ["good.example.com"]),
            ("good.example.com,evil\nINFO forged", r"evil\nINFO forged", ["good.example.com"]),
            ("localhost", "[config.domain_localhost]", []),
            ("*.example.com", "[name.wildcard]", []),
            (" , ", "It has 0 names", []),
            ("x" * 50_000, "[name.too_long]", []),
            (",".join(f"a{n}.example.com" for n in range(5000)), "It has 5000 names", None),
        ],
    )
    def test_it_is_one_warning_and_what_is_good_of_it_is_asked_for(
        self,
        engine: Engine,
        queue: Queue,
        follow: Callable[..., LabelWatcher],
        caplog: pytest.LogCaptureFixture,
        text: str,
        warning: str,
        good: list[str] | None,
    ) -> None:
        """
        The log has one warning, and the valid names are requested.
        """
        follow(between=0)
        wait_for_followers(engine)
        for _ in range(3):
            engine.start("evil", **{DOMAINS_LABEL: text})
        engine.start("last", certworker_domains="last.example.com")
        wait_for(queue, "last.example.com")
        (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

        assert "[label.unusable] Ignoring the label certworker.domains of the container evil" in warning
        assert warning in warning
        assert len(warning) < 1000
        expected = [f"a{n}.example.com" for n in range(MAX_NAMES)] if good is None else good
        assert {*expected, "last.example.com"} == set(queue.names)

    def test_a_wildcard_is_asked_for_where_a_provider_is_set(
        self, engine: Engine, queue: Queue, follow: Callable[..., LabelWatcher]
    ) -> None:
        """
        The label has it in quotes, or with any other name.
        """
        follow(wildcards=True)
        wait_for_followers(engine)
        engine.start("functions", **{DOMAINS_LABEL: "*.example.com, example.com"})
        wait_for(queue, "example.com")

        assert ["*.example.com", "example.com"] == sorted(queue.names)


class TestOutages:
    def test_an_engine_that_comes_later_is_followed(
        self, place: Path, queue: Queue, follow: Callable[..., LabelWatcher], caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log has one line with the address of the engine and the remedy.
        """
        caplog.set_level(logging.INFO, "certworker")
        follow()
        wait_until(lambda: "[reload.engine]" in caplog.text or None, lambda: caplog.text)
        time.sleep(0.5)
        with Engine(set(), place) as engine:
            engine.start("shop", certworker_domains="shop.example.com")
            wait_for(queue, "shop.example.com")
            wait_until(lambda: "are readable again" in caplog.text or None, lambda: caplog.text)

        assert 1 == caplog.text.count("[reload.engine]")
        assert "CERTWORKER_DOCKER_HOST=tcp://socket-proxy:2375 · certworker tries again" in caplog.text

    def test_what_starts_while_it_is_away_is_found_and_nothing_else_asked_for_twice(
        self, engine: Engine, queue: Queue, follow: Callable[..., LabelWatcher]
    ) -> None:
        """
        Containers that started during an interruption are found, and no other is requested twice.
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
        A refused event stream is reported, although it looks like silence.
        """
        engine.refusing = refusing
        engine.start("shop", certworker_domains="shop.example.com")
        follow()
        wait_until(lambda: "[label.refused]" in caplog.text or None, lambda: caplog.text)
        time.sleep(0.7)
        assert 1 == caplog.text.count("[label.refused]")
        assert [] == queue.asked
        engine.refusing = "$^"
        wait_for(queue, "shop.example.com")

    def test_a_queue_that_is_away_is_asked_again(
        self,
        engine: Engine,
        queue: Queue,
        follow: Callable[..., LabelWatcher],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        The names are requested again when the queue is reachable.
        """
        follow()
        wait_for_followers(engine)
        queue.failures = 2
        engine.start("shop", certworker_domains="shop.example.com")
        wait_for(queue, "shop.example.com")

        assert 1 == caplog.text.count("no Redis")


class TestStop:
    def test_it_ends_while_nothing_happens(self, engine: Engine, follow: Callable[..., LabelWatcher]) -> None:
        """
        The watcher stops without an event.
        """
        labels = follow()
        wait_for_followers(engine)
        labels.stop()

        assert "labels" not in {thread.name for thread in threading.enumerate()}

    def test_one_that_was_not_started_may_be_stopped(self, place: Path, queue: Queue) -> None:
        """
        A watcher that never started can be stopped.
        """
        LabelWatcher(DockerClient(f"unix://{place}"), queue, private_names=False, wildcards=False).stop()
