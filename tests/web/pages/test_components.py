"""
Tests of the values that every template gets.
"""

from __future__ import annotations

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

    def test_the_page_has_the_version_and_the_visitor(self, site: Site) -> None:
        """
        Each page shows the version of certworker, and the identity of the user.
        """
        text = site.operator.get("/").text

        assert f"certworker {__version__}" in text
        assert "operate" in text
