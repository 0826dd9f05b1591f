"""
The directories, the account's key, and the files that Traefik reads.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from certworker.app import App
from certworker.doctor.findings import Finding, Verdict
from certworker.doctor.storage import storage
from certworker.settings import Settings, load
from tests.doctor.conftest import NAME


def found(settings: Settings, subject: str) -> Finding:
    """
    The first line about *subject*.
    """
    return next(finding for finding in storage(settings) if finding.subject == subject)


class TestDirectories:
    def test_those_of_a_healthy_machine_are_well(self, settings: Settings, issued: App) -> None:
        """
        With the space that is left.
        """
        assert {Verdict.WELL} == {finding.verdict for finding in storage(settings)}
        assert "GB free" in found(settings, str(settings.certificates_dir)).text

    def test_one_that_is_missing_is_told_and_not_made(self, settings: Settings) -> None:
        """
        A directory that the doctor made would hide that the volume is not mounted.
        """
        shutil.rmtree(settings.config_dir)
        finding = found(settings, str(settings.config_dir))

        assert (Verdict.FAIL, "There is no such directory.") == (finding.verdict, finding.text)
        assert not settings.config_dir.exists()
        assert Verdict.SKIPPED is found(settings, "Traefik's files").verdict

    def test_one_that_cannot_be_written_is_told(self, environ: dict[str, str], forbidden: Path) -> None:
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
    def test_a_bad_one_is_told(
        self, settings: Settings, issued: App, mode: int, content: str | None, verdict: Verdict, code: str
    ) -> None:
        """
        Whoever reads it can order in our name.
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
    def test_a_file_that_cannot_be_read_is_told(self, settings: Settings, issued: App) -> None:
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
