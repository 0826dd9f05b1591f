"""
The login of a browser: a token becomes a session in a signed cookie.

The cookie contains the id of the token, but neither the token nor its role. So the revocation of a token ends
its sessions. A logout also invalidates copies of the cookie.
"""

from __future__ import annotations

import re
import secrets

from flask import Blueprint, Flask, current_app, g, redirect, render_template, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from werkzeug.wrappers import Response

from certworker.web.access.accesses import Accesses, session_id
from certworker.web.access.csrf import check_csrf, check_origin
from certworker.web.access.refusals import Refused
from certworker.web.access.sessions import LIFETIME

COOKIE = "certworker_session"

#: A path of this application: it begins with exactly one slash, and has no character that a browser changes.
OWN_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@%?-][A-Za-z0-9._~!$&'()*+,;=:@%?/-]{0,2000})?")


class _Sessions(SecureCookieSessionInterface):
    def get_cookie_secure(self, _app: Flask) -> bool:
        return bool(g.client.is_secure)


def set_up_sessions(application: Flask, secret_key: str, base_path: str) -> None:
    """
    Set the key and the properties of the cookie.
    """
    application.secret_key = secret_key
    application.session_interface = _Sessions()
    application.config.update(
        SESSION_COOKIE_NAME=COOKIE,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        APPLICATION_ROOT=base_path or "/",
        PERMANENT_SESSION_LIFETIME=LIFETIME,
    )


def blueprint() -> Blueprint:
    """
    Return the views of the login and the logout.
    """
    login = Blueprint("login", __name__, template_folder="templates")
    login.add_url_rule("/login", "form", _form)
    login.add_url_rule("/login", "log_in", _log_in, methods=["POST"])
    login.add_url_rule("/logout", "log_out", _log_out, methods=["POST"])
    return login


def own_path(text: str | None) -> str:
    """
    Return *text* if it is a path of this application, otherwise the path of the overview.
    """
    return text if text and OWN_PATH.fullmatch(text) else "/"


def _form() -> str:
    return render_template("access/login.html", target=own_path(request.args.get("next")), refusal=None)


def _log_in() -> Response | tuple[str, int, dict[str, str]]:
    # The form has no CSRF token, because no one is logged in. Without this check, another site could log a
    # browser in.
    check_origin()
    target = own_path(request.form.get("next"))
    try:
        token = _accesses().check(request.form.get("token", "").strip(), g.client)
    except Refused as refusal:
        headers = {"Retry-After": str(refusal.retry_after)} if refusal.retry_after else {}
        return render_template("access/login.html", target=target, refusal=refusal), refusal.status, headers
    _end_session()
    session.update(token=token.id, nonce=secrets.token_hex(16))
    g.audit = f"token {token.id}"
    return redirect(f"{request.script_root}{target}", 303)


def _log_out() -> Response:
    check_csrf()
    _end_session()
    return redirect(url_for("login.form"), 303)


def _end_session() -> None:
    if ended := session_id():
        _accesses().sessions.end(ended)
    session.clear()


def _accesses() -> Accesses:
    found: Accesses = current_app.extensions["certworker"].access
    return found
