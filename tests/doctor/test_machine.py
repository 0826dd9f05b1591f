"""
Whether this machine can do its work.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from certworker.app import App
from certworker.doctor.findings import MACHINE, Finding, Verdict
from certworker.doctor.machine import for_this_machine, log_findings, machine, storage
from certworker.doctor.network import probe_directories
from certworker.settings import Settings, load
from tests.doctor.conftest import NAME


class TestMachine:
    def test_everything_has_a_line_in_the_order_of_the_report(self, settings: Settings, issued: App) -> None:
        """
        Fast local checks are first, the CA is last.
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


class TestForThisMachine:
    def test_without_docker_a_remedy_uses_systemd(self, tmp_path: Path) -> None:
        """
        A container and a machine with Docker get the commands of Docker.
        """
        finding = MACHINE.warn("worker", "No worker.", "Start it: docker compose up -d")
        marker = tmp_path / "docker.sock"
        assert "Start it: sudo systemctl restart certworker" == for_this_machine(finding, [marker]).remedy

        marker.touch()
        assert finding == for_this_machine(finding, [tmp_path / "none", marker])


class TestLogFindings:
    def test_each_problem_is_a_line(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        The line has the code, which docs/reference/errors explains.
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
        A worker that starts does not log that no worker runs.
        """
        caplog.set_level(logging.INFO)
        log_findings(iter([MACHINE.warn("worker", "No worker takes jobs from the queue.", "Start it.")]))

        assert ["machine: all well"] == [record.getMessage() for record in caplog.records]

    def test_an_unexpected_error_is_logged_with_its_traceback(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        The worker starts without the report.
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
    def test_those_of_a_healthy_machine_are_well(self, settings: Settings, issued: App) -> None:
        """
        The finding shows the free space.
        """
        assert {Verdict.WELL} == {finding.verdict for finding in storage(settings)}
        assert "GB free" in found(settings, str(settings.certificates_dir)).text

    def test_a_missing_one_is_a_failure_and_not_created(self, settings: Settings) -> None:
        """
        A new directory would hide that the volume is not mounted.
        """
        shutil.rmtree(settings.config_dir)
        finding = found(settings, str(settings.config_dir))

        assert (Verdict.FAIL, "There is no such directory.") == (finding.verdict, finding.text)
        assert not settings.config_dir.exists()
        assert Verdict.SKIPPED is found(settings, "Traefik's files").verdict

    def test_one_that_cannot_be_written_is_reported(self, environ: dict[str, str], forbidden: Path) -> None:
        """
        Before a certificate is ordered that could not be stored.
        """
        settings = load(environ | {"CERTWORKER_CONFIG_DIR": str(forbidden)})

        assert "fs.readonly" == found(settings, str(forbidden)).code


class TestAccountKey:
    def test_none_yet_is_no_complaint(self, settings: Settings) -> None:
        """
        And none is made: it could belong to the wrong user.
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
    def test_a_bad_one_is_reported(
        self, settings: Settings, issued: App, mode: int, content: str | None, verdict: Verdict, code: str
    ) -> None:
        """
        Its readers can order in the name of the account.
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
        It stops all others.
        """
        (settings.config_dir / "routes.yml").write_text("[")

        assert "proxy.yaml_broken" == found(settings, "Traefik's files").code

    def test_a_file_whose_certificate_is_gone_is_a_warning(self, settings: Settings, issued: App) -> None:
        """
        Traefik leaves that name out.
        """
        shutil.rmtree(settings.certificates_dir / ".certworker" / "generations")
        finding = found(settings, "Traefik's files")

        assert Verdict.WARN is finding.verdict
        assert finding.remedy.endswith(f"certworker request {NAME}")
