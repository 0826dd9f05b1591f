"""
Tests of the values that every template gets.
"""

from __future__ import annotations

import re

import pytest

from certworker.version import __version__
from certworker.web.pages.components import SECTIONS, VIEWS
from tests.web.pages.conftest import Site


class TestNavigation:
    def test_the_current_view_is_marked(self, site: Site) -> None:
        """
        Exactly one link of the navigation is marked as the current view.
        """
        for path, title in (("/", "Overview"), ("/names/shop.example.com", "Names"), ("/errors", "Errors")):
            text = site.reader.get(path).text

            assert 1 == text.count('aria-current="page"')
            assert f'aria-current="page">{title}</a>' in text

    def test_each_view_has_a_section(self) -> None:
        """
        Each view of the navigation marks itself.
        """
        assert all(endpoint in SECTIONS[endpoint] for endpoint, _, _ in VIEWS)

    @pytest.mark.parametrize(
        "path", ["/", "/names", "/names/www.example.net", "/errors", "/login", "/missing"]
    )
    def test_each_link_is_below_the_path_of_the_page(self, site: Site, path: str) -> None:
        """
        Behind a proxy with a path, each link, form and file has this path.
        """
        text = site.operator.get(path, environ_overrides={"SCRIPT_NAME": "/certworker"}).text
        addresses = re.findall(r'(?:href|src|action|data-load)="([^"]*)"', text)

        assert len(addresses) > 3
        assert not [each for each in addresses if each[:1] not in ("", "#") and each[:12] != "/certworker/"]

    def test_the_page_has_the_version_and_the_visitor(self, site: Site) -> None:
        """
        Each page shows the version of certworker, and the identity of the user.
        """
        text = site.operator.get("/").text

        assert f"certworker {__version__}" in text
        assert "operate" in text
