"""
Tests of the login: the cookie, its forgery, and the way back to the view.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask, render_template
from flask.sessions import SecureCookieSessionInterface

from certworker.web.access import allowed, csrf_token, current_access
from certworker.web.access.lockout import FREE_FAILURES
from certworker.web.access.login import COOKIE, own_path
from certworker.web.tokens import TokenFile
from tests.web.application import create_token, log_in, open_application

#: Targets that lead to another site in some browser.
FOREIGN = [
    "//attacker.example",
    "///attacker.example",
    "https://attacker.example/",
    "https:attacker.example",
    "/\\attacker.example",
    "\\/attacker.example",
    "/\t/attacker.example",
    "/\n/attacker.example",
    "javascript:alert(1)",
    " /names",
    "names",
    "/names#/\u2028",
    "/" + "x" * 3000,
    "",
]


def show_base() -> str:
    """
    Return the frame of all views.
    """
    return render_template("pages/base.html", access=current_access(), sections={}, views=[])


@pytest.fixture
def application(tmp_path: Path) -> Flask:
    """
    Return an application with two views, which is not open.
    """
    application = open_application(tmp_path / "tokens", open_on_loopback=False, base_path="/certs")
    application.add_url_rule("/show", "show", allowed("read")(lambda: current_access().identity))
    application.add_url_rule("/csrf", "csrf", allowed("read")(csrf_token))
    application.add_url_rule("/base", "base", allowed("read")(show_base))
    return application


@pytest.fixture
def token(tmp_path: Path) -> str:
    """
    Return a token of that application.
    """
    return create_token(tmp_path / "tokens", "read")


class TestLogin:
    def test_a_view_leads_to_the_login_and_back(self, application: Flask, token: str) -> None:
        """
        A browser without a session gets the form, and after the login the view that it wanted.
        """
        client = application.test_client()
        form = client.get("/show?q=a&state=b")
        assert (303, "/certs/login?next=/show?q%3Da%26state%3Db") == (form.status_code, form.location)
        page = client.get(form.location.removeprefix("/certs"))
        assert 200 == page.status_code
        assert 'name="next" value="/show?q=a&amp;state=b"' in page.text
        back = client.post("/login", data={"token": f" {token}\n", "next": "/show?q=a&state=b"})

        assert (303, "/certs/show?q=a&state=b") == (back.status_code, back.location)
        assert 200 == client.get("/show").status_code

    def test_the_cookie_is_protected(self, application: Flask, token: str) -> None:
        """
        No script reads the cookie, no other site sends it, and HTTPS makes it a secure one.
        """
        client = application.test_client()
        plain = client.post("/login", data={"token": token}).headers["Set-Cookie"]
        https = {"X-Forwarded-Proto": "https"}
        secure = client.post("/login", data={"token": token}, headers=https).headers["Set-Cookie"]

        assert plain.startswith(f"{COOKIE}=")
        assert {"HttpOnly", "Path=/certs", "SameSite=Strict"} == set(plain.split("; ")[1:])
        assert {"Secure", "HttpOnly", "Path=/certs", "SameSite=Strict"} == set(secure.split("; ")[1:])
        assert token not in plain

    def test_a_wrong_token_shows_the_form_again_and_locks_out(self, application: Flask, token: str) -> None:
        """
        A wrong token is reported, and after several of them the address has to wait.
        """
        client = application.test_client()
        statuses = [
            client.post("/login", data={"token": f"cw_{number}"}).status_code
            for number in range(FREE_FAILURES + 1)
        ]
        locked = client.post("/login", data={"token": "cw_another"})

        assert [401] * FREE_FAILURES + [429] == statuses
        assert "Too many wrong tokens" in locked.text
        assert 303 == client.post("/login", data={"token": token}).status_code
        assert "Set-Cookie" not in locked.headers
        assert "Retry-After" in locked.headers

    def test_another_site_cannot_log_a_browser_in(self, application: Flask, token: str) -> None:
        """
        A form of another site does not log the browser in as the attacker.
        """
        foreign = {"Origin": "https://attacker.example"}

        assert (
            403
            == application.test_client().post("/login", data={"token": token}, headers=foreign).status_code
        )

    def test_a_revoked_token_ends_its_sessions(self, application: Flask, token: str, tmp_path: Path) -> None:
        """
        The session of a revoked token has no access at the next request.
        """
        client = log_in(application, token)
        identity = client.get("/show").text
        TokenFile(tmp_path / "tokens").revoke(identity.removeprefix("token "))

        assert 303 == client.get("/show").status_code

    def test_a_logout_ends_the_session(self, application: Flask, token: str) -> None:
        """
        The logout is an action, so another site cannot send it.
        """
        client = log_in(application, token)
        csrf = client.get("/csrf").text
        (shown,) = re.findall(
            r'action="/certs/logout" method="post"><input type="hidden" name="csrf_token" value="(\w+)">',
            client.get("/base").text,
        )
        assert csrf == shown
        assert 403 == client.post("/logout").status_code
        assert 200 == client.get("/show").status_code
        ended = client.post("/logout", data={"csrf_token": csrf})

        assert (303, "/certs/login") == (ended.status_code, ended.location)
        assert 303 == client.get("/show").status_code

    def test_a_logout_ends_a_copied_cookie(self, application: Flask, token: str) -> None:
        """
        A thief who copied the cookie has no access after the logout. Other sessions of the token have.
        """
        client, other, thief = (
            log_in(application, token),
            log_in(application, token),
            application.test_client(),
        )
        cookie = client.get_cookie(COOKIE, path="/certs") or client.get_cookie(COOKIE)
        assert cookie is not None
        thief.set_cookie(COOKIE, cookie.value)
        assert 200 == thief.get("/show").status_code
        client.post("/logout", data={"csrf_token": client.get("/csrf").text})

        assert [303, 303, 200] == [each.get("/show").status_code for each in (client, thief, other)]


class TestForgery:
    def test_a_cookie_with_another_key_is_no_session(self, application: Flask, token: str) -> None:
        """
        Only the key of the server signs a session.
        """
        found = TokenFile(application.extensions["certworker"].access._tokens.path).find(token)
        assert found is not None
        other = Flask("attacker")
        other.secret_key = "another key"
        serializer = SecureCookieSessionInterface().get_signing_serializer(other)
        assert serializer is not None
        client = application.test_client()
        client.set_cookie(COOKIE, serializer.dumps({"token": found.id}), path="/certs")

        assert 303 == client.get("/show").status_code

    def test_a_changed_cookie_is_no_session(self, application: Flask, token: str) -> None:
        """
        A changed or truncated cookie is ignored.
        """
        client = log_in(application, token)
        cookie = client.get_cookie(COOKIE, path="/certs")
        assert cookie is not None
        for value in (cookie.value[:-2], "x" + cookie.value, cookie.value.replace(".", "..", 1), "", "é"):
            client.set_cookie(COOKIE, value, path="/certs")

            assert 303 == client.get("/show").status_code


class TestOwnPath:
    @pytest.mark.parametrize("text", FOREIGN)
    def test_a_foreign_target_becomes_the_first_view(self, text: str) -> None:
        """
        No text leads to another site after the login.
        """
        assert "/" == own_path(text)

    @pytest.mark.parametrize(
        "text", ["/", "/names", "/names/*.shop.example", "/names?q=a%20b&state=c", "/a//b"]
    )
    def test_an_own_target_is_kept(self, text: str) -> None:
        """
        The path of a view remains.
        """
        assert text == own_path(text)

    @pytest.mark.parametrize("text", FOREIGN)
    def test_the_login_leads_to_no_other_site(self, application: Flask, token: str, text: str) -> None:
        """
        The answer to the login has a path of this application for each target.
        """
        response = application.test_client().post("/login", data={"token": token, "next": text})

        assert (303, "/certs/") == (response.status_code, response.location)
