"""
The removal of what killed workers left behind.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta

import pytest

from certworker.app import App
from certworker.supervision import Duties
from certworker.worker.leftovers import Leftovers


def leftovers_of(app: App) -> Leftovers:
    """
    Return the leftovers in the components of *app*.
    """
    return Leftovers(app.issuers, app.tokens, app.locks, app.certificates, app.traefik, app.clock)


class TestRemovals:
    def test_old_tokens_are_removed_unless_their_name_is_locked(self, app: App) -> None:
        """
        A lock shows that an order waits for the CA. A check of port 80 takes less than a minute.
        """
        for token in ("dead", "alive"):
            app.tokens.remember(token, authority=app.issuers[0].client.label, name=f"{token}.localhost")
        later = app.clock() + timedelta(minutes=2)
        with app.locks.hold(["alive.localhost"]):
            leftovers_of(app)._remove_tokens()
            assert {"dead", "alive"} == set(app.tokens.all())

            Leftovers(
                app.issuers, app.tokens, app.locks, app.certificates, app.traefik, lambda: later
            )._remove_tokens()
            assert {"alive"} == set(app.tokens.all())

    def test_a_directory_that_cannot_be_cleaned_does_not_affect_the_others(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Its failure is logged, and the leftovers elsewhere are removed.
        """
        leftover = app.traefik.directory / ".certworker" / "0123456789abcdef.tmp"
        leftover.parent.mkdir(exist_ok=True)
        leftover.write_text("half a file")
        os.utime(leftover, (time.time() - 120,) * 2)
        keys = app.settings.state_dir / "orders" / app.issuers[0].ca.label
        keys.parent.mkdir()
        keys.write_text("a file instead of a directory")

        Duties(dict(leftovers_of(app).removals()))()

        assert "[fs.io]" in caplog.text
        assert not leftover.exists()
