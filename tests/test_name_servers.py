"""
Wildcards that Pebble validates by DNS-01, with real name servers, a real resolver and a complete app.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from redis import Redis

from certworker.app import App
from certworker.dns01.txt_records import RECORDS
from certworker.domains.wildcard import file_name
from certworker.errors.dns01 import NotVisible
from certworker.worker.producer import request_certificate
from tests.app_fixture import environment, open_app
from tests.servers.bind import HERE, KEY, Bind
from tests.servers.development import development_authority
from tests.servers.pebble import Pebble
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.unbound import Unbound
from tests.servers.worker import PATIENCE_SECONDS, WorkerProcess, wait_until

ZONE = "shop.org"
WILDCARD = f"*.{ZONE}"
CHALLENGE = f"_acme-challenge.{ZONE}"

#: A zone of private names. Pebble queries no registry above it for CAA records.
MANY = "many.localhost"

#: The TXT value of another program.
OTHERS = "not-of-certworker"

#: The time limit of 50 orders with two workers, on two cores beside other tests.
LONGEST_SECONDS = 180.0

#: The addresses of the servers, which all use the same port.
RESOLVER, FIRST, SECOND, THIRD = (f"127.0.0.{number}" for number in (53, 61, 62, 63))

#: The resolver does not verify signatures. It has a zone of the registry without CAA records.
OPTIONS = (
    'module-config: "iterator"',
    'local-zone: "org." transparent',
    'local-data: "org. SOA a.nic.org. root.nic.org. 1 3600 600 86400 60"',
)


class NameServers:
    """
    Real name servers, and the resolver that certworker and Pebble use.
    """

    def __init__(self, directory: Path, connection: Redis, stack: ExitStack) -> None:
        self._directory = directory
        self._connection = connection
        self._stack = stack
        self._stubs: dict[str, str] = {}
        self.port = free_port()

    def bind(
        self,
        host: str,
        zone: str,
        lines: Sequence[str] = (),
        *,
        servers: Sequence[str] = (),
        primary: Bind | None = None,
    ) -> Bind:
        """
        Serve *zone* at *host*. The resolver uses the newest server of each zone.
        """
        directory, address = self._directory / f"bind-{host}", (host, self.port)
        if primary:
            server = Bind(directory, address, [zone], primary=primary.address)
        else:
            server = Bind(directory, address, {zone: lines}, servers=servers)
        self._stubs[zone] = f"{host}@{self.port}"
        return self._stack.enter_context(server)

    def pair(self) -> tuple[Bind, Bind]:
        """
        Serve the zone from a primary and a slow secondary. The resolver, and therefore the CA, queries the
        secondary.
        """
        names = (f"ns1.{ZONE}", f"ns2.{ZONE}")
        primary = self.bind(FIRST, ZONE, [f"ns1 A {FIRST}", f"ns2 A {SECOND}"], servers=names)
        return primary, self.bind(SECOND, ZONE, primary=primary)

    @contextmanager
    def app(self, updated: Bind, **variables: str) -> Iterator[App]:
        """
        Start the resolver and Pebble, and open an app that updates the server *updated*.
        """
        resolver = f"{RESOLVER}:{self.port}"
        unbound = Unbound(self._directory, (RESOLVER, self.port), OPTIONS, stubs=self._stubs)
        pebble = Pebble(self._directory / "pebble", resolver=resolver)
        self._stack.callback(pebble.close)
        with unbound:
            pebble.start()
            provider = {
                **provider_at(updated),
                "_APP_DNS": resolver,
                "CERTWORKER_CA_BUNDLE": str(pebble.ca_bundle),
                "CERTWORKER_DNS01_NAMES": "all",
                **variables,
            }
            url = pebble.directory_url
            with open_app(
                self._directory, self._connection, url, pebble.http_port, variables=provider
            ) as app:
                yield app

    def listed(self) -> int:
        """
        Return the number of records in the list of certworker.
        """
        return self._connection.hlen(RECORDS)


@pytest.fixture
def name_servers(tmp_path: Path, connection: Redis) -> Iterator[NameServers]:
    """
    Yield the name servers of a test, and stop them afterwards.
    """
    with ExitStack() as stack:
        yield NameServers(tmp_path, connection, stack)


class TestDelegation:
    def test_a_domain_and_its_wildcard_are_validated_in_a_delegated_zone_behind_a_cname(
        self, name_servers: NameServers, tmp_path: Path
    ) -> None:
        """
        certworker creates the records in the zone to which the CNAME leads, and deletes them afterwards.
        """
        name_servers.bind(FIRST, ZONE, ["_acme-challenge CNAME k1.keys.far.net."])
        name_servers.bind(SECOND, "far.net", ["keys NS ns1.keys", f"ns1.keys A {THIRD}"])
        keys = name_servers.bind(THIRD, "keys.far.net")

        with name_servers.app(keys, CERTWORKER_DNS01_PROVIDER="rfc2136@keys.far.net") as app:
            outcome = app.issuance.issue((ZONE, WILDCARD))

        assert ("issued", (ZONE, WILDCARD)) == (outcome.state, outcome.metadata.names)
        assert (tmp_path / "config" / f"{ZONE}.yml").is_file()
        assert set() == keys.txt("k1.keys.far.net")
        assert 0 == name_servers.listed()


class TestSecondary:
    def test_the_order_waits_for_a_slow_secondary(self, name_servers: NameServers) -> None:
        """
        certworker requests the validation after the secondary, which the CA queries, has the records.
        """
        primary, secondary = name_servers.pair()

        with name_servers.app(primary) as app, ThreadPoolExecutor(1) as pool:
            issued = pool.submit(app.issuance.issue, (ZONE, WILDCARD))
            wait_until(
                lambda: len(primary.txt(CHALLENGE)) == 2 or None, lambda: "the records were not created"
            )
            assert set() == secondary.txt(CHALLENGE)
            wait_until(lambda: has_caught_up(secondary, 2), lambda: "the secondary does not follow")
            outcome = issued.result(PATIENCE_SECONDS)

        assert ("issued", (ZONE, WILDCARD)) == (outcome.state, outcome.metadata.names)
        assert set() == primary.txt(CHALLENGE)
        assert 0 == name_servers.listed()

    def test_a_server_that_is_down_is_named(self, name_servers: NameServers) -> None:
        """
        The failure names the server that is down. certworker requests no validation and leaves no record.
        """
        primary, secondary = name_servers.pair()

        with name_servers.app(primary, CERTWORKER_DNS01_TIMEOUT="1") as app:
            app.dns01.plan(ZONE)
            secondary.kill()
            with pytest.raises(NotVisible) as caught:
                app.issuance.issue((WILDCARD,))

        assert f"ns2.{ZONE}" in caught.value.message
        assert f"ns1.{ZONE}" not in caught.value.message
        assert set() == primary.txt(CHALLENGE)
        assert 0 == name_servers.listed()


@pytest.mark.timeout(300)
class TestTwoWorkers:
    def test_fifty_wildcards_of_one_zone_are_issued_and_the_zone_is_restored(
        self, tmp_path: Path, own_redis: RedisServer
    ) -> None:
        """
        Two workers issue wildcards whose records share one name, and leave the value of another program.
        """
        wildcards = [f"*.t{number}.{MANY}" for number in range(50)]
        lines = [f"_acme-challenge.t{number} CNAME hub" for number in range(50)]
        files = [tmp_path / "config" / f"{file_name(name)}.yml" for name in wildcards]
        logs = [tmp_path / f"worker{number}.log" for number in range(2)]

        def log() -> str:
            return "".join(each.read_text() for each in logs)

        def issued() -> bool | None:
            assert "certificate not issued" not in log(), log()
            return all(file.exists() for file in files) or None

        with (
            Bind(tmp_path / "bind", (HERE, free_port()), {MANY: [*lines, f"hub TXT {OTHERS}"]}) as bind,
            development_authority(tmp_path, dns_server=bind.address) as authority,
            own_redis.client() as connection,
            ExitStack() as stack,
        ):
            for each in logs:
                variables = environment(
                    tmp_path,
                    authority.directory_url,
                    free_port(),
                    _APP_REDIS_HOST=HERE,
                    _APP_REDIS_PORT=str(own_redis.port),
                    CERTWORKER_CONCURRENCY="8",
                    **provider_at(bind),
                )
                stack.enter_context(WorkerProcess(variables, each)).wait_for_line("ready")
            for name in wildcards:
                request_certificate(name, connection=connection)
            wait_until(issued, log, LONGEST_SECONDS)
            wait_until(lambda: connection.hlen(RECORDS) == 0 or None, log)

            assert {OTHERS} == bind.txt(f"hub.{MANY}")
            ordered = [tuple(asked.names) for asked in authority.requests if asked.kind == "newOrder"]
            assert sorted((name,) for name in wildcards) == sorted(ordered)
        assert all("certificate issued" in each.read_text() for each in logs)


def provider_at(server: Bind) -> dict[str, str]:
    """
    Return the settings with which certworker updates *server*, which it also uses as its resolver.
    """
    address = "{}:{}".format(*server.address)
    return {
        "_APP_DNS": address,
        "CERTWORKER_DNS01_PROVIDER": "rfc2136",
        "RFC2136_NAMESERVER": address,
        "RFC2136_TSIG_KEY": KEY.name,
        "RFC2136_TSIG_SECRET": KEY.secret,
    }


def has_caught_up(secondary: Bind, count: int) -> bool | None:
    """
    Update *secondary* from its primary. Return True if it has *count* values, otherwise None.
    """
    secondary.catch_up(ZONE)
    return len(secondary.txt(CHALLENGE)) == count or None
