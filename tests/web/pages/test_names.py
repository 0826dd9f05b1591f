"""
Tests of the search, and of the request of a certificate.
"""

from __future__ import annotations

import re

import pytest

from certworker.worker.producer import queue_length
from tests.web.pages import showcase
from tests.web.pages.conftest import Site


def rows(text: str) -> list[str]:
    """
    Return the names in the table of the page *text*.
    """
    return re.findall(r'<th scope="row" role="rowheader"><a href="[^"]*">([^<]*)</a>', text)


class TestSearch:
    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"text": "CUSTOMER"}, ["customer.example.org"]),
            ({"state": "paused"}, ["legacy.example.net"]),
            ({"tenant": showcase.TENANT}, [showcase.TENANTS_NAME]),
            ({"due": "0m", "state": "due"}, ["intranet.example.com"]),
            (
                {"issuer": "letsencrypt", "text": "apps.", "sort": "name"},
                ["*.apps.example.com", "blog.apps.example.com"],
            ),
            ({"text": "nothing"}, []),
        ],
    )
    def test_a_filter_selects_names(self, site: Site, query: dict[str, str], found: list[str]) -> None:
        """
        Each filter of the form selects names.
        """
        assert found == rows(site.reader.get("/names", query_string=query).text)

    def test_the_form_shows_the_filters(self, site: Site) -> None:
        """
        The form has the values of the filters, so that a user can change one of them.
        """
        text = site.reader.get(
            "/names", query_string={"text": "shop", "state": "valid", "sort": "expiry"}
        ).text

        assert 'name="text" value="shop"' in text
        assert '<option value="valid" selected>' in text
        assert '<option value="expiry" selected>' in text

    def test_the_first_expiry_is_first(self, site: Site) -> None:
        """
        The order by expiry begins with the certificate that expires first.
        """
        assert "old.example.net" == rows(site.reader.get("/names", query_string={"sort": "expiry"}).text)[0]

    @pytest.mark.parametrize(
        "query", [{"cursor": "x"}, {"cursor": "é" * 5000}, {"due": "9" * 50 + "d"}, {"sort": "x"}]
    )
    def test_an_invalid_query_does_not_fail(self, site: Site, query: dict[str, str]) -> None:
        """
        An invalid cursor is a wrong link, and an invalid filter has no effect.
        """
        assert (400 if "cursor" in query else 200) == site.reader.get(
            "/names", query_string=query
        ).status_code

    def test_the_next_page_has_the_same_filters(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The pages together have each name once.
        """
        together = rows(site.reader.get("/names?text=example.com&sort=name").text)
        monkeypatch.setattr("certworker.web.pages.names.NAMES_PER_PAGE", 4)
        seen: list[str] = []
        url = "/names?text=example.com&sort=name"
        while url:
            text = site.reader.get(url).text
            seen += rows(text)
            following = re.search(r'href="([^"]*)" rel="next"', text)
            url = following[1].replace("&amp;", "&") if following else ""

        assert together == seen
        assert len(seen) > 4

    def test_a_tenant_cannot_select_another_tenant(self, site: Site) -> None:
        """
        A tenant always sees only its own names, even with a filter for another tenant.
        """
        text = site.tenant.get("/names", query_string={"tenant": "other"}).text

        assert [showcase.TENANTS_NAME] == rows(text)
        assert 'id="tenant"' not in text


class TestRequest:
    def test_a_request_is_in_the_queue(self, site: Site) -> None:
        """
        The form enqueues a job, and redirects to the view of the name.
        """
        answer = site.operator.post("/names", data={"domain": " New-Shop.example.com "})

        assert 303 == answer.status_code
        assert "/names/new-shop.example.com?done=request" == answer.headers["Location"]
        assert 1 == queue_length(site.sources.connection)

    def test_an_invalid_name_has_its_failure(self, site: Site) -> None:
        """
        The page shows why a name is invalid, and the text that was sent.
        """
        answer = site.operator.post("/names", data={"domain": "<b>"})

        assert 422 == answer.status_code
        assert 'value="&lt;b&gt;"' in answer.text
        assert 0 == queue_length(site.sources.connection)

    def test_a_tenant_does_not_get_the_name_of_another(self, site: Site) -> None:
        """
        A tenant cannot request a known name of another tenant.
        """
        answer = site.tenant.post("/names", data={"domain": "api.example.com"})

        assert 409 == answer.status_code
        assert 0 == queue_length(site.sources.connection)

    def test_a_reader_may_not_request(self, site: Site) -> None:
        """
        A reader sees no form, and the request of a reader is refused.
        """
        assert "Request a certificate" not in site.reader.get("/names").text
        assert 403 == site.reader.post("/names", data={"domain": "a.example.com"}).status_code
