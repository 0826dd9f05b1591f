"""
Tests of the view of a name.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from certworker.doctor.records import NeededRecord
from certworker.errors.dns import Moved
from certworker.state.domain_records import RECORDS
from certworker.state.forced_request import REQUEST, ForcedRequest
from certworker.storage.metadata import IMPORTED
from certworker.web.pages.name import buttons
from tests.web.application import NOW
from tests.web.pages import showcase
from tests.web.pages.conftest import Site
from tests.web.pages.test_appearance import VALID


class TestName:
    def test_a_certificate_has_its_details(self, site: Site) -> None:
        """
        The view has the key type, the chain, the serial number and the files of the certificate.
        """
        text = site.operator.get("/names/shop.example.com").text

        assert all(
            part in text
            for part in ("ec256", "Showcase E7", "Showcase Root R1", "Chain of 2 certificates", "privkey.pem")
        )
        assert "in service: Traefik serves the new certificate" in text
        assert "67 % left" in text

    def test_a_failure_has_its_remedy(self, site: Site) -> None:
        """
        The view has the last failure, the attempts and the remedy.
        """
        text = site.operator.get("/names/www.example.net").text

        assert all(part in text for part in ("Last failure", "6 failed attempts", "Change the record"))
        assert "dns.wrong_ip" in text

    def test_a_pending_forced_request_is_shown(self, site: Site) -> None:
        """
        The view has the time of a forced request, until a new certificate is in service.
        """
        name = "shop.example.com"
        before = site.reader.get(f"/names/{name}").text
        request = ForcedRequest("0a1b", (name,), NOW, "root on host", "issue-1:2")
        site.sources.connection.hset(RECORDS + name, REQUEST, request.as_json())
        after = site.reader.get(f"/names/{name}").text

        assert "Forced request" not in before
        assert "<dt>Forced request</dt><dd>pending since" in after
        assert "root on host" not in after

    def test_a_moved_name_has_no_renewal(self, site: Site) -> None:
        """
        certworker does not renew the certificate of a moved name, so its view has no time of a renewal.
        """
        name, now = "shop.example.com", site.sources.clock()
        before = site.reader.get(f"/names/{name}").text
        failure = Moved(name=name, found="203.0.113.7", record=f"{name}. A 203.0.113.1")
        site.sources.records.record_failed([name], failure, next_check=now, now=now)
        after = site.reader.get(f"/names/{name}").text

        assert all(part in before for part in ("<dt>Renewal</dt>", "renewal at the mark"))
        assert not any(part in after for part in ("<dt>Renewal</dt>", "renewal at the mark"))
        assert "dns.moved" in after

    def test_a_covered_name_leads_to_its_wildcard(self, site: Site) -> None:
        """
        The view of a covered name has a link to the wildcard.
        """
        text = site.reader.get("/names/blog.apps.example.com").text

        assert '<a href="/names/*.apps.example.com">*.apps.example.com</a>' in text
        assert "200 OK" == site.reader.get("/names/*.apps.example.com").status

    @pytest.mark.parametrize(
        ("name", "actions"),
        [
            ("shop.example.com", ["renew"]),
            ("www.example.net", ["retry"]),
            ("legacy.example.net", ["resume", "retry"]),
            ("soon.example.com", ["retry"]),
            ("blog.apps.example.com", []),
        ],
    )
    def test_the_useful_actions_are_offered(self, site: Site, name: str, actions: list[str]) -> None:
        """
        Each state has the actions that help, and each name can be removed.
        """
        text = site.operator.get(f"/names/{name}").text
        offered = [word for word in ("resume", "renew", "retry") if f'action="/names/{name}/{word}"' in text]

        assert sorted(actions) == sorted(offered)
        assert f'href="/names/{name}/remove"' in text

    def test_an_imported_certificate_has_no_renewal(self) -> None:
        """
        certworker never renews a certificate that an operator imported.
        """
        assert () == buttons(replace(VALID, state="imported", detail="imported", authority=IMPORTED))

    def test_a_reader_has_no_actions(self, site: Site) -> None:
        """
        A user who may only read sees no buttons.
        """
        assert '<button type="submit"' not in site.reader.get("/names/shop.example.com").text

    @pytest.mark.parametrize("name", ["nothing.example.org", "%00", "..", "a%2Fb", "-", "x" * 3000])
    def test_an_unknown_name_is_not_found(self, site: Site, name: str) -> None:
        """
        The response to an unknown or invalid name is 404.
        """
        assert 404 == site.operator.get(f"/names/{name}").status_code

    @pytest.mark.parametrize("path", ["", "/records", "/remove"])
    def test_another_tenants_name_is_not_found(self, site: Site, path: str) -> None:
        """
        A tenant gets the same response for another tenant's name as for an unknown name.
        """
        other, unknown = (site.tenant.get(f"/names/{name}.example.com{path}") for name in ("api", "unknown"))

        assert (404, other.text.replace("api.", "")) == (
            other.status_code,
            unknown.text.replace("unknown.", ""),
        )
        assert 200 == site.tenant.get(f"/names/{showcase.TENANTS_NAME}").status_code

    def test_a_tenant_does_not_see_the_files(self, site: Site) -> None:
        """
        A tenant does not see the paths of the machine.
        """
        assert "privkey.pem" not in site.tenant.get(f"/names/{showcase.TENANTS_NAME}").text

    def test_a_request_whose_job_starts_now_is_shown(self, site: Site) -> None:
        """
        Between the queue and the first record, the view says that the name is requested.
        """
        path = "/names/new.example.org?done=request"

        assert "The certificate is requested." in site.operator.get(path).text
        assert 404 == site.reader.get(path).status_code

    def test_the_notice_has_no_text_of_the_url(self, site: Site) -> None:
        """
        A link cannot put its own text into the page.
        """
        known, other = (
            site.reader.get(f"/names/shop.example.com?done={word}").text for word in ("renew", "Call-555")
        )

        assert "The renewal is requested." in known
        assert "Call-555" not in other


class TestRecords:
    def test_the_needed_records_and_their_state(self, site: Site) -> None:
        """
        The view has each record with its value, its state, and what exists instead.
        """
        wrong, right = (
            site.reader.get(f"/names/{name}/records").text
            for name in ("customer.example.org", "shop.example.com")
        )

        assert f"customer.example.org. A {showcase.ADDRESS}" in wrong
        assert f"found: <code>{showcase.OTHER_ADDRESS}</code>" in wrong
        assert "right</span>" in right

    def test_a_text_of_a_dns_answer_stays_text(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The value of a foreign record, in which DNS allows any character, does not become HTML.
        """
        hostile = "x\"'><script>hacked=1</script>.example.com"
        found = NeededRecord("customer.example.org", "CNAME", "target.example.com", "wrong", hostile)
        monkeypatch.setattr("certworker.web.pages.name.needed_records", lambda *_: (found,))
        text = site.reader.get("/names/customer.example.org/records").text

        assert "<script>hacked" not in text
        assert 2 == text.count("&lt;script&gt;hacked=1&lt;/script&gt;")

    def test_a_name_that_needs_no_records_is_not_failed(self, site: Site) -> None:
        """
        A name that needs no records is not shown as failed.
        """
        text = site.reader.get("/names/www.example.com/records").text

        assert "missing</span>" in text
