"""
Tests of `certworker explain --timings`, as text and as JSON.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from certworker.cli.timings import show_timings
from certworker.observability.history import HistoryEntry
from certworker.tracing.steps import JOB_STEPS
from tests.servers.worker import WorkerProcess

NOW = datetime(2026, 11, 29, 1, 14, 52, tzinfo=UTC)


class TestTimings:
    def test_each_attempt_has_the_steps_that_it_ran(self, worker: WorkerProcess) -> None:
        """
        After a failure and a success of a real worker, the command shows where the time of each went.
        """
        worker.start()
        worker.command("request", "--wait", "nowhere.invalid")
        worker.command("request", "--wait", "shop.localhost")
        failed, issued = (
            json.loads(worker.explained(text, name, "--timings", "--json"))
            for name, text in (
                ("nowhere.invalid", "certificate not issued:"),
                ("shop.localhost", "certificate issued"),
            )
        )

        assert "nowhere.invalid" == failed["name"]
        assert "certificate not issued:" in failed["attempts"][-1]["text"]
        assert ["lock", "preflight"] == list(failed["attempts"][-1]["timings_ms"])[:2]
        (attempt,) = issued["attempts"]
        assert [step for step in JOB_STEPS if step != "dry_run"] == list(attempt["timings_ms"])
        assert 0 < attempt["sum_ms"] == round(sum(attempt["timings_ms"].values()), 1)

        shown = worker.command("explain", "shop.localhost", "--timings").stdout
        assert "certificate issued" in shown.splitlines()[0]
        assert f"{attempt['timings_ms']['validate']:,.1f} ms" in shown
        assert "request received" not in shown

    def test_the_shares_show_the_slow_step(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        Each step has its milliseconds and its share of the sum, in the order of the job.
        """
        durations = {"lock": 0.5, "validate": 1499.5}
        begun = HistoryEntry(NOW, "INFO", "request received")
        show_timings("a.org", [begun, HistoryEntry(NOW, "INFO", "certificate issued", durations)])

        assert [
            "2026-11-29 01:14:52 INFO  certificate issued",
            "  lock               0.5 ms    0%",
            "  validate       1,499.5 ms  100%",
            "  sum            1,500.0 ms",
        ] == capsys.readouterr().out.splitlines()

    def test_steps_without_a_duration_divide_by_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        An attempt whose steps took less than 0.1 ms has no shares.
        """
        show_timings("a.org", [HistoryEntry(NOW, "INFO", "certificate valid, nothing to do", {"lock": 0.0})])

        assert "  lock               0.0 ms    0%" in capsys.readouterr().out.splitlines()

    def test_a_history_of_an_older_version_has_no_timings(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        Events without durations are not attempts.
        """
        show_timings("a.org", [HistoryEntry(NOW, "INFO", "certificate issued")])

        assert "a.org: no attempt in the history has timings" == capsys.readouterr().out.strip()

    def test_an_error_code_has_no_timings(self, worker: WorkerProcess) -> None:
        """
        The command asks for a name.
        """
        ended = worker.command("explain", "http.404", "--timings")

        assert 2 == ended.returncode
        assert "An error code has no timings." in ended.stderr
