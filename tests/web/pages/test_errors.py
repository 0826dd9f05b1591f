"""
Tests of the catalog of errors.
"""

from __future__ import annotations

import pytest

from certworker.errors.pages import codes
from tests.web.pages.conftest import Site


class TestErrors:
    def test_each_code_has_a_link_and_a_view(self, site: Site) -> None:
        """
        The catalog has each code, and each code has a view with its cause and its remedy.
        """
        catalog = site.reader.get("/errors").text
        for code in sorted(codes()):
            assert f'href="/errors/{code}"' in catalog
        text = site.reader.get("/errors/rate.paused").text

        assert "<code>certworker resume NAME</code>" in text
        assert "certworker explain NAME" in text

    @pytest.mark.parametrize("code", ["dns.unknown", "..", "dns"])
    def test_an_unknown_code_is_not_found(self, site: Site, code: str) -> None:
        """
        The response to an unknown code is 404.
        """
        assert 404 == site.reader.get(f"/errors/{code}").status_code
