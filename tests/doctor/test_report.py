"""
The whole report; it crashes on nothing.
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
    A machine on which the doctor has been before: whatever it imports late is there.
    """
    list(examine(environ))
    return environ


def failed(environ: dict[str, str], *names: str) -> list[Finding]:
    """
    What the doctor complains of.
    """
    return [finding for finding in examine(environ, names) if finding.verdict is Verdict.FAIL]


class TestExamine:
    def test_a_healthy_machine_has_no_complaints(self, environ: dict[str, str], issued: App) -> None:
        """
        False alarms are defects, too.
        """
        findings = list(examine(environ))

        assert ["worker"] == [finding.subject for finding in findings if finding.verdict is Verdict.WARN]
        assert [] == [finding for finding in findings if finding.verdict is Verdict.FAIL]
        assert ["Settings", "Machine", NAME] == list(dict.fromkeys(finding.section for finding in findings))

    def test_a_suspicious_variable_has_one_line(self, environ: dict[str, str]) -> None:
        """
        Two lines about one variable would name two remedies.
        """
        findings = examine(environ | {"_APP_ENV": "prod"})
        (line,) = [finding for finding in findings if finding.subject == "_APP_ENV"]

        assert (Verdict.WARN, "Did you mean production?") == (line.verdict, line.remedy)

    def test_each_missing_thing_is_a_line_with_a_remedy(
        self, environ: dict[str, str], app: App, tmp_path: Path
    ) -> None:
        """
        Without Redis, volume and CA each has a failure, and dependent checks are skipped.
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

    def test_wrong_settings_end_the_examination_with_all_of_them(self) -> None:
        """
        Without settings there is nothing to check.
        """
        findings = failed({"CERTWORKER_KEY_TYPE": "dsa", "CERTWORKER_LOG": "loud"})

        assert ["config.invalid"] == [finding.code for finding in findings]
        assert "CERTWORKER_LOG must be" in findings[0].text

    def test_a_directory_that_may_not_be_looked_into_is_reported(
        self, visited: dict[str, str], forbidden: Path
    ) -> None:
        """
        The worker is often not the owner of a volume.
        """
        findings = failed(visited)

        assert {"fs.readonly"} <= {finding.code for finding in findings}


class TestNames:
    def test_those_with_failures_are_looked_at_unasked(self, environ: dict[str, str], app: App) -> None:
        """
        The report is incomplete without them.
        """
        with pytest.raises(CertworkerError):
            app.issuance.issue(("nowhere.invalid",))

        assert "nowhere.invalid" in {finding.section for finding in examine(environ)}

    def test_one_that_was_asked_for_is_looked_at_alone(self, environ: dict[str, str], app: App) -> None:
        """
        It need not be known here.
        """
        sections = {finding.section for finding in examine(environ, ["other.localhost"])}

        assert {"Settings", "Machine", "other.localhost"} == sections

    def test_what_is_no_name_is_reported(self, environ: dict[str, str], app: App) -> None:
        """
        Whatever it is, it is one line.
        """
        (finding,) = failed(environ, "https://shop.localhost/\n")

        assert ("name.is_url", "https://shop.localhost/\\n") == (finding.code, finding.section)

    def test_a_covered_name_needs_no_order(self, environ: dict[str, str], app: App) -> None:
        """
        Port 80 and DNS of the name are no obstacle, as long as the certificate of the wildcard is valid.
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
        This one has none.
        """
        *_, last = examine(environ, [NAME], staging_order=True)

        assert ("staging order", Verdict.SKIPPED) == (last.subject, last.verdict)
