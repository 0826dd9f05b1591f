"""
Tests of the responses: each failure is a problem document.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from certworker.app import App
from certworker.dashboard.names import NameIndex
from certworker.dashboard.sources import Sources
from certworker.errors import catalog
from certworker.redis.client import connect
from certworker.redis.url import RedisURL
from certworker.web.api.responses import STATUSES
from tests.servers.redis import RedisServer
from tests.web.application import open_application


class TestProblems:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/api/v1/nothing", 404),
            ("GET", "/api/v2/names", 404),
            ("PUT", "/api/v1/names", 405),
            ("POST", "/api/v1/limits", 405),
            ("GET", "/api/v1/names/a.org/renew", 405),
        ],
    )
    def test_an_unknown_call_is_a_problem_document(
        self, admin: FlaskClient, method: str, path: str, status: int
    ) -> None:
        """
        The response to an unknown path or method is a problem document. The Allow header lists the methods.
        """
        response = admin.open(path, method=method)
        document: dict[str, Any] = response.json or {}

        assert (status, "application/problem+json") == (response.status_code, response.content_type)
        assert status == document["status"]
        assert (status == 405) == ("Allow" in response.headers)
        assert (status == 404) == ("There is nothing at this path." == document["detail"])

    def test_without_redis_the_call_may_be_repeated(
        self, app: App, tmp_path: Path, own_redis: RedisServer
    ) -> None:
        """
        Without Redis, the response is 503 with the code and Retry-After.
        """
        sources = Sources.of(app.settings, connect(RedisURL.parse(own_redis.url)))
        application = open_application(tmp_path / "tokens", sources=sources, index=NameIndex(sources))
        client = application.test_client()
        own_redis.kill()
        response = client.get("/api/v1/names/a.localhost")

        assert (503, "5") == (response.status_code, response.headers["Retry-After"])
        assert (response.json or {})["code"].startswith("redis.")

    def test_an_unexpected_error_reveals_nothing(
        self, application: Flask, admin: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The response to an unexpected error is 500 without its text, which is in the log.
        """

        def fail(*_: object) -> None:
            raise RuntimeError("a secret")

        components = application.extensions["certworker"]
        monkeypatch.setattr(components.index, "page", fail)
        response = admin.get("/api/v1/names")

        assert (500, "application/problem+json") == (response.status_code, response.content_type)
        assert "secret" not in response.text
        assert "The log of certworker has the reason." == (response.json or {})["detail"]


class TestStatuses:
    def test_each_beginning_is_that_of_a_code(self) -> None:
        """
        Each beginning in the table of statuses is the beginning of a code.
        """
        codes = [failure.code for failure in catalog()]

        assert all(any(code.startswith(prefix) for code in codes) for prefix in STATUSES)
