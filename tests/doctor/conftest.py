"""
Fixtures of a healthy machine: an app with a reachable HTTP server, a CA and a Redis.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.app import App
from certworker.settings import Settings, load
from tests.app_fixture import environment
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer

NAME = "shop.localhost"


@pytest.fixture
def environ(
    tmp_path: Path, redis_server: RedisServer, app_authority: FaultyAuthority, http_port: int
) -> dict[str, str]:
    """
    Return the variables of the healthy machine.
    """
    return environment(
        tmp_path,
        app_authority.directory_url,
        http_port,
        _APP_DOMAIN=NAME,
        _APP_REDIS_HOST="127.0.0.1",
        _APP_REDIS_PORT=str(redis_server.port),
    )


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    """
    Return the settings of the healthy machine.
    """
    return load(environ)


@pytest.fixture
def issued(app: App) -> App:
    """
    Return the app, with a certificate for `shop.localhost`.
    """
    app.issuance.issue((NAME,))
    return app
