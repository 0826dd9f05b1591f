"""
Tests of the calls that read names.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from certworker.app import App
from certworker.observability.history import HistoryEntry
from certworker.web.api.names import PEM_TYPE
from tests.cli.conftest import worker
from tests.servers.worker import WorkerProcess
from tests.web.api.conftest import BROKEN, FREE, OURS, THEIRS

__all__ = ["worker"]

API = "/api/v1"


def listed(client: FlaskClient, query: str = "") -> list[str]:
    """
    Return the names that the call lists.
    """
    response = client.get(f"{API}/names{query}")
    assert 200 == response.status_code, response.text
    return [each["name"] for each in response.json["names"]] if response.json else []


class TestListNames:
    def test_names_are_listed_by_page(self, names: App, admin: FlaskClient) -> None:
        """
        The pages have all names once. Names to fix come first, and a tenant is a filter.
        """
        first: dict[str, Any] = admin.get(f"{API}/names?limit=3").json or {}
        second: dict[str, Any] = admin.get(f"{API}/names?limit=3&cursor={first['next_cursor']}").json or {}

        assert [BROKEN, FREE, THEIRS, OURS] == [
            each["name"] for page in (first, second) for each in page["names"]
        ]
        assert (4, 4, "") == (first["total"], second["total"], second["next_cursor"])
        assert [BROKEN, OURS] == listed(admin, "?tenant=acme")
        assert [OURS] == listed(admin, "?text=shop&state=valid&sort=expiry&due=90d")

    def test_a_tenant_lists_its_own_names(self, names: App, tenant: FlaskClient) -> None:
        """
        A tenant lists its own names, and none of another tenant.
        """
        assert [BROKEN, OURS] == listed(tenant) == listed(tenant, "?tenant=acme")
        assert [] == listed(tenant, "?tenant=rival")
        assert [] == listed(tenant, "?text=rival")

    @pytest.mark.parametrize(
        "query",
        [
            "limit=0",
            "limit=501",
            "limit=x",
            "state=no",
            "sort=x",
            "due=7",
            "cursor=x",
            "x=1",
            "text=a&text=b",
        ],
    )
    def test_an_invalid_query_is_refused(self, admin: FlaskClient, query: str) -> None:
        """
        The response to an invalid, unknown or repeated parameter is a problem document with the reason.
        """
        response = admin.get(f"{API}/names?{query}")

        assert (400, "application/problem+json") == (response.status_code, response.content_type)
        assert query.partition("=")[0] in response.text or "query" in response.text


class TestGetName:
    def test_a_name_has_the_fields_of_the_command(
        self, names: App, worker: WorkerProcess, admin: FlaskClient
    ) -> None:
        """
        The fields of a name are equal to those of `certworker status --json`, also for a failure.
        """
        for name in (OURS, BROKEN):
            found: dict[str, Any] = admin.get(f"{API}/names/{name.upper()}").json or {}
            printed = json.loads(worker.command("status", "--json", name).stdout)
            printed.pop("workers")

            assert printed == {key: found[key] for key in printed}
            assert {"certificate"} == found.keys() - printed.keys()

    def test_a_tenant_sees_no_paths_of_the_server(
        self, names: App, admin: FlaskClient, tenant: FlaskClient
    ) -> None:
        """
        Only operators see the paths of the files.
        """
        seen: list[Any] = [client.get(f"{API}/names/{OURS}").json for client in (admin, tenant)]

        assert seen[0]["files"]["privkey"].startswith("/")
        assert {} == seen[1]["files"]
        assert "ec256" == seen[1]["certificate"]["key_type"]

    @pytest.mark.parametrize("name", ["unknown.localhost", "a b", "..", "x" * 3_000, "%00", "%2e%2e%2fetc"])
    def test_an_unknown_name_is_not_found(self, admin: FlaskClient, name: str) -> None:
        """
        The response to an unknown name, or to a text that is not a name, is 404.
        """
        response = admin.get(f"{API}/names/{name}")

        assert (404, "application/problem+json") == (response.status_code, response.content_type)


class TestGetHistory:
    def test_the_history_has_the_last_lines(self, names: App, tenant: FlaskClient) -> None:
        """
        The history has the time, the level and the text of each line.
        """
        names.history.append(OURS, HistoryEntry(names.clock(), "WARN", "waits"))
        names.history.flush()
        found: dict[str, Any] = tenant.get(f"{API}/names/{OURS}/history").json or {}

        assert OURS == found["name"]
        assert ("warn", "waits") == (found["events"][-1]["level"], found["events"][-1]["text"])


class TestGetRecords:
    def test_without_a_target_no_record_is_needed(self, names: App, tenant: FlaskClient) -> None:
        """
        Without a target, the list of records is empty.
        """
        assert {"name": OURS, "records": []} == tenant.get(f"{API}/names/{OURS}/records").json


class TestGetCertificate:
    def test_it_is_the_chain_and_never_the_key(self, names: App, tenant: FlaskClient) -> None:
        """
        The response is the chain on the volume in PEM, without the key. Without a certificate, it is 404.
        """
        response = tenant.get(f"{API}/names/{OURS}/certificate")

        assert PEM_TYPE == response.content_type
        assert (names.settings.certificates_dir / OURS / "fullchain.pem").read_bytes() == response.data
        assert b"PRIVATE KEY" not in response.data
        assert 404 == tenant.get(f"{API}/names/{BROKEN}/certificate").status_code
