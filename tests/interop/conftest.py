"""
The CAs of these tests, each of which starts once, and an app that orders from one of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from certworker.app import App
from tests.app_fixture import open_app
from tests.interop.acme2certifier import Acme2certifier
from tests.interop.authorities import ForeignAuthority
from tests.interop.caddy import Caddy
from tests.interop.step_ca import StepCa

#: The length of the CA's log in the report of a failed test.
LOG_CHARACTERS = 4_000

AUTHORITIES: list[type[ForeignAuthority]] = [StepCa, Caddy, Acme2certifier]


@pytest.fixture(scope="session", params=AUTHORITIES, ids=lambda kind: kind.title)
def authority(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ForeignAuthority]:
    """
    Start each of the CAs in turn.
    """
    with request.param(tmp_path_factory.mktemp("authority")) as started:
        yield started


@pytest.fixture
def app(tmp_path: Path, connection: Redis, authority: ForeignAuthority) -> Iterator[App]:
    """
    Open an app with a new account at the CA. The report of a failed test contains the end of the CA's log.
    """
    bundle = str(authority.ca_bundle) if authority.ca_bundle else ""
    with open_app(
        tmp_path,
        connection,
        authority.directory_url,
        authority.http_port,
        CERTWORKER_CA_BUNDLE=bundle,
        _APP_EMAIL_CERTIFICATES="ops@certworker.dev",
    ) as opened:
        yield opened
    sys.stdout.write(authority.log.read_text(errors="replace")[-LOG_CHARACTERS:])
