"""
The API of an installation with a real Redis, a real volume and the names of two tenants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from certworker.app import App
from certworker.dashboard.actions import Actions
from certworker.dashboard.names import NameIndex
from certworker.dashboard.sources import Sources
from certworker.errors.acme import BadCertificate
from certworker.web.access import Role
from tests.web.application import client_with, create_token, open_application

#: Names of the tenants `acme` and `rival`, of none, and one that failed.
OURS, THEIRS, FREE, BROKEN = "shop.localhost", "rival.localhost", "free.localhost", "broken.localhost"

ClientOf = Callable[..., FlaskClient]


@pytest.fixture
def names(app: App) -> App:
    """
    Put the names into service; return the app.
    """
    app.issuance.issue((OURS,))
    stored = app.certificates.current(OURS)
    assert stored is not None
    now = app.clock()
    for name in (THEIRS, FREE):
        # Only the links and the records matter here.
        app.certificates.links.create_links(name)
        app.certificates.links.activate([name], stored.directory)
        app.records.record_issued([name], stored.metadata, next_check=now, now=now)
    failure = BadCertificate(name=BROKEN, reason="it is damaged")
    app.records.record_failed([BROKEN], failure, next_check=now, now=now)
    app.agenda.put_many(dict.fromkeys([THEIRS, FREE, BROKEN], now))
    app.records.record_tenants({OURS: "acme", BROKEN: "acme", THEIRS: "rival"})
    return app


@pytest.fixture
def application(app: App, tmp_path: Path) -> Iterator[Flask]:
    """
    Return the application with the API of `app`, which needs a token for each call.
    """
    sources = Sources.of(app.settings, app.connection)
    index = NameIndex(sources)
    yield open_application(
        tmp_path / "tokens.json",
        sources=sources,
        index=index,
        actions=Actions(sources),
        open_on_loopback=False,
    )
    index.stop()


@pytest.fixture
def client_of(application: Flask, tmp_path: Path) -> ClientOf:
    """
    Return the function that returns a client with a new token.
    """

    def client(role: Role = "admin", tenant: str | None = None) -> FlaskClient:
        return client_with(application, create_token(tmp_path / "tokens.json", role, tenant))

    return client


@pytest.fixture
def admin(client_of: ClientOf) -> FlaskClient:
    """
    Return a client of an operator who may do everything.
    """
    return client_of("admin")


@pytest.fixture
def tenant(client_of: ClientOf) -> FlaskClient:
    """
    Return a client of the tenant `acme` who may request, renew and remove its names.
    """
    return client_of("operate", "acme")
