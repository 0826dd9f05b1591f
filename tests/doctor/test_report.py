"""
Tests of the complete report.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.app import App
from certworker.doctor.findings import Finding, Verdict
from certworker.doctor.report import examine
from certworker.errors import CertworkerError
from tests.doctor.conftest import NAME
from tests.servers.ports import free_port
from tests.storage.authority import Signer


@pytest.fixture
def visited(environ: dict[str, str]) -> dict[str, str]:
    """
    Return the environment after a first report, so that all late imports are done.
    """
    list(examine(environ))
    return environ


def failed(environ: dict[str, str], *names: str) -> list[Finding]:
    """
    Return the findings that failed.
    """
    return [finding for finding in examine(environ, names) if finding.verdict is Verdict.FAIL]


class TestExamine:
    def test_a_healthy_machine_has_no_failure(self, environ: dict[str, str], issued: App) -> None:
        """
        A healthy machine has no failure, and the missing worker is its only warning.
        """
        findings = list(examine(environ))

        assert ["worker"] == [finding.subject for finding in findings if finding.verdict is Verdict.WARN]
        assert [] == [finding for finding in findings if finding.verdict is Verdict.FAIL]
        assert ["Settings", "Machine", NAME] == list(dict.fromkeys(finding.section for finding in findings))

    def test_a_suspicious_variable_has_one_finding(self, environ: dict[str, str]) -> None:
        """
        A suspicious variable has one finding with one remedy.
        """
        findings = examine(environ | {"_APP_ENV": "prod"})
        (line,) = [finding for finding in findings if finding.subject == "_APP_ENV"]

        assert (Verdict.WARN, "Did you mean production?") == (line.verdict, line.remedy)

    def test_each_unavailable_part_is_a_failure_with_a_remedy(
        self, environ: dict[str, str], app: App, tmp_path: Path
    ) -> None:
        """
        A missing Redis, volume or CA is a failure, and dependent checks are skipped.
        """
        environ |= {
            "_APP_REDIS_PORT": str(free_port()),
            "CERTWORKER_CERTIFICATES_DIR": str(tmp_path / "nowhere"),
            "CERTWORKER_AUTHORITY": f"http://127.0.0.1:{free_port()}/directory",
        }
        findings = list(examine(environ))
        wrong = [finding for finding in findings if finding.verdict is Verdict.FAIL]

        assert [str(tmp_path / "nowhere"), "redis", "CA"] == [finding.subject for finding in wrong]
        assert all(finding.remedy for finding in wrong)
        assert not (tmp_path / "nowhere").exists()
        skipped = {finding.subject for finding in findings if finding.verdict is Verdict.SKIPPED}
        assert {"clock", "CAA", "port 80", "certificate", "CA limits"} <= skipped

    def test_invalid_settings_end_the_report(self) -> None:
        """
        With invalid settings, the report has one failure that names all of them.
        """
        findings = failed({"CERTWORKER_KEY_TYPE": "dsa", "CERTWORKER_LOG": "loud"})

        assert ["config.invalid"] == [finding.code for finding in findings]
        assert "CERTWORKER_LOG must be" in findings[0].text

    def test_an_inaccessible_directory_is_reported(self, visited: dict[str, str], forbidden: Path) -> None:
        """
        A directory without access is a failure with its code.
        """
        findings = failed(visited)

        assert {"fs.readonly"} <= {finding.code for finding in findings}


class TestNames:
    def test_failed_names_are_checked_by_default(self, environ: dict[str, str], app: App) -> None:
        """
        Without names, the report includes the names with failures.
        """
        with pytest.raises(CertworkerError):
            app.issuance.issue(("nowhere.invalid",))

        assert "nowhere.invalid" in {finding.section for finding in examine(environ)}

    def test_only_the_given_names_are_checked(self, environ: dict[str, str], app: App) -> None:
        """
        The report has only the given names, even if they are unknown.
        """
        sections = {finding.section for finding in examine(environ, ["other.localhost"])}

        assert {"Settings", "Machine", "other.localhost"} == sections

    def test_an_invalid_name_is_reported(self, environ: dict[str, str], app: App) -> None:
        """
        An invalid name is one failure with its code, and its section is printable.
        """
        (finding,) = failed(environ, "https://shop.localhost/\n")

        assert ("name.is_url", "https://shop.localhost/\\n") == (finding.code, finding.section)

    def test_a_covered_name_needs_no_order(self, environ: dict[str, str], app: App) -> None:
        """
        A covered name has no check of port 80, because it needs no order.
        """
        store = app.certificates
        store.store(Signer().certificate("*.localhost"), authority="a", kind="private", token=1)
        store.covered.add([NAME])
        del environ["CERTWORKER_HTTP01_PORT"]

        found = {finding.subject: finding for finding in examine(environ, [NAME]) if finding.section == NAME}

        assert "not needed: *.localhost covers the name" == found["order"].text
        assert "port 80" not in found
        assert found["certificate"].text.startswith("covered by *.localhost")

    def test_a_staging_order_needs_a_staging_ca(self, environ: dict[str, str], issued: App) -> None:
        """
        Without a staging CA, the staging order is skipped.
        """
        *_, last = examine(environ, [NAME], staging_order=True)

        assert ("staging order", Verdict.SKIPPED) == (last.subject, last.verdict)
