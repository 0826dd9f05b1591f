"""
Tests of the views in a real Chromium: policy, accessibility, keyboard, refresh, and without JavaScript.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from certworker.observability.history import HistoryEntry
from certworker.worker.producer import queue_length
from tests.web.pages import showcase
from tests.web.pages.browser import PHONE, Scheme, Visit, chromium, visit
from tests.web.pages.server import Served, serve

#: Each view of an operator, with a text that it shows.
VIEWS = {
    "/": "Needs attention",
    "/names": "15 names",
    "/names?text=nothing": "No name matches.",
    "/names/www.example.net": "Last failure",
    "/names/shop.example.com": "As lines of a zone file",
    "/names/shop.example.com/remove": "Remove shop.example.com?",
    "/names/customer.example.org/records": "As lines of a zone file",
    "/doctor": "Run the checks",
    "/errors": "rate.paused",
    "/errors/rate.paused": "How to check",
}

#: More than the longest pause between two refreshes.
LATER = "03:00"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """
    Start one browser for all tests of this module.
    """
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """
    Serve the showcase.
    """
    with serve(tmp_path_factory.mktemp("showcase")) as running:
        yield running


@pytest.fixture
def operator(browser: Browser, served: Served) -> Iterator[Visit]:
    """
    Open a window in which an operator is logged in.
    """
    with visit(browser, served.address) as visited:
        visited.log_in(served.operator)
        yield visited
        assert [] == visited.problems


class TestEachView:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_it_is_accessible_and_within_its_policy(
        self, browser: Browser, served: Served, scheme: Scheme
    ) -> None:
        """
        Each view has no severe finding of axe-core, no violation of the policy, and no external request.
        """
        with visit(browser, served.address, scheme=scheme) as visited:
            visited.open("/login")
            findings = {"/login": visited.severe_findings()}
            visited.log_in(served.operator)
            for path, text in VIEWS.items():
                visited.open(path).get_by_text(text).first.wait_for()
                findings[path] = visited.severe_findings()
            page = visited.open("/doctor")
            page.get_by_role("button", name="Run the checks").click()
            page.get_by_text("These are all findings.").wait_for()
            findings["run of the doctor"] = visited.severe_findings()

            assert {} == {path: found for path, found in findings.items() if found}
            assert [] == visited.problems
            assert {served.address} == {f"http://{urlsplit(url).netloc}" for url in visited.requested}

    def test_it_fits_a_phone(self, browser: Browser, served: Served) -> None:
        """
        No view is wider than a phone.
        """
        with visit(browser, served.address, size=PHONE) as visited:
            visited.log_in(served.operator)
            for path, text in VIEWS.items():
                page = visited.open(path)
                page.get_by_text(text).first.wait_for()

                assert PHONE[0] >= page.evaluate("document.documentElement.scrollWidth"), path
            table = visited.open("/").locator("#renewals-table")
            assert table.evaluate("each => each.scrollWidth <= each.clientWidth")
            assert table.locator("tbody th").first.evaluate("each => each.clientWidth") >= 120
            visited.open("/names").get_by_role("cell").first.wait_for()
            assert [] == visited.severe_findings()

    def test_it_leads_to_the_answer_of_the_api(self, browser: Browser, served: Served) -> None:
        """
        The link to JSON answers with the data of the view.
        """
        with visit(browser, served.address) as visited:
            visited.log_in(served.operator)
            for path in ("/", "/names?state=paused", "/names/legacy.example.net"):
                page = visited.open(path)
                page.get_by_role("link", name="JSON of this view").click()
                page.wait_for_url("**/api/v1/**")

                assert "legacy.example.net" in page.content()


class TestWithoutJavaScript:
    def test_everything_works(self, browser: Browser, served: Served) -> None:
        """
        Without JavaScript, a user searches, reads, retries and removes.
        """
        with visit(browser, served.address, scripts=False) as visited:
            visited.log_in(served.operator)
            page = visited.open("/names")
            page.get_by_label("Search").fill("customer")
            page.get_by_role("button", name="Show").click()
            page.get_by_role("link", name="customer.example.org").click()
            page.get_by_text("Show the records").click()
            expect(page.get_by_text("wrong", exact=True)).to_be_visible()
            page.get_by_role("link", name="customer.example.org").click()
            expect(page.get_by_role("link", name="Refresh")).to_be_visible()
            before = queue_length(served.sources.connection)
            page.get_by_role("button", name="Retry now").click()
            expect(page.get_by_text("The next attempt is requested.")).to_be_visible()
            page.get_by_role("link", name="Remove …").click()
            page.get_by_role("button", name="Remove the name").click()
            expect(page.get_by_text("The removal is requested.")).to_be_visible()

            assert 2 == queue_length(served.sources.connection) - before

    def test_the_doctor_streams_its_findings(self, browser: Browser, served: Served) -> None:
        """
        The page grows while the checks run, and says when all have ended.
        """
        with visit(browser, served.address, scripts=False) as visited:
            visited.log_in(served.operator)
            page = visited.open("/doctor")
            page.get_by_role("button", name="Run the checks").click()
            expect(page.get_by_text("These are all findings.")).to_be_visible()

            assert page.get_by_role("heading", level=2).all_text_contents()


class TestKeyboard:
    def test_the_first_key_skips_the_navigation(self, operator: Visit) -> None:
        """
        The first Tab shows the skip link, and Enter moves the focus to the content.
        """
        page = operator.open("/names")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")

        expect(page.get_by_label("Search")).to_be_focused()

    def test_a_name_is_retried_without_a_mouse(self, operator: Visit) -> None:
        """
        With Tab and Enter only, a user searches a name and retries it. The focus is always visible.
        """
        page = operator.open("/names")
        self.go_to(page, "Search")
        page.keyboard.type("blog.example.org")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="1 name")).to_be_visible()
        self.go_to(page, "blog.example.org")
        page.keyboard.press("Enter")
        page.wait_for_url("**/names/blog.example.org")
        self.go_to(page, "Retry now")
        page.keyboard.press("Enter")

        expect(page.get_by_text("The next attempt is requested.")).to_be_visible()

    def go_to(self, page: Page, name: str) -> None:
        """
        Press Tab until the element with the accessible *name* has the focus.
        """
        for _ in range(60):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "(e => [e.labels?.[0]?.textContent ?? e.textContent.trim(), "
                "getComputedStyle(e).outlineStyle])(document.activeElement)"
            )

            assert "none" != focused[1], focused
            if focused[0] == name:
                return
        pytest.fail(f"no Tab leads to {name}")


class TestRefresh:
    def test_new_content_appears_and_what_is_used_stays(self, operator: Visit, served: Served) -> None:
        """
        A refresh adds new lines. It preserves open parts, the focus and loaded records.
        """
        page = operator.page
        page.clock.install()
        operator.open("/names/shop.example.com").get_by_text("As lines of a zone file").wait_for()
        page.get_by_text("Chain of 2 certificates").click()
        page.get_by_role("button", name="Renew now").focus()
        now = served.sources.clock()
        served.sources.history.append("shop.example.com", HistoryEntry(now, "INFO", "a new line"))
        served.sources.history.flush()
        page.clock.fast_forward(LATER)

        expect(page.get_by_text("a new line")).to_be_visible()
        expect(page.get_by_text("Showcase Root R1")).to_be_visible()
        expect(page.get_by_text("As lines of a zone file")).to_be_visible()
        expect(page.get_by_role("button", name="Renew now")).to_be_focused()

    def test_text_that_a_user_types_stays(self, operator: Visit) -> None:
        """
        No refresh replaces a form in use.
        """
        page = operator.page
        page.clock.install()
        operator.open("/names").get_by_label("Search").fill("half a na")
        count_refreshes(page)
        page.clock.fast_forward(LATER)

        assert 0 == refreshes(page)
        expect(page.get_by_label("Search")).to_have_value("half a na")

    def test_a_hidden_window_sends_nothing(self, operator: Visit) -> None:
        """
        A hidden window waits, and refreshes when it is visible again. A click pauses the refresh.
        """
        page = operator.page
        page.clock.install()
        operator.open("/")
        count_refreshes(page)
        page.evaluate(
            "Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true})"
        )
        self.set_hidden(page, hidden=True)
        page.clock.fast_forward(LATER)
        assert 0 == refreshes(page)
        self.set_hidden(page, hidden=False)
        assert 1 == refreshes(page)
        page.get_by_role("button", name="Pause the refresh").click()
        page.clock.fast_forward(LATER)

        expect(page.get_by_role("button", name="Resume the refresh")).to_be_visible()
        assert 1 == refreshes(page)

    def set_hidden(self, page: Page, *, hidden: bool) -> None:
        """
        Hide the window of *page*, or show it.
        """
        page.evaluate(
            "away => { window.away = away; document.dispatchEvent(new Event('visibilitychange')); }", hidden
        )

    def test_without_an_answer_the_page_says_so(self, browser: Browser, served: Served) -> None:
        """
        If the server does not answer, a status says that the page may be out of date, until it answers.
        """
        with visit(browser, served.address) as visited:
            visited.log_in(served.operator)
            page = visited.page
            page.clock.install()
            visited.open("/")
            page.route("**/", lambda route: route.abort())
            page.clock.fast_forward(LATER)
            expect(page.get_by_role("status")).to_have_text("No answer: this page may be out of date.")
            page.unroute("**/")
            page.clock.fast_forward(LATER)

            expect(page.get_by_role("status")).to_be_empty()


def count_refreshes(page: Page) -> None:
    """
    Count the requests of scripts from now on.
    """
    page.evaluate(
        "() => { window.refreshes = 0; const real = fetch;"
        " window.fetch = (...given) => { window.refreshes += 1; return real(...given); }; }"
    )


def refreshes(page: Page) -> int:
    """
    Return the number of requests of scripts.
    """
    return int(page.evaluate("window.refreshes"))


class TestTimes:
    def test_a_time_has_the_local_time(self, operator: Visit) -> None:
        """
        Each time is in UTC, and its title in the time zone of the user.
        """
        page = operator.open("/names/shop.example.com")
        time = page.locator("main time").first

        expect(time).to_have_attribute("title", re.compile(r"GMT\+9|Japan"))
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", time.text_content() or "")


class TestTenants:
    def test_a_tenant_sees_its_own_name_only(self, browser: Browser, served: Served) -> None:
        """
        A tenant finds its name, and no view shows another name or the machine.
        """
        with visit(browser, served.address) as visited:
            visited.log_in(served.tenant)
            for path in ("/", "/names", f"/names/{showcase.TENANTS_NAME}"):
                text = visited.open(path).locator("body").inner_text()

                assert showcase.TENANTS_NAME in text
                assert not re.search(r"(api|www|intranet)\.example|example\.(net|org)|Traefik$", text, re.M)
            assert [] == visited.problems
            expect(visited.page.get_by_role("link", name="Doctor")).to_have_count(0)
            for path in ("/names/api.example.com", "/names/api.example.com/records", "/doctor"):
                answer = visited.page.goto(f"{served.address}{path}")

                assert answer is not None
                assert 404 == answer.status


class TestFiftyThousandNames:
    def test_the_first_page_and_a_search(self, tmp_path: Path, browser: Browser) -> None:
        """
        The page reloads until the list is ready. Then the first of 50,000 names are on one page, and a search
        finds one of them.
        """
        with serve(tmp_path) as served, visit(browser, served.address) as visited:
            sources, now = served.sources, served.sources.clock()
            names = [f"shop{number:05}.example.com" for number in range(50_000)]
            later = now + timedelta(hours=1)
            sources.records.defer([(name,) for name in names], next_check=later, now=now)
            sources.agenda.put_many(dict.fromkeys(names, later))
            visited.log_in(served.operator)
            page = visited.open("/names?state=waiting&sort=name")
            expect(page.get_by_role("heading", name="50,001 names")).to_be_visible()
            assert 50 == page.get_by_role("rowheader").count()
            page.get_by_role("link", name="Next page").click()
            expect(page.get_by_role("link", name="First page")).to_be_visible()
            page.get_by_label("Search").fill("shop49999")
            page.get_by_role("button", name="Show").click()

            expect(page.get_by_role("link", name="shop49999.example.com")).to_be_visible()
            # While the list is prepared, the status of the page is 503.
            assert [] == [problem for problem in visited.problems if "503" not in problem]
