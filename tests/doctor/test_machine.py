"""
Tests of the checks of this machine.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from certworker.app import App
from certworker.doctor.findings import MACHINE, Finding, Verdict
from certworker.doctor.machine import log_findings, machine, storage
from certworker.doctor.network import probe_directories
from certworker.settings import Settings, load
from tests.doctor.conftest import NAME


class TestMachine:
    def test_each_check_has_a_finding_in_order(self, settings: Settings, issued: App) -> None:
        """
        Each check has a finding. The fast local checks are first, and the CA is last.
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


class TestLogFindings:
    def test_each_problem_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        Each problem is one log line with its code.
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
        A healthy machine is one log line, without the finding about the starting worker itself.
        """
        caplog.set_level(logging.INFO)
        log_findings(iter([MACHINE.warn("worker", "No worker takes jobs from the queue.", "Start it.")]))

        assert ["machine: no problem found"] == [record.getMessage() for record in caplog.records]

    def test_an_unexpected_error_is_logged_with_its_traceback(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        An unexpected error in a check is logged with its traceback, and does not end the start.
        """

        def broken() -> object:
            raise ZeroDivisionError

        log_findings(broken() for _ in range(1))  # type: ignore[misc] # it never returns

        assert "[worker.unexpected]" in caplog.text
        assert "Traceback" in caplog.text


def found(settings: Settings, subject: str) -> Finding:
    """
    Return the first finding about *subject*.
    """
    return next(finding for finding in storage(settings) if finding.subject == subject)


class TestDirectories:
    def test_the_directories_of_a_healthy_machine_pass(self, settings: Settings, issued: App) -> None:
        """
        The directories of a healthy machine pass, and the finding has the free space.
        """
        assert {Verdict.WELL} == {finding.verdict for finding in storage(settings)}
        assert "GB free" in found(settings, str(settings.certificates_dir)).text

    def test_a_missing_directory_is_a_failure(self, settings: Settings) -> None:
        """
        A missing directory is a failure. The doctor does not create it, because a mount can be missing.
        """
        shutil.rmtree(settings.config_dir)
        finding = found(settings, str(settings.config_dir))

        assert (Verdict.FAIL, "There is no such directory.") == (finding.verdict, finding.text)
        assert not settings.config_dir.exists()
        assert Verdict.SKIPPED is found(settings, "Traefik's files").verdict

    def test_an_unwritable_directory_is_reported(self, environ: dict[str, str], forbidden: Path) -> None:
        """
        An unwritable directory is reported with its code.
        """
        settings = load(environ | {"CERTWORKER_CONFIG_DIR": str(forbidden)})

        assert "fs.readonly" == found(settings, str(forbidden)).code


class TestAccountKey:
    def test_a_missing_key_is_skipped(self, settings: Settings) -> None:
        """
        A missing account key is skipped, and the doctor creates none as a possibly wrong user.
        """
        assert Verdict.SKIPPED is found(settings, "account key").verdict
        assert not (settings.state_dir / "accounts").exists()

    @pytest.mark.parametrize(
        ("mode", "content", "verdict", "code"),
        [
            (0o644, None, Verdict.WARN, ""),
            (0o600, "no key", Verdict.FAIL, "acct.key_unreadable"),
        ],
    )
    def test_an_unsafe_or_invalid_key_is_reported(
        self, settings: Settings, issued: App, mode: int, content: str | None, verdict: Verdict, code: str
    ) -> None:
        """
        A key that other users can read is a warning, and an invalid key is a failure.
        """
        (path,) = settings.state_dir.glob("accounts/*/key.pem")
        if content:
            path.write_text(content)
        path.chmod(mode)
        finding = found(settings, "account key")

        assert (verdict, code) == (finding.verdict, finding.code)
        assert str(path) in finding.text
        assert str(path) in finding.remedy


class TestTraefik:
    def test_a_file_that_cannot_be_read_is_reported(self, settings: Settings, issued: App) -> None:
        """
        An unreadable YAML file is reported, because Traefik then ignores all files.
        """
        (settings.config_dir / "routes.yml").write_text("[")

        assert "proxy.yaml_broken" == found(settings, "Traefik's files").code

    def test_a_file_with_a_missing_certificate_is_a_warning(self, settings: Settings, issued: App) -> None:
        """
        A YAML file whose certificate is missing is a warning with the command that requests it.
        """
        shutil.rmtree(settings.certificates_dir / ".certworker" / "generations")
        finding = found(settings, "Traefik's files")

        assert Verdict.WARN is finding.verdict
        assert finding.remedy.endswith(f"certworker request {NAME}")
