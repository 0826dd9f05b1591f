"""
The installation of a scenario, with a real Redis, DNS, CA, web servers and app.

At first, the installation has no problem: `shop.org` points to the HTTP server of the app.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from redis import Redis

from certworker.app import App
from certworker.worker.producer import QUEUE_KEY
from tests.app_fixture import environment, open_app
from tests.servers.bind import Bind
from tests.servers.development import development_authority
from tests.servers.fault_injection import FaultInjection
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.signed import LIFETIME, SignedZone, validating
from tests.servers.web import Respond, WebServer, response
from tests.servers.zones import World, ZoneServer

NAME = "shop.org"
HERE = "127.0.0.1"

#: The address of a resolver that verifies signatures.
VALIDATING = "127.0.0.53"

#: The address of the name server that accepts updates.
UPDATED = "127.0.0.40"

#: Settings with which the CA is a public one, including the settings that a public CA requires.
PUBLIC = {
    "_APP_ENV": "production",
    "_APP_EMAIL_CERTIFICATES": "ops@shop.org",
    "CERTWORKER_PRIVATE_NETWORK": "false",
}


class Installation:
    """
    The servers and the settings of a scenario, before the scenario opens its app.
    """

    #: The hash of the job that :meth:`send` enqueues.
    job_key = "rq:job:scenario"

    def __init__(self, directory: Path, redis: RedisServer, connection: Redis, stack: ExitStack) -> None:
        self.directory = directory
        self.redis = redis
        self.connection = connection
        self.stack = stack
        self.http_port = free_port()
        self.dns = stack.enter_context(World())
        #: The difference between the app's clock and the real time: simulated time, and the error of the
        #: clock.
        self.elapsed = timedelta()
        self.clock_error = timedelta()
        self.name = NAME
        #: The keyword arguments of the job besides its name.
        self.arguments: dict[str, object] = {}
        #: The arguments of the command `certworker`.
        self.command: tuple[str, ...] = ("work",)
        #: The environment of the command besides the settings.
        self.shell: dict[str, str] = {}
        self.settings = {"_APP_DNS": "{}:{}".format(*self.dns.resolver.address)}
        #: Steps that run in the app before the job.
        self.before: list[Callable[[App], object]] = []
        self.authority: FaultyAuthority = stack.enter_context(
            development_authority(
                directory,
                http01_port=self.http_port,
                resolve=self._address,
                dns_server=(UPDATED, self.dns.resolver.address[1]),
                clock=lambda: datetime.now(UTC) + self.elapsed,
            )
        )
        #: The faults of the CA.
        self.ca: FaultInjection = self.authority.faults
        self.zone = self.dns.zone(NAME, {NAME: {"A": [HERE]}})
        self._name_servers = 0

    @property
    def rows(self) -> dict[str, list[str]]:
        """
        Return the records of `shop.org`, by type.
        """
        return self.zone.rows[NAME]

    def environ(self) -> dict[str, str]:
        """
        Return the variables of the app.
        """
        redis = {"_APP_REDIS_HOST": HERE, "_APP_REDIS_PORT": str(self.redis.port)}
        url = self.authority.directory_url
        return environment(self.directory, url, self.http_port, **{**redis, **self.settings})

    def open(self) -> App:
        """
        Open the app, run the steps of :attr:`before`, and return it.
        """
        app = self.stack.enter_context(
            open_app(
                self.directory,
                self.connection,
                self.authority.directory_url,
                self.http_port,
                clock=lambda: datetime.now(UTC) + self.elapsed + self.clock_error,
                variables=self.settings,
            )
        )
        for step in self.before:
            step(app)
        return app

    def orders(self) -> int:
        """
        Return the number of orders that the CA received.
        """
        return sum(request.kind == "newOrder" for request in self.authority.requests)

    def points_to(self, *addresses: str) -> None:
        """
        Give the name these addresses, and no others.
        """
        self.rows.clear()
        for address in addresses:
            self.rows.setdefault("AAAA" if ":" in address else "A", []).append(address)

    def serve(self, respond: Respond, address: str = "127.0.0.2", **options: object) -> None:
        """
        Point the name to *address*, and start a server with *respond* at its port 80.
        """
        self.points_to(address)
        self.listen(respond, address)

    def listen(self, respond: Respond, address: str, pair: tuple[Path, Path] | None = None) -> None:
        """
        Start a server with *respond* on port 80 of *address*.
        """
        self.stack.enter_context(WebServer(respond, host=address, port=self.http_port, pair=pair))

    def forward(self, **headers: str) -> Respond:
        """
        Return the response of a proxy in front of the app, which adds *headers*.
        """

        def respond(path: str, _client: socket.socket) -> bytes:
            inner = http.client.HTTPConnection(HERE, self.http_port, timeout=5)
            inner.request("GET", path)
            answer = inner.getresponse()
            return response(answer.status, answer.read(), **headers)

        return respond

    def send(self, call: bytes, **fields: str | int) -> None:
        """
        Put a job with the data *call* on the queue, as any program with access to Redis can.
        """
        for field, value in {"data": call, **fields}.items():
            self.connection.hset(self.job_key, field, value)
        self.connection.rpush(QUEUE_KEY, self.job_key.rpartition(":")[2])

    def start_redis(self, *options: str) -> RedisServer:
        """
        Start another Redis with *options*, and use it instead of the shared one.
        """
        directory = self.directory / "redis"
        directory.mkdir()
        self.redis = RedisServer(directory)
        self.redis.start(*options)
        self.stack.callback(self.redis.kill)
        return self.redis

    def add_zone(self, name: str, **rows: list[str]) -> ZoneServer:
        """
        Serve the zone *name* with the records *rows* at its apex.
        """
        return self.dns.zone(name, {name: dict(rows)})

    def free_address(self) -> tuple[str, int]:
        """
        Return the address of an additional name server.
        """
        self._name_servers += 1
        return f"127.0.0.{40 + self._name_servers}", self.dns.resolver.address[1]

    def updated_zone(self, *lines: str, beside: bool = False) -> Bind:
        """
        Serve `shop.org` from a BIND that accepts updates. The CA queries TXT records there.

        Args:
            lines: Additional records of the zone, in the format of zone files.
            beside: Whether the first name server also serves the zone, without the updates.
        """
        port, rows = self.dns.resolver.address[1], self.dns.resolver.rows
        servers = {f"ns1.{NAME}": self.zone.host if beside else UPDATED}
        if beside:
            servers[f"ns2.{NAME}"] = UPDATED
        glue = [f"{server}. A {address}" for server, address in servers.items()]
        soa = [f"ns1.{NAME}. hostmaster.{NAME}. 1 3600 600 86400 60"]
        for table in (rows, self.zone.rows):
            table[NAME] = {**table.get(NAME, {}), "SOA": soa, "NS": list(servers)}
            table.update({server: {"A": [address]} for server, address in servers.items()})
        zones = {NAME: [*glue, *lines]}
        server = Bind(self.directory / "bind", (UPDATED, port), zones, servers=list(servers))
        return self.stack.enter_context(server)

    def sign(self, *, ended: timedelta = -LIFETIME / 2, stale: bool = False) -> None:
        """
        Sign the zone, and use a resolver that verifies signatures.

        Args:
            ended: The time since the end of the signatures. A negative value is the time until their end.
            stale: Whether the registry has the DS record of an old key.
        """
        server, registry = f"ns1.{NAME}", self.add_zone("org")
        rows = {NAME: {**self.rows, "NS": [server]}, server: {"A": [self.zone.host]}}
        zone = SignedZone(NAME, rows, ended=ended)
        ds = (SignedZone(NAME, rows) if stale else zone).ds
        above = SignedZone(
            "org",
            {
                "org": {"NS": ["ns1.org"]},
                "ns1.org": {"A": [registry.host]},
                NAME: {"NS": [server], "DS": [ds]},
            },
        )
        self.zone.signed, registry.signed = zone, above
        served = {"org": registry.address, NAME: self.zone.address}
        address = VALIDATING, self.zone.address[1]
        self.stack.enter_context(validating(self.directory, address, above, served))
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
