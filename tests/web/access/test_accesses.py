"""
Tests of the access of a request: tokens, the header of a proxy, and requests of this machine.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask import Flask

from certworker.settings.web import TrustedHeader
from certworker.web.access import allowed, current_access
from certworker.web.access.lockout import FREE_FAILURES
from certworker.web.tokens import digest_of
from tests.web.application import bearer, client_with, create_token, open_application

REMOTE = {"REMOTE_ADDR": "192.0.2.7"}


def application(directory: Path, **options: object) -> Flask:
    """
    Return an application with a view that shows the access of its request.
    """
    application = open_application(directory / "tokens", **options)  # type: ignore[arg-type]
    application.add_url_rule("/api/show", "show", allowed("read")(lambda: repr(current_access())))
    return application


class TestLoopback:
    def test_without_tokens_only_this_machine_may_read(self, tmp_path: Path) -> None:
        """
        The open page accepts only requests from this machine, and only for reading.
        """
        client = application(tmp_path).test_client()

        assert "Access(role='read', tenant=None, identity='loopback')" == client.get("/api/show").text
        assert 401 == client.get("/api/show", environ_base=REMOTE).status_code
        assert 401 == client.get("/api/show", headers={"Host": "attacker.example"}).status_code
        assert 401 == client.get("/api/show", headers={"X-Forwarded-For": "127.0.0.1"}).status_code

    def test_a_token_closes_the_open_page(self, tmp_path: Path) -> None:
        """
        As soon as a token exists, each request needs one, also while the file cannot be used.
        """
        shown = application(tmp_path)
        token = create_token(tmp_path / "tokens", "read")

        assert 401 == shown.test_client().get("/api/show").status_code
        assert 200 == client_with(shown, token).get("/api/show").status_code
        (tmp_path / "tokens").write_text("{")
        assert 401 == shown.test_client().get("/api/show").status_code
        (tmp_path / "tokens").unlink()
        assert 200 == shown.test_client().get("/api/show").status_code

    def test_another_address_is_never_open(self, tmp_path: Path) -> None:
        """
        A page that does not listen on loopback needs a token from the beginning.
        """
        shown = application(tmp_path, open_on_loopback=False)

        assert 401 == shown.test_client().get("/api/show").status_code


class TestToken:
    def test_a_wrong_token_is_not_replaced_by_the_open_page(self, tmp_path: Path) -> None:
        """
        A wrong or revoked token is an error, even if the page is open.
        """
        assert 401 == client_with(application(tmp_path), "cw_wrong").get("/api/show").status_code

    def test_guesses_lock_the_address_out(self, tmp_path: Path) -> None:
        """
        After several wrong tokens, the address has to wait, even with the right password. Other addresses do
        not wait, and neither does a random token of the same address.
        """
        shown = application(tmp_path, open_on_loopback=False)
        token = create_token(tmp_path / "tokens", "read")
        content = json.loads((tmp_path / "tokens").read_text())
        content["tokens"].append({"hash": f"sha256:{digest_of('password')}", "role": "read"})
        (tmp_path / "tokens").write_text(json.dumps(content))
        client = shown.test_client()
        statuses = [
            client.get("/api/show", headers=bearer(f"cw_{number}"), environ_base=REMOTE).status_code
            for number in range(FREE_FAILURES + 3)
        ]
        locked = client.get("/api/show", headers=bearer("password"), environ_base=REMOTE)

        assert [401] * FREE_FAILURES + [429] * 3 == statuses
        assert 429 == locked.status_code
        assert 1 <= int(locked.headers["Retry-After"]) <= 30
        assert 200 == client.get("/api/show", headers=bearer("password")).status_code
        assert 200 == client.get("/api/show", headers=bearer(token), environ_base=REMOTE).status_code

    @pytest.mark.parametrize(
        "value", ["Bearer", "Bearer ", "Basic Zm9v", "Basic \xff", "Bearer \x80", "x" * 9000]
    )
    def test_a_malformed_authorization_is_no_access(self, tmp_path: Path, value: str) -> None:
        """
        A malformed header counts as a missing or as a wrong token.
        """
        shown = application(tmp_path, open_on_loopback=False)

        assert 401 == shown.test_client().get("/api/show", headers={"Authorization": value}).status_code


class TestTrustedHeader:
    HEADER = TrustedHeader("Remote-User", "operate")

    def test_a_trusted_proxy_names_the_user(self, tmp_path: Path) -> None:
        """
        The user of a trusted proxy has the role of the setting.
        """
        client = application(tmp_path, header=self.HEADER, open_on_loopback=False).test_client()
        response = client.get("/api/show", headers={"Remote-User": "alice@example.org"})

        assert "Access(role='operate', tenant=None, identity='user alice@example.org')" == response.text

    def test_only_a_trusted_proxy_names_a_user(self, tmp_path: Path) -> None:
        """
        A client that sends the header itself is refused.
        """
        client = application(tmp_path, header=self.HEADER, open_on_loopback=False).test_client()

        assert 401 == client.get("/api/show", headers={"Remote-User": "a"}, environ_base=REMOTE).status_code

    @pytest.mark.parametrize("value", ["", "alice, bob", "a" * 101, "alice <b>", "alice\tbob"])
    def test_a_text_that_is_no_user_is_refused(self, tmp_path: Path, value: str) -> None:
        """
        An empty header, two headers and markup are no users.
        """
        client = application(tmp_path, header=self.HEADER, open_on_loopback=False).test_client()

        assert 401 == client.get("/api/show", headers={"Remote-User": value}).status_code

    def test_without_the_setting_the_header_has_no_effect(self, tmp_path: Path) -> None:
        """
        No header is trusted unless the setting names it.
        """
        client = application(tmp_path, open_on_loopback=False).test_client()

        assert 401 == client.get("/api/show", headers={"Remote-User": "alice"}).status_code
