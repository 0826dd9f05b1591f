"""
Tests of the pages for failed requests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.dashboard.names import NameIndex
from certworker.redis.client import connected
from certworker.redis.url import RedisURL
from tests.servers.ports import free_port
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
