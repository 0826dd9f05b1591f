"""
A real Chromium, which records every violation of the content security policy and every error of its console.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

Scheme = Literal["light", "dark"]

#: The width and height of a laptop and of a phone, in CSS pixels.
LAPTOP, PHONE = (1280, 900), (390, 844)

#: The findings of axe-core that fail a test.
SEVERE = ("serious", "critical")

#: Milliseconds. A busy machine needs seconds for a page.
PATIENCE = 30_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """
    Start the Chromium of the distribution.
    """
    wanted = os.environ.get("CHROMIUM") or "chromium"
    program = shutil.which(wanted)
    if program is None:
        raise RuntimeError(f"{wanted} is missing; install it: apt-get install chromium")
    with sync_playwright() as playwright:
        # The sandbox of Chromium refuses to run as root, and the tests of CI do so.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Visit:
    """
    A visitor with a window and cookies of its own.

    Attributes:
        page: The window.
        problems: The errors of the console, of scripts, and of loads, including violations of the policy.
        requested: The addresses that the window has requested.
    """

    page: Page
    address: str
    problems: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """
        Open *path*, and return the window.
        """
        # A page that reloads itself until the data is there would end the slow load of the next one.
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}{path}")
        return self.page

    def log_in(self, token: str) -> None:
        """
        Log in with *token*.
        """
        self.open("/login")
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Log in").click()
        self.page.get_by_role("navigation", name="Views").wait_for()

    def severe_findings(self) -> list[str]:
        """
        Return the serious and critical findings of axe-core about the present page.
        """
        violations = Axe().run(self.page).response["violations"]
        return [
            f"{found['id']}: {node['html']}"
            for found in violations
            if found["impact"] in SEVERE
            for node in found["nodes"]
        ]


@contextmanager
def visit(
    browser: Browser,
    address: str,
    *,
    scheme: Scheme = "light",
    size: tuple[int, int] = LAPTOP,
    scripts: bool = True,
) -> Iterator[Visit]:
    """
    Open a window for the site at *address*.

    Args:
        scheme: The color scheme that the visitor prefers.
        size: The width and the height of the window.
        scripts: Whether JavaScript runs.
    """
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        java_script_enabled=scripts,
        locale="en-US",
        timezone_id="Asia/Tokyo",
    )
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page = context.new_page()
    visited = Visit(page, address)

    def note(message: ConsoleMessage) -> None:
        # Chromium reports violations of the policy as errors.
        if message.type in ("error", "warning"):
            visited.problems.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: visited.problems.append(str(error)))
    page.on("request", lambda request: visited.requested.append(request.url))
    yield visited
    context.close()
