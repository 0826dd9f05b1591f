"""
The application with the showcase: a name in each state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from redis import Redis

from certworker.dashboard.actions import Actions
from certworker.dashboard.names import NameIndex
from certworker.dashboard.sources import Sources
from tests.servers.redis import RedisServer
from tests.servers.zones import World
from tests.web.application import NOW, client_with, create_token, open_application
from tests.web.pages import showcase


@dataclass(frozen=True)
class Site:
    """
    The page of the showcase.

    Attributes:
        sources: The state of the showcase.
        index: Its names.
        reader: A visitor with a token of the role read.
        operator: An operator.
        tenant: The tenant `acme`, to which one name belongs.
    """

    sources: Sources
    index: NameIndex
    reader: FlaskClient
    operator: FlaskClient
    tenant: FlaskClient


@pytest.fixture
def site(tmp_path: Path, redis_server: RedisServer, connection: Redis, dns_world: World) -> Iterator[Site]:
    """
    Open the page of the showcase.
    """
    resolver = showcase.add_zones(dns_world)
    sources = showcase.sources_in(tmp_path, redis_server.port, connection, lambda: NOW, resolver)
    showcase.fill(sources)
    index, tokens = NameIndex(sources), tmp_path / "tokens"
    application = open_application(tokens, sources=sources, index=index, actions=Actions(sources))
    reader, operator = create_token(tokens, "read"), create_token(tokens, "operate")
    tenant = create_token(tokens, "operate", showcase.TENANT)
    yield Site(
        sources,
        index,
        client_with(application, reader),
        client_with(application, operator),
        client_with(application, tenant),
    )
    index.stop()
