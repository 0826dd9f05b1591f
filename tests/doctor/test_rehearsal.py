"""
A real order, for practice.
"""

from __future__ import annotations

from certworker.assembly import House
from certworker.doctor.findings import Verdict
from certworker.doctor.rehearsal import rehearsal
from tests.doctor.conftest import NAME


class TestRehearsal:
    def test_a_certificate_is_issued_and_not_installed(self, house: House) -> None:
        """
        It would take the place of one that browsers trust.
        """
        desk = house.desks[0]
        finding = rehearsal(NAME, desk.authority, lambda _authority: desk.solvers)

        assert Verdict.WELL is finding.verdict
        assert "not installed" in finding.text
        assert house.volume.current(NAME) is None

    def test_a_refusal_is_told(self, house: House) -> None:
        """
        In the words of the log; here nobody has laid an answer.
        """
        finding = rehearsal(NAME, house.desks[0].authority, lambda _authority: [])

        assert (Verdict.FAIL, "http.404") == (finding.verdict, finding.code)

    def test_without_a_staging_ca_it_is_skipped(self) -> None:
        """
        Few CAs have one.
        """
        assert Verdict.SKIPPED is rehearsal(NAME, None, lambda _authority: []).verdict
