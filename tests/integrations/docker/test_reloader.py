"""
Reloads of containers, beside the jobs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from functools import partial

import pytest

from certworker.integrations.docker.client import DockerClient
from certworker.integrations.docker.reloader import LABEL, Reloader
from certworker.settings.reload import Reload
from tests.servers.engine import Engine, Listed
from tests.servers.worker import wait_until

HUP = "POST /containers/web/kill?signal=HUP"
RESTART = "POST /containers/mail/restart?t=10"


@pytest.fixture
def engine(caplog: pytest.LogCaptureFixture) -> Iterator[Engine]:
    """
    An engine with two containers.
    """
    caplog.set_level(logging.INFO, "certworker")
    with Engine({"web", "mail"}) as engine:
        yield engine


def reloads(engine: Engine, *, longest: float = 5, quiet: float = 0.2, labels: bool = False) -> Reloader:
    """
    One that has less patience.
    """
    containers = DockerClient(engine.address)
    return Reloader(
        [Reload.parse("web:HUP"), Reload.parse("mail:restart")],
        containers.reload,
        partial(containers.running, LABEL) if labels else list,
        quiet_seconds=quiet,
        longest_burst_seconds=longest,
        pause_seconds=0.2,
    )


def is_left_alone(engine: Engine) -> bool:
    """
    Whether nobody asks *engine* for anything any more.
    """
    asked = len(engine.asked)
    time.sleep(1)
    return asked == len(engine.asked)


class TestBursts:
    def test_a_burst_is_one_reload(self, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
        """
        A thousand renewals in a night must not restart a mail server a thousand times.
        """
        acting = reloads(engine)
        acting.start()
        for _ in range(50):
            acting.enqueue()
            time.sleep(0.005)
        wait_until(lambda: RESTART in engine.asked or None, lambda: caplog.text)
        time.sleep(0.5)
        acting.stop()

        assert [HUP, RESTART] == engine.asked
        assert "web:HUP: done, for certificates have changed (50 changes)" in caplog.text

    def test_one_that_does_not_end_is_not_waited_for(self, engine: Engine) -> None:
        """
        A migration takes hours, and a certificate that was renewed in it may expire meanwhile.
        """
        acting = reloads(engine, longest=0.3)
        acting.start()
        until = time.monotonic() + 1
        while time.monotonic() < until:
            acting.enqueue()
            time.sleep(0.02)
        seen = len(engine.asked)
        acting.stop()

        assert 4 <= seen <= 8

    def test_without_a_change_nothing_is_done(self, engine: Engine) -> None:
        """
        Neither a start nor a certificate that stays is a reason.
        """
        acting = reloads(engine)
        acting.start()
        assert {"state": "kept"} == acting.after(lambda **_: {"state": "kept"})()
        assert {"state": "a.org"} == acting.after(lambda domain: {"state": domain})("a.org")
        acting.stop()

        assert [] == engine.asked

    def test_a_change_just_before_the_stop_is_reloaded_at_once(self, engine: Engine) -> None:
        """
        A worker that is updated must not forget it.
        """
        acting = reloads(engine, quiet=60, longest=60)
        acting.start()
        acting.after(lambda **_: {"state": "issued"})()
        began = time.monotonic()
        acting.stop()

        assert [HUP, RESTART] == engine.asked
        assert time.monotonic() - began < 5


class TestFailures:
    def test_a_failure_is_logged_once_retried_and_delays_no_other(
        self, engine: Engine, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A container that is being updated is away for a minute.
        """
        engine.running.discard("web")
        acting = reloads(engine)
        acting.start()
        acting.enqueue()
        wait_until(lambda: engine.asked.count(HUP) >= 3 or None, lambda: caplog.text)
        assert 1 == engine.asked.count(RESTART)
        engine.running.add("web")
        wait_until(lambda: "web:HUP: done" in caplog.text or None, lambda: caplog.text)
        asked = list(engine.asked)
        time.sleep(0.5)
        acting.stop()

        assert asked == engine.asked
        assert 1 == caplog.text.count("[reload.failed]")


class TestLabels:
    def test_labeled_containers_are_reloaded(self, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
        """
        Beside those of the setting, and each thing once.
        """
        engine.start("haproxy", certworker_reload="USR2")
        engine.start("web", certworker_reload="HUP")
        engine.start("app", certworker_reload="exec:reload --now 'a, b'")
        acting = reloads(engine, labels=True)
        acting.start()
        acting.enqueue()
        wait_until(lambda: "app:exec:" in caplog.text or None, lambda: caplog.text)
        acting.stop()

        assert 1 == engine.asked.count(HUP)
        assert 1 == engine.asked.count("POST /containers/haproxy/kill?signal=USR2")
        assert [["reload", "--now", "a, b"]] == engine.commands

    def test_who_is_labelled_is_asked_for_at_each_change(self, engine: Engine) -> None:
        """
        Containers come and go; one that went while it was to be told is owed nothing.
        """
        engine.start("old", certworker_reload="HUP")
        engine.running.discard("old")
        acting = reloads(engine, labels=True)
        acting.start()
        acting.enqueue()
        old = "POST /containers/old/kill?signal=HUP"
        wait_until(lambda: engine.asked.count(old) >= 2 or None, lambda: str(engine.asked))
        engine.listed.clear()
        wait_until(lambda: is_left_alone(engine) or None, lambda: str(engine.asked))
        engine.start("new", certworker_reload="HUP")
        acting.enqueue()
        wait_until(lambda: "POST /containers/new/kill?signal=HUP" in engine.asked or None, lambda: "")
        acting.stop()

        assert 2 == engine.asked.count(HUP)

    @pytest.mark.parametrize("text", ["KILL\nINFO forged", "HUP,web:restart", "../web:HUP", "exec:'", ""])
    def test_an_invalid_label_is_logged_once(
        self, engine: Engine, caplog: pytest.LogCaptureFixture, text: str
    ) -> None:
        """
        It is written by whoever made that container, and means that one alone.
        """
        engine.listed.append(Listed("evil", {LABEL: text}))
        acting = reloads(engine, labels=True)
        acting.start()
        for changes in (1, 2):
            acting.enqueue()
            wait_until(lambda n=changes: engine.asked.count(RESTART) >= n or None, lambda: caplog.text)  # type: ignore[misc]
        acting.stop()
        (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

        assert "[label.unusable] The label certworker.reload of the container evil" in told
        assert text.replace("\n", "\\n") in told
        assert [HUP, RESTART] * 2 == [each for each in engine.asked if each.startswith("POST")]

    def test_a_refused_list_is_logged_once_and_settings_still_work(
        self, engine: Engine, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        And once it is allowed, whoever is labelled is told after all.
        """
        engine.refusing = "/containers/json"
        engine.start("haproxy", certworker_reload="USR2")
        acting = reloads(engine, labels=True)
        acting.start()
        acting.enqueue()
        wait_until(lambda: RESTART in engine.asked or None, lambda: caplog.text)
        time.sleep(0.7)
        assert 1 == caplog.text.count("[label.refused]")
        engine.refusing = "$^"
        wait_until(lambda: "haproxy:USR2: done" in caplog.text or None, lambda: caplog.text)
        acting.stop()

        assert (1, 1) == (engine.asked.count(HUP), engine.asked.count(RESTART))
