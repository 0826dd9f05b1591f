"""
Tests of the actions in a real Chromium: each click reaches a real worker, and the page shows its result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from certworker.devca.messages import Problem
from tests.app_fixture import environment
from tests.servers.development import development_authority
from tests.servers.fault_injection import Fault
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess, wait_until
from tests.web.pages.browser import Visit, chromium, visit

#: Let's Encrypt's refusal of a name that it has paused.
PAUSED = Fault(
    429,
    "rateLimited",
    detail=(
        "Your account is temporarily prevented from requesting certificates for paused.localhost and "
        "possibly others. Please visit: https://portal.letsencrypt.org/sfe/v1/unpause?jwt=abc.def-g_h"
    ),
)


@dataclass(frozen=True)
class Installation:
    """
    A worker with its page, its CA and an operator in front of it.
    """

    visit: Visit
    authority: FaultyAuthority
    certificates: Path

    def request(self, name: str) -> Page:
        """
        Request a certificate for *name* with the form.
        """
        page = self.visit.open("/names")
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_role("button", name="Request").click()
        expect(page.get_by_text("The certificate is requested.")).to_be_visible()
        return page

    def wait_for(self, name: str, state: str) -> Page:
        """
        Wait until the view of *name* shows *state*.
        """
        page = self.visit.open(f"/names/{name}")

        def shown() -> bool | None:
            page.reload()
            return True if state == self.state(page) else None

        wait_until(shown, lambda: f"{name}: {self.state(page)}")
        return page

    def state(self, page: Page) -> str:
        """
        Return the state in the view of a name.
        """
        return page.locator("main .state").first.inner_text().strip()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """
    Start one browser for all tests of this module.
    """
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Installation]:
    """
    Start a CA and a worker with its page, and log an operator in.
    """
    place = tmp_path_factory.mktemp("installation")
    redis = RedisServer(place / "redis")
    redis.start()
    port, web = free_port(), f"127.0.0.1:{free_port()}"
    with development_authority(place, http01_port=port) as authority:
        variables = environment(
            place,
            authority.directory_url,
            port,
            _APP_REDIS_HOST="127.0.0.1",
            _APP_REDIS_PORT=str(redis.port),
            CERTWORKER_WEB_ADDRESS=web,
        )
        with WorkerProcess(variables, place / "worker.log") as worker:
            token = worker.command("token", "create", "--role", "operate").stdout.split()[-1]
            worker.wait_for_line("ready")
            with visit(browser, f"http://{web}") as visited:
                visited.log_in(token)
                yield Installation(visited, authority, place / "certificates")
    redis.kill()


class TestActions:
    def test_request_renew_and_remove(self, installation: Installation) -> None:
        """
        A requested name gets a certificate, a renewal replaces it, and a removal takes it out of service.
        """
        installation.request("shop.localhost")
        page = installation.wait_for("shop.localhost", "valid")
        first = serial(page)
        page.get_by_role("button", name="Renew now").click()
        expect(page.get_by_text("The renewal is requested.")).to_be_visible()

        def renewed() -> bool | None:
            page.reload()
            return True if first != serial(page) else None

        wait_until(renewed, lambda: f"the serial number is still {first}")
        expect(page.get_by_text("in service").first).to_be_visible()
        page.get_by_role("link", name="Remove …").click()
        page.get_by_role("button", name="Remove the name").click()
        expect(page.get_by_text("The removal is requested.")).to_be_visible()
        directory = installation.certificates / "shop.localhost"
        wait_until(lambda: None if directory.exists() else True, lambda: f"{directory} exists")
        assert [] == installation.visit.problems

    def test_retry(self, installation: Installation) -> None:
        """
        A failed name shows the reason of the CA, and a retry after the fix gets the certificate.
        """
        installation.authority.faults.refusal = Problem("unauthorized", "<b>the wrong content</b>", 403)
        installation.request("wrong.localhost")
        page = installation.wait_for("wrong.localhost", "no certificate")
        expect(page.get_by_text("<b>the wrong content</b>").first).to_be_visible()
        installation.authority.faults.refusal = None
        page.get_by_role("button", name="Retry now").click()

        installation.wait_for("wrong.localhost", "valid")
        assert [] == installation.visit.problems

    def test_resume(self, installation: Installation) -> None:
        """
        A name that the CA has paused is ordered again after a click.
        """
        installation.authority.faults.fail("newOrder", PAUSED)
        installation.request("paused.localhost")
        page = installation.wait_for("paused.localhost", "paused")
        page.get_by_role("button", name="Resume").click()

        installation.wait_for("paused.localhost", "valid")
        assert [] == installation.visit.problems


def serial(page: Page) -> str:
    """
    Return the serial number in the view of a name.
    """
    return page.locator("dt:text('Serial') + dd").text_content() or ""
