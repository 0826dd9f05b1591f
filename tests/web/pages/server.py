"""
The page of the showcase on a real port, for a browser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from certworker.dashboard.sources import Sources
from certworker.redis.client import connected
from certworker.redis.url import RedisURL
from certworker.settings import HttpAddress
from certworker.validity import now_in_utc
from certworker.web.server import tokens_of, web_server
from tests.servers.redis import RedisServer
from tests.servers.zones import World
from tests.web.application import create_token
from tests.web.pages import showcase


@dataclass(frozen=True)
class Served:
    """
    A running page.

    Attributes:
        address: Its URL, without a slash at the end.
        sources: The state of the installation.
        operator: The token of an operator.
        tenant: The token of the tenant of the showcase.
    """

    address: str
    sources: Sources
    operator: str
    tenant: str


@contextmanager
def serve(place: Path, *, clock: Callable[[], datetime] = now_in_utc, path: str = "") -> Iterator[Served]:
    """
    Serve the showcase, whose files are in *place*.

    Args:
        clock: Returns the time of the showcase.
        path: The path of the page, as below a reverse proxy.
    """
    redis = RedisServer(place / "redis")
    redis.start()
    try:
        with connected(RedisURL.parse(redis.url)) as connection, World() as world:
            sources = showcase.sources_in(
                place, redis.port, connection, clock, showcase.add_zones(world), CERTWORKER_WEB_PATH=path
            )
            showcase.fill(sources)
            showcase.add_worker(sources)
            tokens = tokens_of(sources.settings).path
            tokens.parent.mkdir()
            operator = create_token(tokens, "operate")
            tenant = create_token(tokens, "operate", showcase.TENANT)
            server = web_server(sources.settings, connection, HttpAddress("127.0.0.1", 0), clock)
            server.start()
            yield Served(f"http://127.0.0.1:{server.port}{path}", sources, operator, tenant)
            server.stop()
    finally:
        redis.kill()
