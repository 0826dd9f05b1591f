"""
A real order, for practice.
"""

from __future__ import annotations

from certworker.app import App
from certworker.doctor.findings import Verdict
from certworker.doctor.staging_order import place_staging_order
from tests.doctor.conftest import NAME


class TestRehearsal:
    def test_a_certificate_is_issued_and_not_installed(self, app: App) -> None:
        """
        It would take the place of one that browsers trust.
        """
        issuer = app.issuers[0]
        finding = place_staging_order(NAME, issuer.client, lambda _authority: issuer.solvers)

        assert Verdict.WELL is finding.verdict
        assert "not installed" in finding.text
        assert app.certificates.current(NAME) is None

    def test_a_refusal_is_told(self, app: App) -> None:
        """
        In the words of the log; here nobody has laid an answer.
        """
        finding = place_staging_order(NAME, app.issuers[0].client, lambda _authority: [])

        assert (Verdict.FAIL, "http.404") == (finding.verdict, finding.code)

    def test_without_a_staging_ca_it_is_skipped(self) -> None:
        """
        Few CAs have one.
        """
        assert Verdict.SKIPPED is place_staging_order(NAME, None, lambda _authority: []).verdict
