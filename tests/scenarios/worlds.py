"""
A world for a scene: a Redis, a DNS, a CA, web servers, and a house amid them; all of them real.

As it is made it is in order: `shop.org` points to the house's own door.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import SystemRandom

from redis import Redis

from certworker.app import App
from certworker.worker.producer import QUEUE_KEY
from tests.app_fixture import environment, open_app
from tests.servers.development import development_authority
from tests.servers.fault_injection import FaultInjection
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer
from tests.servers.signed import LIFETIME, SignedZone, validating
from tests.servers.web import Respond, WebServer, response
from tests.servers.zones import World, ZoneServer

NAME = "shop.org"
HERE = "127.0.0.1"

#: Where a resolver listens that checks signatures.
VALIDATING = "127.0.0.53"

#: A CA that is taken for a public one, with all that it wants from an operator.
PUBLIC = {
    "_APP_ENV": "production",
    "_APP_EMAIL_CERTIFICATES": "ops@shop.org",
    "CERTWORKER_PRIVATE_NETWORK": "false",
}


def quiet_port() -> int:
    """
    A free port that no other server or connection is given by chance: a scene opens its doors late.
    """
    while True:
        port = SystemRandom().randrange(15_000, 30_000)
        with suppress(OSError), socket.create_server(("0.0.0.0", port)):  # noqa: S104 (any of the loopback)
            return port


class Stage:
    """
    Where a scene is built, before the house is opened.
    """

    #: The hash of the job that is sent.
    job_key = "rq:job:scene"

    def __init__(self, place: Path, redis: RedisServer, connection: Redis, stack: ExitStack) -> None:
        self.place = place
        self.redis = redis
        self.connection = connection
        self.stack = stack
        self.http_port = quiet_port()
        self.dns = stack.enter_context(World())
        #: How far this world's time is ahead of ours, and the clock of the house of that.
        self.ahead = timedelta()
        self.wrong = timedelta()
        self.name = NAME
        #: The keyword arguments of the job beside its name.
        self.arguments: dict[str, object] = {}
        #: What is typed after `certworker`.
        self.command: tuple[str, ...] = ("work",)
        #: The environment of the shell in which it is typed, beside the settings.
        self.shell: dict[str, str] = {}
        self.settings = {"_APP_DNS": "{}:{}".format(*self.dns.resolver.address)}
        #: What happens in the house before the job.
        self.before: list[Callable[[App], object]] = []
        self.authority: FaultyAuthority = stack.enter_context(
            development_authority(
                place,
                http01_port=self.http_port,
                resolve=self._address,
                clock=lambda: datetime.now(UTC) + self.ahead,
            )
        )
        #: How the CA misbehaves.
        self.ca: FaultInjection = self.authority.faults
        self.zone = self.dns.zone(NAME, {NAME: {"A": [HERE]}})

    @property
    def rows(self) -> dict[str, list[str]]:
        """
        The records of `shop.org`, by type.
        """
        return self.zone.rows[NAME]

    def environ(self) -> dict[str, str]:
        """
        The variables of the house.
        """
        redis = {"_APP_REDIS_HOST": HERE, "_APP_REDIS_PORT": str(self.redis.port)}
        url = self.authority.directory_url
        return environment(self.place, url, self.http_port, **{**redis, **self.settings})

    def open(self) -> App:
        """
        The house, with all done that happens before.
        """
        app = self.stack.enter_context(
            open_app(
                self.place,
                self.connection,
                self.authority.directory_url,
                self.http_port,
                clock=lambda: datetime.now(UTC) + self.ahead + self.wrong,
                variables=self.settings,
            )
        )
        for each in self.before:
            each(app)
        return app

    def orders(self) -> int:
        """
        How many orders the CA was asked for.
        """
        return sum(asked.kind == "newOrder" for asked in self.authority.requests)

    def points_to(self, *addresses: str) -> None:
        """
        Let the name have these addresses, and no others.
        """
        self.rows.clear()
        for address in addresses:
            self.rows.setdefault("AAAA" if ":" in address else "A", []).append(address)

    def serve(self, respond: Respond, address: str = "127.0.0.2", **options: object) -> None:
        """
        Let the name point to *address*, where something answers so at port 80.
        """
        self.points_to(address)
        self.stand(respond, address)

    def stand(self, respond: Respond, address: str, pair: tuple[Path, Path] | None = None) -> None:
        """
        Let something answer so at port 80 of *address*.
        """
        self.stack.enter_context(WebServer(respond, host=address, port=self.http_port, pair=pair))

    def passes_on(self, **headers: str) -> Respond:
        """
        A proxy in front of the house, which adds *headers*.
        """

        def passed(path: str, _visitor: socket.socket) -> bytes:
            inner = http.client.HTTPConnection(HERE, self.http_port, timeout=5)
            inner.request("GET", path)
            answer = inner.getresponse()
            return response(answer.status, answer.read(), **headers)

        return passed

    def send(self, call: bytes, **fields: str | int) -> None:
        """
        Put a job with the data *call* on the queue, as any program in any language can.
        """
        for field, value in {"data": call, **fields}.items():
            self.connection.hset(self.job_key, field, value)
        self.connection.rpush(QUEUE_KEY, self.job_key.rpartition(":")[2])

    def own_redis(self, *options: str) -> RedisServer:
        """
        Another Redis in place of the common one, started with *options*.
        """
        place = self.place / "redis"
        place.mkdir()
        self.redis = RedisServer(place)
        self.redis.start(*options)
        self.stack.callback(self.redis.kill)
        return self.redis

    def another_zone(self, name: str, **rows: list[str]) -> ZoneServer:
        """
        Serve the zone *name*, whose head has these records.
        """
        return self.dns.zone(name, {name: dict(rows)})

    def sign(self, *, ended: timedelta = -LIFETIME / 2, stale: bool = False) -> None:
        """
        Sign the zone, and let a resolver check it.

        Args:
            ended: The signatures ended so long ago; before zero they will end.
            stale: The registry still has the DS of a key from before a move.
        """
        head, registry = f"ns1.{NAME}", self.another_zone("org")
        rows = {NAME: {**self.rows, "NS": [head]}, head: {"A": [self.zone.host]}}
        zone = SignedZone(NAME, rows, ended=ended)
        ds = (SignedZone(NAME, rows) if stale else zone).ds
        above = SignedZone(
            "org",
            {
                "org": {"NS": ["ns1.org"]},
                "ns1.org": {"A": [registry.host]},
                NAME: {"NS": [head], "DS": [ds]},
            },
        )
        self.zone.signed, registry.signed = zone, above
        served = {"org": registry.address, NAME: self.zone.address}
        address = VALIDATING, self.zone.address[1]
        self.stack.enter_context(validating(self.place, address, above, served))
        self.settings["_APP_DNS"] = "{}:{}".format(*address)

    def _address(self, name: str) -> str:
        for server in self.dns.servers:
            found = server.rows.get(name, {})
            if alias := found.get("CNAME"):
                return self._address(alias[0])
            for kind in ("AAAA", "A"):
                if found.get(kind):
                    return found[kind][0]
        return HERE if name.endswith("localhost") else name
