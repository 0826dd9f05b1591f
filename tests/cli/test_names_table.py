"""
Tests of the table of names and states.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from certworker.app import App
from certworker.cli.names_table import show_table, urgency
from certworker.errors import CertworkerError
from certworker.renewal.domain_status import DomainStatus
from tests.cli.test_output import shown
from tests.servers.worker import WorkerProcess

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
ONE = DomainStatus(
    name="a.org",
    state="valid",
    detail="valid",
    names=("a.org",),
    serial="01",
    not_before=NOW - timedelta(days=1),
    not_after=NOW + timedelta(days=89, hours=23),
    renewal=NOW + timedelta(days=60),
    next_check=NOW + timedelta(hours=12, seconds=-1),
    attempts=0,
    code="",
    message="",
    remedy="",
    issuer="issuer",
    authority="letsencrypt",
    by="",
)


class TestShowTable:
    def test_a_file_gets_the_complete_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A file gets the complete message of each failure. The time left is rounded down, the next check up.
        """
        expired = replace(ONE, name="b.org", detail="expired", not_after=NOW - timedelta(days=3))
        failed = replace(
            ONE, name="c.org", detail="no_certificate", not_after=None, code="http.404", message="m" * 300
        )
        show_table([ONE, expired, failed], NOW)
        header, *lines = capsys.readouterr().out.splitlines()

        assert ["NAME", "STATE", "VALID", "FOR", "NEXT", "CHECK", "LAST", "ERROR"] == header.split()
        assert "a.org  valid           89 days             2026-11-29 00:00 UTC" == lines[0]
        assert "b.org  expired         expired 3 days ago  2026-11-29 00:00 UTC" == lines[1]
        assert lines[2].startswith(
            "c.org  no certificate  -                   2026-11-29 00:00 UTC  [http.404] mmm"
        )
        assert lines[2].endswith("m" * 300)


class TestUrgency:
    def test_failures_come_first(self) -> None:
        """
        The table begins with the names that need an action.
        """
        details = ["valid", "due", "failing", "paused", "expired", "no_certificate", "waiting"]
        ordered = sorted(
            (replace(ONE, detail=each, name=f"{n}.org") for n, each in enumerate(details)), key=urgency
        )

        assert ["no_certificate", "expired", "paused", "failing", "valid", "due", "waiting"] == [
            each.detail for each in ordered
        ]


class TestTerminal:
    def test_a_table_fits_the_terminal_and_has_colors(self, worker: WorkerProcess, app: App) -> None:
        """
        No line is wider than the terminal. Failures are red, except with NO_COLOR.
        """
        with pytest.raises(CertworkerError):
            app.issuance.issue(("a-very-long-name-of-a-shop-with-more-than-sixty-letters.invalid",))
        _, text = shown(worker, "status")
        worker.environment["NO_COLOR"] = "1"
        _, plain = shown(worker, "status")

        assert "\x1b[31m" in text
        assert "\x1b" not in plain
        assert max(len(line) for line in plain.splitlines()[:2]) <= 80
        assert "…" in plain
        assert "\x1b" not in worker.command("status").stdout
