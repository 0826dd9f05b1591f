"""
Check the built site of the documentation: it needs no other host, and its search finds the pages.

`make docs` runs this after MkDocs: `python -m tests.site DIRECTORY`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

#: Elements that a browser loads without a click. A link is not one of them.
LOADED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^>]*>")
STYLES = re.compile(
    r"<link\b(?=[^>]*rel=[\"']?(?:stylesheet|preload|preconnect|icon))[^>]*href=[\"']?(?:https?:)?//[^>]*>"
)
IN_STYLES = re.compile(r"url\([\"']?(?:https?:)?//[^)]*\)|@import[^;]*;")

#: For an element of this class, the theme requests the stars of the repository in each browser.
COUNTS_STARS = "md-source__repository"

#: Words, and the address of the page that a search for each word finds.
SEARCHES = {
    "webroot": "reference/configuration/",
    "http.redirect_loop": "reference/errors/http.redirect_loop/",
}


def foreign(site: Path) -> list[str]:
    """
    Return the elements of *site* that a browser loads from another host.
    """
    found: list[str] = []
    for page in site.rglob("*.html"):
        text = page.read_text()
        found += [f"{page}: {element}" for pattern in (LOADED, STYLES) for element in pattern.findall(text)]
        if COUNTS_STARS in text:
            found.append(f"{page}: {COUNTS_STARS}")
    for style in site.rglob("*.css"):
        found += [f"{style}: {address}" for address in IN_STYLES.findall(style.read_text())]
    return found


def unfound(site: Path) -> list[str]:
    """
    Return the words whose pages are not in the search index.
    """
    entries = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    return [
        word
        for word, address in SEARCHES.items()
        if not any(
            entry["location"].startswith(address) and word in (entry["title"] + entry["text"]).lower()
            for entry in entries
        )
    ]


def main(directory: str) -> int:
    """
    Check the site in *directory*. Return 0 if it passes, otherwise 1.
    """
    site = Path(directory)
    faults = foreign(site) + [f"the search does not find {word}" for word in unfound(site)]
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
