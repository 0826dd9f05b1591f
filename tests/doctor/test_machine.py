"""
Whether this machine can do its work.
"""

from __future__ import annotations

import logging

import pytest

from certworker.app import App
from certworker.doctor.findings import Section
from certworker.doctor.machine import log_findings, machine
from certworker.doctor.network import probe_directories
from certworker.settings import Settings

MACHINE = Section("Machine")


class TestMachine:
    def test_everything_has_a_line_in_the_order_of_the_report(self, settings: Settings, issued: App) -> None:
        """
        Cheap and local first, the CA last.
        """
        reached = probe_directories([(issuer.ca, issuer.client) for issuer in issued.issuers])

        assert [
            "clock",
            str(settings.certificates_dir),
            str(settings.config_dir),
            str(settings.state_dir),
            "account key",
            "Traefik's files",
            "redis",
            "worker",
            "CA",
        ] == [finding.subject for finding in machine(settings, reached)]


class TestTell:
    def test_what_is_wrong_is_a_line_each(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        With its code, so that a reader finds it in docs/reference/errors.
        """
        findings = [
            MACHINE.ok("redis", "answers"),
            MACHINE.fail("/storage/config", "Full.", "Free some space.", "fs.full"),
            MACHINE.skip("account key", "none yet"),
        ]
        log_findings(iter(findings))

        (record,) = caplog.records
        assert "machine: /storage/config: [fs.full] Full. Free some space." == record.getMessage()
        assert (logging.WARNING, "fs.full") == (record.levelno, vars(record)["code"])

    def test_a_healthy_machine_is_one_line(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        That no worker is at work is no news to one that starts.
        """
        caplog.set_level(logging.INFO)
        log_findings(iter([MACHINE.warn("worker", "None takes jobs.", "Start it.")]))

        assert ["machine: all well"] == [record.getMessage() for record in caplog.records]

    def test_an_unexpected_error_is_logged_with_its_traceback(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        The worker starts without the report.
        """

        def broken() -> object:
            raise ZeroDivisionError

        log_findings(broken() for _ in range(1))  # type: ignore[misc]

        assert "[worker.unexpected]" in caplog.text
        assert "Traceback" in caplog.text
