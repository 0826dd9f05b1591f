"""
Tests of the protection against requests of other sites.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from certworker.web.access import allowed, csrf_token
from tests.web.application import client_with, create_token, log_in, open_application


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    """
    Return a browser that is logged in, for an application with an action.
    """
    application = open_application(tmp_path / "tokens")
    application.add_url_rule("/token", "token", allowed("read")(csrf_token))
    application.add_url_rule("/act", "act", allowed("operate")(lambda: "done"), methods=["POST", "DELETE"])
    return log_in(application, create_token(tmp_path / "tokens", "operate"))


class TestCsrf:
    def test_an_action_needs_the_token_of_its_session(self, client: FlaskClient) -> None:
        """
        An action needs the CSRF token in a field or a header.
        """
        token = client.get("/token").text

        assert 403 == client.post("/act").status_code
        assert 403 == client.delete("/act").status_code
        assert 403 == client.post("/act", data={"csrf_token": "é"}).status_code
        assert 403 == client.post("/act", data={"csrf_token": token[:-1]}).status_code
        assert 200 == client.post("/act", data={"csrf_token": token}).status_code
        assert 200 == client.delete("/act", headers={"X-CSRF-Token": token}).status_code

    def test_the_token_of_another_session_is_wrong(self, client: FlaskClient, tmp_path: Path) -> None:
        """
        A user cannot use his own CSRF token in an attack on another one, nor after another login.
        """
        token = client.get("/token").text
        other = log_in(client.application, create_token(tmp_path / "tokens", "operate"))

        assert token != other.get("/token").text
        assert 403 == other.post("/act", data={"csrf_token": token}).status_code

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Sec-Fetch-Site": "same-origin"}, 200),
            ({"Sec-Fetch-Site": "none"}, 200),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
            ({"Origin": "http://localhost"}, 200),
            ({"Origin": "http://localhost.attacker.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": "http://localhost:8081"}, 403),
            ({"Origin": "https://localhost", "Host": "localhost:443"}, 200),
            ({"Origin": "https://localhost:8443", "Host": "localhost:8443"}, 200),
            ({"Origin": "https://localhost", "Host": "localhost:8443"}, 403),
        ],
    )
    def test_the_browser_reports_another_site(
        self, client: FlaskClient, headers: Mapping[str, str], status: int
    ) -> None:
        """
        An action of another site is refused even with the right token.
        """
        data = {"csrf_token": client.get("/token").text}

        assert status == client.post("/act", data=data, headers=headers).status_code

    def test_a_bearer_token_needs_no_csrf_token(self, client: FlaskClient, tmp_path: Path) -> None:
        """
        A request with a bearer token is never sent by a browser on its own.
        """
        api = client_with(client.application, create_token(tmp_path / "tokens", "operate"))

        assert 200 == api.post("/act").status_code
