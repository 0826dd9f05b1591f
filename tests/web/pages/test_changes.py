"""
Tests of the actions on a name.
"""

from __future__ import annotations

import pytest

from certworker.worker.producer import queue_length
from tests.web.pages import showcase
from tests.web.pages.conftest import Site

PATHS = ("renew", "retry", "resume", "remove")


class TestChanges:
    @pytest.mark.parametrize("action", PATHS)
    def test_an_action_is_a_job(self, site: Site, action: str) -> None:
        """
        Each action enqueues a job, and redirects to a view.
        """
        answer = site.operator.post(f"/names/legacy.example.net/{action}")

        assert 303 == answer.status_code
        assert answer.headers["Location"].endswith(f"?done={action}")
        assert 1 == queue_length(site.sources.connection)

    def test_a_removal_asks_first(self, site: Site) -> None:
        """
        The link of a removal changes nothing. It leads to a confirmation.
        """
        text = site.operator.get("/names/shop.example.com/remove").text

        assert "Remove shop.example.com?" in text
        assert 'action="/names/shop.example.com/remove" method="post"' in text
        assert 0 == queue_length(site.sources.connection)

    @pytest.mark.parametrize("action", PATHS)
    def test_others_may_not(self, site: Site, action: str) -> None:
        """
        A reader is refused, and a tenant does not find the names of others.
        """
        assert 403 == site.reader.post(f"/names/shop.example.com/{action}").status_code
        assert 404 == site.tenant.post(f"/names/api.example.com/{action}").status_code
        assert 303 == site.tenant.post(f"/names/{showcase.TENANTS_NAME}/{action}").status_code
        assert 1 == queue_length(site.sources.connection)

    def test_an_unknown_action_is_not_found(self, site: Site) -> None:
        """
        Only the known actions have a URL.
        """
        assert 404 == site.operator.post("/names/shop.example.com/revoke").status_code
