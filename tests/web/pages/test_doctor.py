"""
Tests of the doctor in the page.
"""

from __future__ import annotations

import pytest

from certworker.web.pages import doctor
from tests.web.pages.conftest import Site


class TestDoctor:
    def test_the_checks_run_after_a_click(self, site: Site) -> None:
        """
        The view has a form, and runs nothing.
        """
        text = site.operator.get("/doctor?name=shop.example.com").text

        assert 'value="shop.example.com"' in text
        assert "These are all findings." not in text

    def test_a_reader_may_not_run_the_checks(self, site: Site) -> None:
        """
        A reader sees no form and cannot start a run, because the checks connect to other servers.
        """
        assert "<form" not in site.reader.get("/doctor").text
        assert 403 == site.reader.post("/doctor").status_code

    def test_each_finding_is_shown(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The response has the findings of the settings, whose variables are wrong here.
        """
        monkeypatch.setattr("os.environ", {"CERTWORKER_AUTHORITY": "unknown"})
        text = form(site, "")

        assert "CERTWORKER_AUTHORITY" in text
        assert "These are all findings." in text
        assert "config." in text

    def test_one_run_at_a_time(self, site: Site) -> None:
        """
        While the checks run, another run is not started.
        """
        with doctor.RUNNING:
            assert "another run is in progress" in form(site, "")

    def test_a_tenant_does_not_see_the_machine(self, site: Site) -> None:
        """
        A tenant cannot run the doctor of the machine.
        """
        assert [404, 404] == [site.tenant.get("/doctor").status_code, site.tenant.post("/doctor").status_code]
        assert "/doctor" not in site.tenant.get("/errors").text


def form(site: Site, name: str) -> str:
    """
    Return the page of a run for *name*.
    """
    return site.operator.post("/doctor", data={"name": name}).text
