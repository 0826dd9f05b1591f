"""
An application with real tokens, for the tests of the views.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from redis import Redis

from certworker.settings.web import LOOPBACK, TrustedHeader
from certworker.web.access import Accesses, Role
from certworker.web.access.sessions import EndedSessions
from certworker.web.application import build_application
from certworker.web.components import WebComponents
from certworker.web.tokens import TokenFile

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


def create_token(path: Path, role: Role, tenant: str | None = None) -> str:
    """
    Add a token to the file at *path*, and return it.
    """
    return TokenFile(path).create(role, tenant, lambda: NOW)


def open_application(
    tokens: Path,
    *,
    sources: Any = None,
    index: Any = None,
    actions: Any = None,
    open_on_loopback: bool = True,
    header: TrustedHeader | None = None,
    base_path: str = "",
    connection: Redis | None = None,
) -> Flask:
    """
    Return an application whose tokens are in the file *tokens*.
    """
    access = Accesses(
        TokenFile(tokens),
        open_on_loopback=open_on_loopback,
        proxies=LOOPBACK,
        sessions=EndedSessions(connection),
        header=header,
    )
    return build_application(
        WebComponents(
            sources=sources,
            index=index,
            actions=actions,
            access=access,
            secret_key="the key of the tests",
            base_path=base_path,
        )
    )


def bearer(token: str) -> dict[str, str]:
    """
    Return the header with which the API takes *token*.
    """
    return {"Authorization": f"Bearer {token}"}


def client_with(application: Flask, token: str) -> FlaskClient:
    """
    Return a client of the API that sends *token* with each request.
    """
    client = application.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


def log_in(application: Flask, token: str) -> FlaskClient:
    """
    Return a browser that is logged in with *token*.
    """
    client = application.test_client()
    assert client.post("/login", data={"token": token}).status_code == 303
    return client
