"""
Tests over all operations: who may call each of them, and that tenants are isolated.
"""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from certworker.app import App
from certworker.observability.events import EVENTS
from certworker.web.api.openapi import openapi
from certworker.web.api.operations import OPERATIONS, Operation
from certworker.web.api.proxy_calls import PREFIX
from certworker.worker.producer import queue_length
from tests.web.api.conftest import FREE, OURS, THEIRS, ClientOf

API = "/api/v1"
IDS = [operation.view.__name__ for operation in OPERATIONS]


def call(client: FlaskClient, operation: Operation, name: str) -> Any:
    """
    Call *operation* for *name*.
    """
    body = {"names": [name]} if operation.body else None
    path = API + operation.path.replace("{name}", name)
    return client.open(path, method=operation.method, json=body)


class TestRoles:
    def test_the_document_has_all_operations(self) -> None:
        """
        The OpenAPI document has exactly the operations of the table, and the routes for proxies.
        """
        documented = {
            (method.upper(), path) for path, calls in openapi()["paths"].items() for method in calls
        }

        own = {(method, path) for method, path in documented if not path.startswith(f"{PREFIX}/")}
        assert own == {(operation.method, operation.path) for operation in OPERATIONS}

    @pytest.mark.parametrize("operation", OPERATIONS, ids=IDS)
    def test_each_operation_needs_its_role(
        self, names: App, client_of: ClientOf, operation: Operation
    ) -> None:
        """
        Without a token, the response is 401. A call that changes something needs more than `read`.
        """
        anonymous = client_of("read")
        anonymous.environ_base.pop("HTTP_AUTHORIZATION")
        response = call(anonymous, operation, OURS)

        assert (401, "application/problem+json") == (response.status_code, response.content_type)
        if operation.role != "read":
            assert 403 == call(client_of("read"), operation, OURS).status_code
        assert (operation.method == "GET") or operation.role != "read"
        assert 0 == queue_length(names.connection)


class TestIsolation:
    @pytest.mark.parametrize("operation", OPERATIONS, ids=IDS)
    def test_a_tenant_finds_no_name_of_others(
        self, names: App, client_of: ClientOf, operation: Operation
    ) -> None:
        """
        Each operation returns 404 for a name of others, as for an unknown name. No response contains it.
        """
        client = client_of("admin", "acme")
        names.connection.xadd(EVENTS, {"event": f'{{"tenant": "rival", "name": "{THEIRS}"}}'})
        if not operation.for_tenants:
            assert 403 == call(client, operation, OURS).status_code
            return
        if operation.response == "text/event-stream":
            names.connection.xadd(EVENTS, {"event": f'{{"tenant": "acme", "name": "{OURS}"}}'})
            response = client.get(f"{API}{operation.path}", headers={"Last-Event-ID": "0-0"})
            chunks: Any = response.response
            text = "".join(next(chunks).decode() for _ in range(2))
            response.close()
            assert OURS in text
            assert THEIRS not in text
            return
        if "{name}" in operation.path:
            unknown = call(client, operation, "unknown.localhost")
            for name in (THEIRS, FREE):
                response = call(client, operation, name)
                assert 404 == response.status_code
                assert unknown.text.replace("unknown.localhost", name) == response.text
        elif operation.body:
            for name in (THEIRS, FREE):
                assert 404 == call(client, operation, name).status_code
        else:
            text = call(client, operation, OURS).text
            assert OURS in text
            assert not {name for name in (THEIRS, FREE) if name in text}
        assert 0 == queue_length(names.connection)
        assert "rival" == names.records.tenant_of(THEIRS)
        assert "" == names.records.tenant_of(FREE)
