"""
Reloads of containers, beside the jobs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from certworker.reloads import Reloads
from certworker.serving.containers import Containers
from certworker.settings.reloads import Reload
from tests.servers.engine import Engine
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


def reloads(engine: Engine, *, longest: float = 5, quiet: float = 0.2) -> Reloads:
    """
    One that has less patience.
    """
    return Reloads(
        [Reload.parse("web:HUP"), Reload.parse("mail:restart")],
        Containers(engine.address).reload,
        quiet_seconds=quiet,
        longest_burst_seconds=longest,
        pause_seconds=0.2,
    )


class TestBursts:
    def test_a_burst_is_one_reload(self, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
        """
        A thousand renewals in a night must not restart a mail server a thousand times.
        """
        acting = reloads(engine)
        acting.start()
        for _ in range(50):
            acting.expect()
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
            acting.expect()
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
        acting.stop()

        assert [] == engine.asked

    def test_a_change_just_before_the_end_is_told_at_once(self, engine: Engine) -> None:
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
    def test_it_is_told_once_tried_again_and_does_not_keep_others_waiting(
        self, engine: Engine, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A container that is being updated is away for a minute.
        """
        engine.running.discard("web")
        acting = reloads(engine)
        acting.start()
        acting.expect()
        wait_until(lambda: engine.asked.count(HUP) >= 3 or None, lambda: caplog.text)
        assert 1 == engine.asked.count(RESTART)
        engine.running.add("web")
        wait_until(lambda: "web:HUP: done" in caplog.text or None, lambda: caplog.text)
        asked = list(engine.asked)
        time.sleep(0.5)
        acting.stop()

        assert asked == engine.asked
        assert 1 == caplog.text.count("[reload.failed]")
