"""
Tests of the pages for failed requests.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from certworker.dashboard import names as names_module
from certworker.dashboard import records as records_module
from certworker.dashboard.names import NameIndex
from certworker.redis.client import connected
from certworker.redis.url import RedisURL
from tests.servers.ports import free_port
from tests.servers.worker import PATIENCE_SECONDS
from tests.web.application import NOW, open_application
from tests.web.pages import showcase
from tests.web.pages.conftest import Site


class TestFailures:
    def test_a_missing_view_has_a_page(self, site: Site) -> None:
        """
        A wrong link leads to a page with the navigation.
        """
        answer = site.reader.get("/names/nothing.example.org")

        assert 404 == answer.status_code
        assert "There is nothing here" in answer.text
        assert 'aria-label="Views"' in answer.text

    def test_busy_name_servers_have_a_remedy(self, site: Site) -> None:
        """
        While too many requests wait for name servers, the page says so, and when to reload it.
        """
        with ExitStack() as stack:
            for _ in range(records_module.MOST_AT_A_TIME):
                stack.enter_context(records_module._places)
            answer = site.reader.get("/names/shop.example.com/records")

        assert 503 == answer.status_code
        assert "Too many requests are waiting for name servers" in answer.text
        assert "Reload this page in a few seconds." in answer.text

    def test_a_shared_certificate_needs_an_operator(self, site: Site) -> None:
        """
        A tenant cannot renew a certificate for names of others, and the page has the reason.
        """
        site.sources.records.record_tenants({"api.example.com": showcase.TENANT})
        answer = site.tenant.post("/names/api.example.com/renew")

        assert 403 == answer.status_code
        assert "Only an operator can order this certificate" in answer.text
        assert "also for names of other tenants, or of none" in answer.text

    @pytest.mark.parametrize("path", ["/", "/names"])
    def test_a_list_that_is_not_ready_reloads_itself(
        self, site: Site, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        While the index of many names is built, the page says so, and the browser requests it again.
        """
        monkeypatch.setattr(names_module, "MOST_NAMES_AT_ONCE", 3)
        monkeypatch.setattr(names_module, "PATIENCE_SECONDS", 0.01)
        with site.index._building:
            answer = site.reader.get(path)
            call = site.reader.get("/api/v1/names")
        assert site.index._is_built.wait(PATIENCE_SECONDS)

        assert (503, "3") == (answer.status_code, answer.headers["Refresh"])
        assert "The list of names is being prepared" in answer.text
        assert (503, "5") == (call.status_code, call.headers["Retry-After"])
        assert "The list of names is being prepared." == (call.json or {})["detail"]
        assert 200 == site.reader.get(path).status_code

    @pytest.mark.parametrize("path", ["/", "/names", "/names/a.example.com"])
    def test_without_redis_the_page_has_the_remedy(self, tmp_path: Path, path: str) -> None:
        """
        If Redis does not answer, the page has the code and the remedy.
        """
        port = free_port()
        with connected(RedisURL.parse(f"redis://127.0.0.1:{port}/0")) as connection:
            sources = showcase.sources_in(tmp_path, port, connection, lambda: NOW)
            index = NameIndex(sources)
            application = open_application(tmp_path / "tokens", sources=sources, index=index)
            answer = application.test_client().get(path)
            index.stop()

        assert 503 == answer.status_code
        assert 'href="/errors/redis.unreachable"' in answer.text
