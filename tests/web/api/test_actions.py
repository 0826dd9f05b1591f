"""
Tests of the calls that change something.
"""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from certworker.app import App
from certworker.worker.payload import read_call
from certworker.worker.producer import queue_length
from tests.web.api.conftest import FREE, OURS, THEIRS, ClientOf

API = "/api/v1"


def calls(app: App) -> list[tuple[str, dict[str, Any]]]:
    """
    Return the functions and the arguments of the jobs on the queue.
    """
    found = []
    for job in app.connection.lrange("rq:queue:certificates", 0, -1):
        data = app.connection.hget(f"rq:job:{job.decode()}", "data")  # type: ignore[union-attr]
        assert isinstance(data, bytes)
        call = read_call(data)
        found.append((call.function, call.keywords))
    return found


class TestRequestCertificates:
    def test_a_request_is_a_job_once(self, app: App, admin: FlaskClient) -> None:
        """
        A request is accepted with its job. A repeated request is the same job.
        """
        body = {"names": ["New.localhost"]}
        first, second = admin.post(f"{API}/names", json=body), admin.post(f"{API}/names", json=body)

        assert (202, f"{API}/names/new.localhost") == (first.status_code, first.headers["Location"])
        assert first.json == second.json
        ((function, arguments),) = calls(app)
        assert ("certworker.issue", "new.localhost") == (function, arguments["domain"])
        assert arguments["by"].startswith("token ")
        assert 200 == admin.get(first.headers["Location"]).status_code

    def test_names_together_and_for_a_tenant(self, app: App, admin: FlaskClient) -> None:
        """
        An operator requests one certificate for several names, and gives them to a tenant.
        """
        body = {"names": ["a.localhost", "b.localhost"], "together": True, "tenant": "acme"}
        response = admin.post(f"{API}/names", json=body)

        assert [["a.localhost", "b.localhost"]] == [job["names"] for job in (response.json or {})["jobs"]]
        assert "acme" == app.records.tenant_of("b.localhost")
        assert "acme" == calls(app)[0][1]["tenant"]

    def test_a_tenant_requests_its_own_names_only(self, names: App, tenant: FlaskClient) -> None:
        """
        A tenant gets a new name or its own, and no name of others. It names no other tenant.
        """
        for name in ("new.localhost", OURS):
            assert 202 == tenant.post(f"{API}/names", json={"names": [name]}).status_code
        for name in (THEIRS, FREE):
            assert 404 == tenant.post(f"{API}/names", json={"names": ["x.localhost", name]}).status_code
        body = {"names": ["y.localhost"], "tenant": "rival"}

        assert 403 == tenant.post(f"{API}/names", json=body).status_code
        assert {"acme"} == {arguments["tenant"] for _, arguments in calls(names)}
        assert 2 == queue_length(names.connection)

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"{", 400),
            (b"[]", 422),
            (b"{}", 422),
            (b'{"names": []}', 422),
            (b'{"names": "a.localhost"}', 422),
            (b'{"names": [7]}', 422),
            (b'{"names": ["a.localhost"], "force": true}', 422),
            (b'{"names": ["a.localhost"], "together": "yes"}', 422),
            (b'{"names": ["a.localhost"], "tenant": ""}', 422),
            (b'{"names": ["a.localhost"], "tenant": "\\u0000"}', 422),
            (b'{"names": ["\\ud800"]}', 422),
            (b'{"names": ["a b"]}', 422),
            (b'{"names": ["*.localhost"]}', 422),
            (b'{"names": ["a"]' + b" " * 300_000 + b"}", 413),
            (b"[" * 100_000, 400),
        ],
    )
    def test_an_invalid_request_is_refused(
        self, app: App, admin: FlaskClient, body: bytes, status: int
    ) -> None:
        """
        An invalid request is a problem document, and no job.
        """
        response = admin.post(f"{API}/names", data=body, content_type="application/json")

        assert (status, "application/problem+json") == (response.status_code, response.content_type)
        assert 0 == queue_length(app.connection)

    def test_a_refused_name_has_its_code_and_remedy(self, admin: FlaskClient) -> None:
        """
        The problem of an invalid name has the code, the sentence and the remedy of certworker.
        """
        found: dict[str, Any] = admin.post(f"{API}/names", json={"names": ["shop.org:443"]}).json or {}

        assert ("name.has_port", "about:blank", 422) == (found["code"], found["type"], found["status"])
        assert found["detail"]
        assert found["remedy"]

    def test_a_form_is_refused(self, admin: FlaskClient) -> None:
        """
        A body of another type is refused: no form of another site can send JSON.
        """
        assert 415 == admin.post(f"{API}/names", data={"names": "a.localhost"}).status_code


class TestNameActions:
    @pytest.mark.parametrize(
        ("method", "path", "function", "force"),
        [
            ("POST", "/renew", "certworker.issue", True),
            ("POST", "/retry", "certworker.issue", False),
            ("POST", "/resume", "certworker.issue", False),
            ("DELETE", "", "certworker.remove", None),
        ],
    )
    def test_each_action_is_a_job(
        self, names: App, tenant: FlaskClient, method: str, path: str, function: str, force: bool | None
    ) -> None:
        """
        Each action is accepted with its job. For a name of others it is 404.
        """
        response = tenant.open(f"{API}/names/{OURS.upper()}{path}", method=method)
        refused = tenant.open(f"{API}/names/{THEIRS}{path}", method=method)

        assert (202, 404) == (response.status_code, refused.status_code)
        ((called, arguments),) = calls(names)
        assert (function, OURS, force) == (called, arguments["domain"], arguments.get("force"))
        assert (response.json or {})["jobs"][0]["names"] == [OURS]

    def test_reading_is_not_enough(self, names: App, client_of: ClientOf) -> None:
        """
        A token that reads may change nothing.
        """
        reader = client_of("read")
        responses = [
            reader.post(f"{API}/names", json={"names": [OURS]}),
            reader.post(f"{API}/names/{OURS}/renew"),
            reader.delete(f"{API}/names/{OURS}"),
        ]

        assert [403, 403, 403] == [response.status_code for response in responses]
        assert 0 == queue_length(names.connection)
