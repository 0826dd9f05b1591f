"""
Tests of hostile texts in a real Chromium: no text of DNS, a CA, a job or another program becomes HTML.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser
from redis import Redis

from certworker.dashboard.sources import Sources
from certworker.devca.hierarchy import Signer
from certworker.errors import CertworkerError
from certworker.observability.history import HISTORY
from certworker.redis.codec import encode_time
from certworker.runtime import build_tasks
from certworker.settings import HttpAddress
from certworker.state.domain_records import RECORDS
from certworker.web.server import web_server
from certworker.worker.health import REPORTS
from tests.app_fixture import open_app
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.web import Respond, WebServer, always, redirects
from tests.web.pages import showcase
from tests.web.pages.browser import Visit, chromium, visit
from tests.web.pages.server import Served, serve

#: It leaves an attribute and an element, and runs a script in several ways.
HOSTILE = (
    """x"'></title></main><img src=x onerror="hacked=1"><script>hacked=1</script>"""
    """<a href="javascript:hacked=1">"""
)
#: The same, as short as the part of a response that a failure shows.
SHORT = "<img src=x onerror=hacked=1><script>hacked=1</script>"
#: A name whose web server is hostile.
FAILED = "evil.localhost"
#: The longest host of a report has 100 characters.
HOST = HOSTILE[:100]
SCRIPT_URL = "javascript:hacked=1"

#: A name whose record, certificate, history and DNS are hostile.
NAME = "evil.example.com"

VIEWS = (
    "/",
    "/names",
    f"/names?text={quote(HOSTILE)}&issuer={quote(HOSTILE)}&tenant={quote(HOSTILE)}&state={quote(HOSTILE)}",
    f"/names/{NAME}?done={quote(HOSTILE)}",
    f"/names/{NAME}/records",
    f"/names/{NAME}/remove",
    f"/names/{quote(HOSTILE, safe='')}",
    f"/errors/{quote(HOSTILE, safe='')}",
    f"/doctor?name={quote(HOSTILE)}",
    f"/login?next={quote(SCRIPT_URL)}",
    f"/login?next={quote('//evil.example/')}",
    f"/{quote(HOSTILE, safe='')}",
)


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
    Serve an installation with a hostile text in each place that other programs write.
    """
    with serve(tmp_path_factory.mktemp("hostile")) as running:
        poison(running.sources)
        yield running


def poison(sources: Sources) -> None:
    """
    Put a hostile text into each place that other programs write.
    """
    now, connection = sources.clock(), sources.connection
    signer = Signer.root(HOSTILE[:60], now).intermediate(HOSTILE[:64], now)
    day = timedelta(days=1)
    showcase.put_certificate(sources, signer, (NAME,), 80 * day, 10 * day, token=99)
    fields = ("code", "message", "remedy", "authority", "serial", "tenant")
    record: dict[Any, Any] = dict.fromkeys(fields, HOSTILE)
    record |= {"updated": encode_time(now), "next_check": encode_time(now + day)}
    connection.hset(RECORDS + NAME, mapping=record | {"state": "failed", "names": f'["{NAME}"]'})
    connection.lpush(HISTORY + NAME, json.dumps([encode_time(now), HOSTILE[:8], HOSTILE]))
    sources.agenda.put_many({NAME: now + day, HOSTILE: now + day})
    worker: dict[Any, Any] = {"hostname": HOST, "pid": "1", "state": HOSTILE}
    worker |= {"birth": encode_time(now), "last_heartbeat": encode_time(now)}
    connection.sadd("rq:workers:certificates", f"rq:worker:{HOSTILE}")
    connection.hset(f"rq:worker:{HOSTILE}", mapping=worker)
    report = {"host": HOST, "pid": 1, "healthy": False, "scheduler": False, "stalled": [HOSTILE]}
    connection.sadd(REPORTS, "evil")
    connection.set(f"{REPORTS}:evil", json.dumps({**report, "version": HOSTILE}), ex=300)
    connection.zadd("rq:wip:certificates", {"evil-job": 1})
    connection.hset("rq:job:evil-job", mapping={"worker_name": HOSTILE, "data": HOSTILE})


@pytest.fixture
def operator(browser: Browser, served: Served) -> Iterator[Visit]:
    """
    Open a window in which an operator is logged in.
    """
    with visit(browser, served.address) as visited:
        visited.log_in(served.operator)
        yield visited


class TestHostileTexts:
    @pytest.mark.parametrize("path", VIEWS)
    def test_no_text_becomes_html(self, operator: Visit, path: str) -> None:
        """
        No view has an element, a script or a link that a hostile text asks for.
        """
        page = operator.open(path)
        page.wait_for_load_state("networkidle")
        links = page.evaluate("[...document.querySelectorAll('a, form')].map(e => e.href ?? e.action)")

        assert page.evaluate("typeof hacked") == "undefined"
        assert page.locator("img").count() == 0
        assert page.locator("script").count() <= 1
        assert page.locator("main").count() == 1
        assert not [link for link in links if not link.startswith(f"{operator.address}/")]
        assert not [problem for problem in operator.problems if "404" not in problem]

    def test_the_views_have_the_texts(self, operator: Visit) -> None:
        """
        The hostile texts reach the views: as text.
        """
        views = ("/", "/names", f"/names/{NAME}")
        shown = {path: operator.open(path).locator("body").inner_text() for path in views}

        assert {} == {path: text for path, text in shown.items() if "<img src=x" not in text}
        assert shown["/"].count("<script>") > 3

    def test_the_doctor_shows_texts_only(self, operator: Visit) -> None:
        """
        The stream of findings escapes each finding.
        """
        page = operator.open("/doctor")
        page.get_by_label("Name").fill(HOSTILE)
        page.get_by_role("button", name="Run the checks").click()
        page.get_by_text("These are all findings.").wait_for()

        assert "<img src=x" in page.locator("main").inner_text()
        assert page.evaluate("typeof hacked") == "undefined"
        assert page.locator("img").count() == 0
        assert [] == operator.problems


class TestHostileServer:
    @pytest.mark.parametrize(
        ("respond", "code", "text"),
        [
            (always(200, SHORT, Server=SHORT), "http.wrong_body", SHORT),
            (redirects(SCRIPT_URL), "http.redirect_bad", SCRIPT_URL),
            (redirects(f"http://127.0.0.1:1/{SHORT}"), "http.redirect_bad", SHORT),
        ],
    )
    def test_the_response_of_a_server_is_shown_as_text(
        self,
        browser: Browser,
        tmp_path: Path,
        connection: Redis,
        app_authority: FaultyAuthority,
        http_port: int,
        respond: Respond,
        code: str,
        text: str,
    ) -> None:
        """
        A job fails because of a hostile response to the challenge. The views show the response as text.
        """
        with (
            WebServer(respond) as proxy,
            open_app(
                *(tmp_path, connection, app_authority.directory_url, http_port),
                CERTWORKER_HTTP01_PORT=str(proxy.port),
            ) as app,
        ):
            with pytest.raises(CertworkerError) as failed:
                build_tasks(app)["certworker.issue"](domain=FAILED)
            server = web_server(app.settings, connection, HttpAddress("127.0.0.1", 0), app.clock)
            server.start()
            with visit(browser, f"http://127.0.0.1:{server.port}") as visited:
                for path in (f"/names/{FAILED}", "/", "/names"):
                    page = visited.open(path)
                    page.wait_for_load_state("networkidle")
                    shown = page.locator("main").inner_text()

                    assert code in shown
                    assert path == "/names" or text in shown
                    assert page.evaluate("typeof hacked") == "undefined"
                    assert (0, 1) == (page.locator("img").count(), page.locator("script").count())
                assert [] == visited.problems
            server.stop()

        assert code == failed.value.code
        assert any(request.startswith(FAILED) for request in proxy.requests)
