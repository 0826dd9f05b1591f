"""
Tests of the protection against requests of other sites.
"""

from __future__ import annotations

from pathlib import Path

from certworker.web.access import allowed, csrf_token
from tests.web.application import client_with, create_token, open_application


class TestCsrf:
    def test_an_action_without_a_bearer_token_needs_a_csrf_token(self, tmp_path: Path) -> None:
        """
        An action needs the CSRF token in a field or a header, unless it has a bearer token.
        """
        application = open_application(tmp_path / "tokens")
        application.add_url_rule("/token", "token", allowed("read")(csrf_token))
        application.add_url_rule("/act", "act", allowed("read")(lambda: "done"), methods=["POST"])
        client = application.test_client()
        token = client.get("/token").text

        assert 403 == client.post("/act").status_code
        assert 403 == client.post("/act", data={"csrf_token": "é"}).status_code
        assert 200 == client.post("/act", data={"csrf_token": token}).status_code
        assert 200 == client.post("/act", headers={"X-CSRF-Token": token}).status_code
        api = client_with(application, create_token(tmp_path / "tokens", "read"))
        assert 200 == api.post("/act").status_code
