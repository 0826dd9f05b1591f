"""
The check of the built documentation.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.site import SEARCHES, main


def build(site: Path, head: str = "", style: str = "") -> str:
    """
    Write a site with one page with *head*, one *style* and a search index.
    """
    entries = [{"location": address, "title": word, "text": ""} for word, address in SEARCHES.items()]
    (site / "search").mkdir()
    (site / "search" / "search_index.json").write_text(json.dumps({"docs": entries}))
    (site / "index.html").write_text(f"<head>{head}</head>")
    (site / "style.css").write_text(style)
    return str(site)


class TestSite:
    @pytest.mark.parametrize(
        "head",
        [
            '<script src="https://unpkg.com/x"></script>',
            "<img src=//example.org/x.png>",
            '<link rel="stylesheet" href="https://fonts.example.org/x.css">',
            '<link href="https://fonts.example.org" rel="preconnect">',
            '<div class="md-source__repository">',
        ],
    )
    def test_an_element_from_another_host_is_reported(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], head: str
    ) -> None:
        """
        The check reports each element that a browser loads from another host.
        """
        assert 1 == main(build(tmp_path, head))
        assert "index.html" in capsys.readouterr().err

    @pytest.mark.parametrize("style", ["@import 'x.css';", "a { src: url(https://example.org/x.woff) }"])
    def test_a_file_that_a_style_loads_is_reported(self, tmp_path: Path, style: str) -> None:
        """
        The check reports a file that a style loads from another host or imports.
        """
        assert 1 == main(build(tmp_path, style=style))

    def test_a_link_is_allowed(self, tmp_path: Path) -> None:
        """
        The check allows a link to another host.
        """
        assert 0 == main(build(tmp_path, '<a href="https://example.org"></a><script src="x.js"></script>'))

    def test_a_word_that_the_search_does_not_find_is_reported(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """
        The check reports each word whose page the search does not find.
        """
        site = build(tmp_path)
        (tmp_path / "search" / "search_index.json").write_text('{"docs": []}')

        assert 1 == main(site)
        assert "webroot" in capsys.readouterr().err
