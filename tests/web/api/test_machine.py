"""
Tests of the calls about the installation.
"""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from certworker.app import App
from certworker.web.api.machine import _examining
from tests.app_fixture import environment
from tests.servers.redis import RedisServer
from tests.web.api.conftest import BROKEN, OURS

API = "/api/v1"


class TestGetSummary:
    def test_operators_see_the_machine_and_tenants_their_names(
        self, names: App, admin: FlaskClient, tenant: FlaskClient
    ) -> None:
        """
        The overview counts all names for an operator, and only the tenant's names for a tenant.
        """
        everything: dict[str, Any] = admin.get(f"{API}/summary").json or {}
        own: dict[str, Any] = tenant.get(f"{API}/summary").json or {}

        assert (4, 2) == (everything["total"], own["total"])
        assert [BROKEN] == [each["name"] for each in own["problems"]]
        assert 0 == everything["queue"]["waiting"]
        assert (None, None, None) == (own["queue"], own["running"], own["proxy"])


class TestGetLimits:
    def test_each_ca_has_its_limits(self, app: App, admin: FlaskClient) -> None:
        """
        Each CA has its label and the time of the next order.
        """
        ((only,),) = (admin.get(f"{API}/limits").json or {}).values()

        assert (app.settings.authority.label, []) == (only["authority"], only["limits"])
        assert only["next_order"].endswith("Z")


class TestGetWorkers:
    def test_without_workers_the_list_is_empty(self, admin: FlaskClient) -> None:
        """
        Without workers, the list is empty.
        """
        assert {"workers": []} == admin.get(f"{API}/workers").json


class TestGetNodes:
    def test_without_a_replication_key_the_list_is_empty(self, admin: FlaskClient) -> None:
        """
        Without a replication key, there are no other hosts.
        """
        assert {"nodes": []} == admin.get(f"{API}/nodes").json


class TestExamineName:
    def test_the_findings_are_those_of_the_doctor(
        self,
        names: App,
        admin: FlaskClient,
        redis_server: RedisServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        The findings have the fields of `certworker doctor --json`, and include the certificate of the name.
        """
        settings = names.settings
        assert settings.http_address is not None
        variables = environment(
            settings.certificates_dir.parent,
            str(settings.authority.directory_url),
            settings.http_address.port,
            _APP_REDIS_HOST="127.0.0.1",
            _APP_REDIS_PORT=str(redis_server.port),
        )
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        found: dict[str, Any] = admin.get(f"{API}/doctor/{OURS}").json or {}

        assert OURS == found["name"]
        certificates = [each for each in found["findings"] if each["subject"] == "certificate"]
        assert [(OURS, "well", "")] == [
            (each["section"], each["verdict"], each["code"]) for each in certificates
        ]

    def test_one_call_at_a_time_runs_the_checks(self, names: App, admin: FlaskClient) -> None:
        """
        While another call runs the checks, the response is 503 with Retry-After.
        """
        with _examining:
            response = admin.get(f"{API}/doctor/{OURS}")

        assert (503, "5") == (response.status_code, response.headers["Retry-After"])
        assert 404 == admin.get(f"{API}/doctor/unknown.localhost").status_code


class TestTenants:
    @pytest.mark.parametrize("path", ["/limits", "/workers", f"/doctor/{OURS}"])
    def test_a_tenant_sees_nothing_of_the_machine(self, names: App, tenant: FlaskClient, path: str) -> None:
        """
        Only operators can see the limits and the workers, and run the doctor.
        """
        assert 403 == tenant.get(f"{API}{path}").status_code
