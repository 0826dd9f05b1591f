"""
The routes for proxies of an installation with a real Redis and a real volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis

from certworker.dashboard.actions import Actions
from certworker.dashboard.names import NameIndex
from certworker.dashboard.sources import Sources
from certworker.settings import load
from certworker.storage.certificate_store import CertificateStore
from certworker.web.access import Role
from tests.app_fixture import environment
from tests.storage.authority import Signer
from tests.web.application import client_with, create_token, open_application

ApplicationWith = Callable[..., Flask]
ClientOf = Callable[..., FlaskClient]


@pytest.fixture(scope="session")
def signer() -> Signer:
    """
    Return the CA that signs the stored certificates.
    """
    return Signer()


@pytest.fixture
def volume(tmp_path: Path) -> CertificateStore:
    """
    Return the empty volume of the application.
    """
    return CertificateStore(tmp_path / "certificates")


@pytest.fixture
def application_with(tmp_path: Path, connection: Redis) -> Iterator[ApplicationWith]:
    """
    Return the function that returns an application with additional settings.
    """
    indexes: list[NameIndex] = []

    def build(**settings: str) -> Flask:
        sources = Sources.of(load(environment(tmp_path, "https://ca.test/dir", 80, **settings)), connection)
        indexes.append(NameIndex(sources))
        return open_application(
            tmp_path / "tokens.json", sources=sources, index=indexes[-1], actions=Actions(sources)
        )

    yield build
    for index in indexes:
        index.stop()


@pytest.fixture
def client_of(application_with: ApplicationWith, tmp_path: Path) -> ClientOf:
    """
    Return the function that returns a client with a new token.
    """
    application = application_with()

    def client(role: Role = "proxy") -> FlaskClient:
        return client_with(application, create_token(tmp_path / "tokens.json", role))

    return client


@pytest.fixture
def proxy(client_of: ClientOf) -> FlaskClient:
    """
    Return a proxy with its token.
    """
    return client_of("proxy")
