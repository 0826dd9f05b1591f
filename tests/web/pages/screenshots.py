"""
The screenshots of the page in the documentation: `make docs-screenshots`.

They show the showcase at a fixed time, in light and dark.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from playwright.sync_api import Browser

from tests.web.application import NOW
from tests.web.pages.browser import LAPTOP, PHONE, Scheme, chromium, visit
from tests.web.pages.server import Served, serve

IMAGES = Path(__file__).parents[3] / "docs" / "images"

#: The path and the size of each picture, by its name.
PICTURES = {
    "overview": ("/", LAPTOP),
    "names": ("/names", LAPTOP),
    "name": ("/names/www.example.net", LAPTOP),
    "phone": ("/names/customer.example.org", PHONE),
}


def pictures() -> dict[str, tuple[str, Scheme]]:
    """
    Return the name of the picture and its color scheme, by the name of the file.
    """
    return {f"page-{name}-{scheme}.png": (name, scheme) for name in PICTURES for scheme in get_args(Scheme)}


def take(browser: Browser, served: Served, name: str, scheme: Scheme) -> bytes:
    """
    Return the picture *name* as PNG.
    """
    path, size = PICTURES[name]
    with visit(browser, served.address, scheme=scheme, size=size) as visited:
        visited.log_in(served.operator)
        page = visited.open(path)
        page.wait_for_load_state("networkidle")
        return page.screenshot()


def main() -> None:
    """
    Write the pictures.
    """
    with (
        TemporaryDirectory() as place,
        chromium() as browser,
        serve(Path(place), clock=lambda: NOW) as served,
    ):
        for file, (name, scheme) in pictures().items():
            (IMAGES / file).write_bytes(take(browser, served, name, scheme))


if __name__ == "__main__":
    main()
