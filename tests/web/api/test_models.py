"""
Tests of the documents of the API.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime

from certworker.doctor.findings import Section
from certworker.renewal.domain_status import DomainStatus
from certworker.web.api.models import Context, DoctorFinding, Name

CONTEXT = Context(datetime(2026, 11, 29, tzinfo=UTC), "https://docs.example/")


class TestName:
    def test_it_has_each_field_of_the_status(self) -> None:
        """
        A name has each field of the status, the remaining days and the page of its failure.
        """
        expected = {*(field.name for field in fields(DomainStatus)), "docs", "days_left"}

        assert expected == {field.name for field in fields(Name)}


class TestDoctorFinding:
    def test_it_has_the_page_of_its_code(self) -> None:
        """
        A finding has the URL of the page about its code.
        """
        found = DoctorFinding.of(Section("a.org").fail("DNS", "text", "remedy", "dns.no_record"), CONTEXT)

        assert ("a.org", "DNS", "fail", "dns.no_record") == (
            found.section,
            found.subject,
            found.verdict,
            found.code,
        )
        assert "https://docs.example/reference/errors/dns.no_record/" == found.docs
