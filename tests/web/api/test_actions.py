"""
Tests of the calls that change something.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest
from flask.testing import FlaskClient

from certworker.app import App
from certworker.own_certificates import LARGEST_PEM_BYTES
from certworker.web.access import Role
from certworker.worker.payload import read_call
from certworker.worker.producer import queue_length
from tests.certificate_builder import Wanted, key_pem
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
        A tenant can request a new name or its own, but no name of others. It cannot name another tenant.
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
        An invalid request returns a problem document, and enqueues no job.
        """
        response = admin.post(f"{API}/names", data=body, content_type="application/json")

        assert (status, "application/problem+json") == (response.status_code, response.content_type)
        assert 0 == queue_length(app.connection)

    @pytest.mark.parametrize(
        ("body", "detail"),
        [(b"{", "The body is not JSON."), (b"[" * 300_000, "The body is too large.")],
    )
    def test_an_unreadable_body_has_its_reason(self, admin: FlaskClient, body: bytes, detail: str) -> None:
        """
        The problem document names the cause in words for a program, not for the user of a browser.
        """
        response = admin.post(f"{API}/names", data=body, content_type="application/json")

        assert detail == (response.json or {})["detail"]

    def test_a_refused_name_has_its_code_and_remedy(self, admin: FlaskClient) -> None:
        """
        The problem document of an invalid name has the code, the message and the remedy of certworker.
        """
        found: dict[str, Any] = admin.post(f"{API}/names", json={"names": ["shop.org:443"]}).json or {}

        assert ("name.has_port", "about:blank", 422) == (found["code"], found["type"], found["status"])
        assert found["detail"]
        assert found["remedy"]

    def test_a_form_is_refused(self, admin: FlaskClient) -> None:
        """
        A body of another type is refused. The form of another site cannot send JSON.
        """
        assert 415 == admin.post(f"{API}/names", data={"names": "a.localhost"}).status_code


class TestImport:
    def test_an_import_is_stored_and_its_job_puts_it_into_service(
        self, app: App, admin: FlaskClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An operator imports a certificate. The state is `imported`, and neither a response nor the log has the
        key.
        """
        signed = Wanted(["own.localhost"]).sign()
        body = {"certificate": signed.pem.decode(), "key": key_pem(signed.key).decode()}
        path = f"{API}/names/Own.localhost"
        with caplog.at_level(logging.DEBUG):
            response = admin.put(f"{path}/certificate", json=body)
            assert "imported" == app.issuance.issue(("own.localhost",)).state
        found: dict[str, Any] = response.json or {}

        assert (202, "own.localhost", "leaf") == (response.status_code, found["name"], found["issuer"])
        assert "It is self-signed" in found["warnings"][0]
        ((_, arguments),) = calls(app)
        assert found["job"].startswith("issue-")
        assert arguments["by"].startswith("token ")
        assert "imported" == (admin.get(path).json or {})["state"]
        assert body["certificate"] == admin.get(f"{path}/certificate").text
        line = body["key"].splitlines()[1]
        assert line not in response.text + caplog.text

    def test_an_issued_certificate_needs_force(self, names: App, admin: FlaskClient) -> None:
        """
        A certificate that certworker renews is replaced only with `force`; otherwise the call is 409.
        """
        signed = Wanted([OURS]).sign()
        body = {"certificate": signed.pem.decode(), "key": key_pem(signed.key).decode()}
        path = f"{API}/names/{OURS}/certificate"
        with names.locks.hold([OURS]):
            locked = admin.put(path, json={**body, "force": True})
        responses = [locked, admin.put(path, json=body), admin.put(path, json={**body, "force": True})]

        assert [409, 409, 202] == [response.status_code for response in responses]
        codes = [(response.json or {}).get("code") for response in responses]
        assert ["lock.held", "import.replaces_issued", None] == codes

    @pytest.mark.parametrize("role", ["read", "operate"])
    def test_only_an_administrator_imports(self, app: App, client_of: ClientOf, role: Role) -> None:
        """
        Other roles, and tokens of tenants, import nothing.
        """
        body = {"certificate": "x", "key": "x"}
        path = f"{API}/names/own.localhost/certificate"

        assert 403 == client_of(role).put(path, json=body).status_code
        assert 403 == client_of("admin", "acme").put(path, json=body).status_code

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({}, 422, None),
            ([], 422, None),
            ({"certificate": "x", "key": 7}, 422, None),
            ({"certificate": "x", "key": "x", "force": "yes"}, 422, None),
            ({"certificate": "x", "key": "x", "name": "x"}, 422, None),
            ({"certificate": "x", "key": "x"}, 422, "import.unreadable"),
            ({"certificate": "x", "key": "secret" * 12_000}, 422, "import.unreadable"),
            ({"certificate": "x", "key": "\ud800secret"}, 422, "import.unreadable"),
            ({"certificate": "x", "key": "secret" * 50_000}, 413, None),
        ],
    )
    def test_an_invalid_import_is_refused(
        self, app: App, admin: FlaskClient, body: object, status: int, code: str | None
    ) -> None:
        """
        An invalid import is a problem document that does not contain the key, and stores nothing.
        """
        response = admin.put(f"{API}/names/own.localhost/certificate", json=body)

        assert (status, "application/problem+json") == (response.status_code, response.content_type)
        assert code == (response.json or {}).get("code")
        assert "secret" not in response.text
        assert app.certificates.metadata("own.localhost") is None
        assert 0 == queue_length(app.connection)

    def test_the_longest_fields_together_fit_into_a_request(self, admin: FlaskClient) -> None:
        """
        A request with the longest fields of the OpenAPI document is read. A longer field is named.
        """
        # JSON writes a line break as two characters.
        line = "x" * 64 + "\r\n"
        longest = (line * LARGEST_PEM_BYTES)[:LARGEST_PEM_BYTES]
        body = {"certificate": longest, "key": longest, "chain": longest}
        read = admin.put(f"{API}/names/own.localhost/certificate", json=body)
        longer = admin.put(f"{API}/names/own.localhost/certificate", json={**body, "key": f"{longest}x"})

        assert [422, 422] == [response.status_code for response in (read, longer)]
        assert "80 KiB" not in read.text
        assert "The key to import for own.localhost is not readable: it has more than 80 KiB" in longer.text

    def test_an_invalid_name_is_refused(self, admin: FlaskClient) -> None:
        """
        The name is checked as in a request.
        """
        response = admin.put(f"{API}/names/a b/certificate", json={"certificate": "x", "key": "x"})

        assert (422, "name.invalid_char") == (response.status_code, (response.json or {})["code"])

    def test_without_a_writable_volume_nothing_is_imported(
        self, app: App, admin: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A process whose files the worker cannot read refuses the import, with the remedy.
        """
        signed = Wanted(["own.localhost"]).sign()
        body = {"certificate": signed.pem.decode(), "key": key_pem(signed.key).decode()}
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        response = admin.put(f"{API}/names/own.localhost/certificate", json=body)

        assert (500, "import.wrong_user") == (response.status_code, (response.json or {})["code"])


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
        Each action is accepted with its job. For a name of others, the response is 404.
        """
        response = tenant.open(f"{API}/names/{OURS.upper()}{path}", method=method)
        refused = tenant.open(f"{API}/names/{THEIRS}{path}", method=method)

        assert (202, 404) == (response.status_code, refused.status_code)
        ((called, arguments),) = calls(names)
        assert (function, OURS, force) == (called, arguments["domain"], arguments.get("force"))
        assert (response.json or {})["jobs"][0]["names"] == [OURS]

    def test_a_token_with_the_role_read_changes_nothing(self, names: App, client_of: ClientOf) -> None:
        """
        A token with the role `read` cannot change anything.
        """
        reader = client_of("read")
        responses = [
            reader.post(f"{API}/names", json={"names": [OURS]}),
            reader.post(f"{API}/names/{OURS}/renew"),
            reader.delete(f"{API}/names/{OURS}"),
        ]

        assert [403, 403, 403] == [response.status_code for response in responses]
        assert 0 == queue_length(names.connection)
