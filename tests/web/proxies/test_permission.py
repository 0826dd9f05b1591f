"""
Tests of the names that a proxy may serve. A visitor chooses them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from redis import Redis

from certworker.renewal.agenda import Agenda
from certworker.storage.certificate_store import CertificateStore
from certworker.validity import now_in_utc
from certworker.web.proxies import permission
from certworker.worker.producer import queue_length
from tests.servers.ports import free_port
from tests.servers.web import WebServer, response
from tests.storage.authority import Signer
from tests.storage.stored import NAME, store
from tests.web.application import client_with, create_token
from tests.web.proxies.conftest import ApplicationWith, ClientOf

ALLOWED = "new.shops.example.org"


@pytest.fixture
def asking(application_with: ApplicationWith, tmp_path: Path) -> FlaskClient:
    """
    Return a proxy of an installation that allows the names below a suffix.
    """
    application = application_with(CERTWORKER_ASK_ALLOW="shops.example.org")
    return client_with(application, create_token(tmp_path / "tokens.json", "proxy"))


def ask(proxy: FlaskClient, domain: str, **more: str) -> int:
    """
    Return the status of the call for *domain*.
    """
    return proxy.get("/proxies/ask", query_string={"domain": domain, **more}).status_code


class TestKnown:
    def test_a_name_with_a_certificate_or_in_the_agenda_is_known(
        self, asking: FlaskClient, volume: CertificateStore, signer: Signer, connection: Redis
    ) -> None:
        """
        A name of the volume, one below a wildcard, and a requested name are known, in each spelling.
        """
        store(volume, signer.certificate(NAME))
        store(volume, signer.certificate("*.apps.example.com"))
        Agenda(connection).put("waiting.example.com", now_in_utc())
        known = (NAME, f"{NAME.upper()}.", "one.apps.example.com", "waiting.example.com")

        assert [200] * 4 == [ask(asking, name) for name in known]
        assert 200 == asking.get("/proxies/ask", query_string={"host": NAME}).status_code

    @pytest.mark.parametrize(
        "domain",
        [
            *("other.example.com", "a.b.apps.example.com", "", "10.0.0.1", "*.shops.example.org", "x y"),
            *(
                "shops.example.org.evil.com",
                "evilshops.example.org",
                "\x00.shops.example.org",
                "a..b",
                "ä" * 999,
            ),
        ],
    )
    def test_another_name_is_unknown(self, asking: FlaskClient, connection: Redis, domain: str) -> None:
        """
        An unknown name is 404, even if the proxy asks for a request, and costs no job and no record.
        """
        before = set(connection.keys())

        assert 404 == ask(asking, domain, request="true")
        assert before == set(connection.keys())

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "domain=a.example&domain=b.example",
            "domain=a.example&host=a.example",
            "domain=a.b&request=yes",
        ],
    )
    def test_an_invalid_call_is_an_error(self, asking: FlaskClient, query: str) -> None:
        """
        A call has exactly one name, and `request` has no other value than `true`.
        """
        assert 400 == asking.get(f"/proxies/ask?{query}").status_code


class TestRules:
    def test_a_suffix_allows_its_names(self, asking: FlaskClient, connection: Redis) -> None:
        """
        A suffix allows its own name and all below it, without a request.
        """
        assert [200, 200] == [ask(asking, ALLOWED), ask(asking, "Shops.Example.org.")]
        assert 0 == queue_length(connection)

    def test_without_redis_the_volume_and_the_suffixes_decide(
        self, application_with: ApplicationWith, tmp_path: Path, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        If Redis does not respond, served and allowed names are still 200. Any other name is 503.
        """
        application = application_with(CERTWORKER_ASK_ALLOW="shops.example.org")
        components = application.extensions["certworker"]
        agenda = Agenda(Redis(port=free_port()))
        application.extensions["certworker"] = replace(
            components, sources=replace(components.sources, agenda=agenda)
        )
        proxy = client_with(application, create_token(tmp_path / "tokens.json", "proxy"))
        store(volume, signer.certificate(NAME))

        assert [200, 200, 503] == [ask(proxy, name) for name in (NAME, ALLOWED, "other.example.com")]

    def test_an_allowed_name_is_requested_once(self, asking: FlaskClient, connection: Redis) -> None:
        """
        With `request=true`, an allowed name gets one job, however often visitors come.
        """
        assert [200, 200] == [ask(asking, ALLOWED, request="true") for _ in range(2)]
        assert 1 == queue_length(connection)

    def test_new_requests_are_limited(self, asking: FlaskClient, connection: Redis) -> None:
        """
        A flood of invented names below a suffix becomes only a limited number of jobs.
        """
        burst = permission.NEW_REQUESTS[1]
        statuses = [
            ask(asking, f"n{number}.shops.example.org", request="true") for number in range(burst + 50)
        ]

        assert {200, 429} == set(statuses)
        assert queue_length(connection) < burst + 50
        assert 200 == ask(asking, ALLOWED)

    def test_a_missing_certificate_can_be_requested(self, asking: FlaskClient, connection: Redis) -> None:
        """
        The route for certificates requests an allowed name as well, and no other one.
        """
        for name, jobs in (("other.example.com", 0), (ALLOWED, 1)):
            query = {"server_name": name, "request": "true", "missing": "404"}
            assert 404 == asking.get("/proxies/certificate", query_string=query).status_code
            assert jobs == queue_length(connection)

    def test_the_request_has_a_line_in_the_audit_log(
        self, asking: FlaskClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log has the token, the address and the name.
        """
        with caplog.at_level(logging.INFO):
            ask(asking, ALLOWED, request="true")

        assert f"from 127.0.0.1 requests a certificate for {ALLOWED}" in caplog.text


class TestPlatform:
    @pytest.fixture
    def platform(self) -> Iterator[WebServer]:
        """
        Start a platform that allows one name, and fails for another one.
        """

        def respond(path: str, _connection: object) -> bytes:
            name = path.rpartition("domain=")[2]
            return response({ALLOWED: 200, "broken.example.org": 500}.get(name, 403))

        with WebServer(respond) as server:
            yield server

    def test_the_platform_decides(
        self, application_with: ApplicationWith, tmp_path: Path, platform: WebServer
    ) -> None:
        """
        A name that the platform allows is allowed, and a platform that fails decides nothing.
        """
        url = f"http://127.0.0.1:{platform.port}/allowed?key=1"
        token = create_token(tmp_path / "tokens.json", "proxy")
        proxy = client_with(application_with(CERTWORKER_ASK_ALLOW=url), token)
        names = (ALLOWED, "other.example.org", "broken.example.org")

        assert [200, 404, 503] == [ask(proxy, name) for name in names]

    def test_the_calls_of_the_platform_are_limited(
        self,
        application_with: ApplicationWith,
        tmp_path: Path,
        platform: WebServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        A scanner with invented names causes a limited number of calls.
        """
        monkeypatch.setattr(permission, "PLATFORM_CALLS", (0.01, 2))
        url = f"http://127.0.0.1:{platform.port}/"
        token = create_token(tmp_path / "tokens.json", "proxy")
        proxy = client_with(application_with(CERTWORKER_ASK_ALLOW=url), token)

        assert [404, 404, 429] == [ask(proxy, f"n{number}.example.org") for number in range(3)]


class TestAccess:
    def test_the_roles_that_may_ask(self, application_with: ApplicationWith, tmp_path: Path) -> None:
        """
        The token of a user may ask, because the response has no key. Only some roles may request.
        """
        application = application_with(CERTWORKER_ASK_ALLOW="shops.example.org")
        clients = {
            role: client_with(application, create_token(tmp_path / "tokens.json", role))
            for role in ("read", "operate", "proxy")
        }
        tenant = client_with(application, create_token(tmp_path / "tokens.json", "read", "acme"))

        assert [200] * 3 == [ask(client, ALLOWED) for client in clients.values()]
        assert [403, 200, 200] == [ask(client, ALLOWED, request="true") for client in clients.values()]
        assert 403 == ask(tenant, ALLOWED)


class TestCount:
    def test_unknown_names_are_counted_for_each_caller(
        self, client_of: ClientOf, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log has the first and the tenth unknown name of each caller, and not each of them.
        """
        first, second = client_of("proxy"), client_of("proxy")
        with caplog.at_level(logging.INFO):
            for number in range(12):
                ask(first, f"n{number}.example.org\n")
            ask(second, "other.example.org")
        lines = [record.getMessage() for record in caplog.records if record.name == permission.__name__]

        assert [": 1; the last", ": 10; the last", ": 1; the last"] == [
            line[line.index(": ") : line.index(" one is")] for line in lines
        ]
        assert "n9.example.org" in lines[1]

    def test_the_callers_are_limited(
        self, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The memory of the counts is bounded.
        """
        monkeypatch.setattr(permission, "MOST_CALLERS", 1)
        first, second = client_of("proxy"), client_of("proxy")
        with caplog.at_level(logging.INFO):
            for client in (first, second, first):
                ask(client, "other.example.org")

        assert 3 == caplog.text.count(": 1; the last one is")
