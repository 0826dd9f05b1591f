"""
Tests of the reloader_for of containers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from functools import partial

import pytest

from certworker.integrations.docker.client import DockerClient
from certworker.integrations.docker.reloader import RELOAD_LABEL, Reloader
from certworker.settings.reload import Reload, Target
from tests.servers.engine import Engine, Listed
from tests.servers.worker import wait_until

HUP = "POST /containers/web/kill?signal=HUP"
RESTART = "POST /containers/mail/restart?t=10"


@pytest.fixture
def engine(caplog: pytest.LogCaptureFixture) -> Iterator[Engine]:
    """
    Yield an engine with two containers.
    """
    caplog.set_level(logging.INFO, "certworker")
    with Engine({"web", "mail"}) as engine:
        yield engine


def reloader_for(engine: Engine, *, longest: float = 5, quiet: float = 0.2, labels: bool = False) -> Reloader:
    """
    Return a reloader for *engine* with short delays.
    """
    containers = DockerClient(engine.address)

    def reload(target: Target) -> None:
        assert isinstance(target, Reload)
        containers.reload(target)

    return Reloader(
        [Reload.parse("web:HUP"), Reload.parse("mail:restart")],
        reload,
        partial(containers.running, RELOAD_LABEL) if labels else list,
        quiet_seconds=quiet,
        longest_burst_seconds=longest,
        pause_seconds=0.2,
    )


def gets_no_request(engine: Engine) -> bool:
    """
    Return whether *engine* gets no request within a second.
    """
    before = len(engine.asked)
    time.sleep(1)
    return before == len(engine.asked)


class TestBursts:
    def test_a_burst_is_one_reload(self, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
        """
        A burst of changes causes one reload.
        """
        reloader = reloader_for(engine)
        reloader.start()
        for _ in range(50):
            reloader.enqueue()
        wait_until(lambda: RESTART in engine.asked or None, lambda: caplog.text)
        time.sleep(0.5)
        reloader.stop()

        assert [HUP, RESTART] == engine.asked
        assert "web:HUP: reloaded after a change of certificates (50 changes)" in caplog.text

    def test_a_long_burst_does_not_delay_reloads(self, engine: Engine) -> None:
        """
        The delay of a reload is limited during a long burst, as in a migration.
        """
        reloader = reloader_for(engine, quiet=3_600, longest=0.3)
        reloader.start()

        def is_reloaded_twice() -> bool | None:
            reloader.enqueue()
            return engine.asked[:4] == [HUP, RESTART] * 2 or None

        wait_until(is_reloaded_twice, lambda: str(engine.asked))
        reloader.stop()

    def test_without_a_change_there_is_no_reload(self, engine: Engine) -> None:
        """
        The start of the reloader and a certificate that is still valid cause no reload.
        """
        reloader = reloader_for(engine)
        reloader.start()
        assert {"state": "kept"} == reloader.after(lambda **_: {"state": "kept"})()
        assert {"state": "a.org"} == reloader.after(lambda domain: {"state": domain})("a.org")
        reloader.stop()

        assert [] == engine.asked

    def test_a_change_before_the_stop_causes_a_reload(self, engine: Engine) -> None:
        """
        A stopping worker performs the pending reloader_for.
        """
        reloader = reloader_for(engine, quiet=3_600, longest=3_600)
        reloader.start()
        reloader.after(lambda **_: {"state": "issued"})()
        reloader.stop()

        assert [HUP, RESTART] == engine.asked


class TestFailures:
    def test_a_failed_reload_is_retried(self, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
        """
        A failed reload is logged once and retried, and delays no other reload.
        """
        engine.running.discard("web")
        reloader = reloader_for(engine)
        reloader.start()
        reloader.enqueue()
        wait_until(lambda: engine.asked.count(HUP) >= 3 or None, lambda: caplog.text)
        assert 1 == engine.asked.count(RESTART)
        engine.running.add("web")
        wait_until(lambda: "web:HUP: reloaded" in caplog.text or None, lambda: caplog.text)
        before = list(engine.asked)
        time.sleep(0.5)
        reloader.stop()

        assert before == engine.asked
        assert 1 == caplog.text.count("[reload.failed]")
        assert "name=web · certworker retries" in caplog.text


class TestLabels:
    def test_labeled_containers_are_reloaded(self, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
        """
        The containers of the settings and of labels are reloaded, each of them once.
        """
        engine.start("haproxy", certworker_reload="USR2")
        engine.start("web", certworker_reload="HUP")
        engine.start("app", certworker_reload="exec:reload --now 'a, b'")
        reloader = reloader_for(engine, labels=True)
        reloader.start()
        reloader.enqueue()
        wait_until(lambda: "app:exec:" in caplog.text or None, lambda: caplog.text)
        reloader.stop()

        assert 1 == engine.asked.count(HUP)
        assert 1 == engine.asked.count("POST /containers/haproxy/kill?signal=USR2")
        assert [["reload", "--now", "a, b"]] == engine.commands

    def test_labels_are_read_at_each_change(self, engine: Engine) -> None:
        """
        The labels are read at each change, and a container that no longer exists is not reloaded.
        """
        engine.start("old", certworker_reload="HUP")
        engine.running.discard("old")
        reloader = reloader_for(engine, labels=True)
        reloader.start()
        reloader.enqueue()
        old = "POST /containers/old/kill?signal=HUP"
        wait_until(lambda: engine.asked.count(old) >= 2 or None, lambda: str(engine.asked))
        engine.listed.clear()
        wait_until(lambda: gets_no_request(engine) or None, lambda: str(engine.asked))
        engine.start("new", certworker_reload="HUP")
        reloader.enqueue()
        wait_until(lambda: "POST /containers/new/kill?signal=HUP" in engine.asked or None, lambda: "")
        reloader.stop()

        assert 2 == engine.asked.count(HUP)

    @pytest.mark.parametrize("text", ["KILL\nINFO forged", "HUP,web:restart", "../web:HUP", "exec:'", ""])
    def test_an_invalid_label_is_logged_once(
        self, engine: Engine, caplog: pytest.LogCaptureFixture, text: str
    ) -> None:
        """
        An invalid label is logged once, and affects only its container.
        """
        engine.listed.append(Listed("evil", {RELOAD_LABEL: text}))
        reloader = reloader_for(engine, labels=True)

        def has_restarted(times: int) -> bool | None:
            return engine.asked.count(RESTART) >= times or None

        reloader.start()
        for changes in (1, 2):
            reloader.enqueue()
            wait_until(partial(has_restarted, changes), lambda: caplog.text)
        reloader.stop()
        (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

        assert "[label.unusable] The label certworker.reload of the container evil is invalid" in warning
        assert text.replace("\n", "\\n") in warning
        assert [HUP, RESTART] * 2 == [each for each in engine.asked if each.startswith("POST")]

    def test_a_refused_list_is_logged_once(self, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
        """
        A refused list is logged once. Reloads of the settings work, and those of labels follow later.
        """
        engine.refusing = "/containers/json"
        engine.start("haproxy", certworker_reload="USR2")
        reloader = reloader_for(engine, labels=True)
        reloader.start()
        reloader.enqueue()
        wait_until(lambda: RESTART in engine.asked or None, lambda: caplog.text)
        time.sleep(0.7)
        assert 1 == caplog.text.count("[label.refused]")
        engine.refusing = "$^"
        wait_until(lambda: "haproxy:USR2: reloaded" in caplog.text or None, lambda: caplog.text)
        reloader.stop()

        assert (1, 1) == (engine.asked.count(HUP), engine.asked.count(RESTART))
