"""
What SECURITY.md says.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from redis import Redis
from redis.exceptions import NoPermissionError

from certworker.development.authority import DevelopmentAuthority
from certworker.intake.client import client_of
from certworker.intake.queue import request_certificate, request_removal
from certworker.redis_address import RedisAddress
from tests.houses import environment
from tests.intake.appwrite.core import payload, produce, stats
from tests.servers.redis import RedisServer
from tests.servers.secure_redis import SecureRedis
from tests.servers.sentinels import SERVICE, Sentinels
from tests.servers.worker import WorkerProcess, wait_until

TOP = Path(__file__).parents[1]
TEXT = (TOP / "SECURITY.md").read_text()

#: What stands in the place of PASSWORD.
SECRET = "correct-horse"


def rights(user: str) -> list[str]:
    """
    The line of SECURITY.md for *user*, as ACL SETUSER takes it.
    """
    found = re.search(rf"^{user} on .*$", TEXT, re.MULTILINE)
    assert found
    return found[0].replace("PASSWORD", SECRET).split()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RedisServer]:
    """
    A Redis with the users of SECURITY.md.
    """
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis")
    server.start()
    with server.client() as everything:
        for user in ("certworker", "producer"):
            everything.execute_command("ACL", "SETUSER", *rights(user))
    yield server
    server.kill()


class TestClaims:
    def test_each_test_that_is_named_is_there(self) -> None:
        """
        A claim whose test has gone is a hope.
        """
        named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", TEXT)

        assert len(named) > 30
        for path, test in named:
            tree = ast.parse((TOP / path).read_text())
            assert test in {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}, test

    def test_no_claim_stands_without_one(self) -> None:
        """
        But those of the section that says what is not there.
        """
        claims, _, _ = TEXT.partition("## What is not there")
        for claim in re.findall(r"^\* .*(?:\n  .*)*", claims, re.MULTILINE):
            assert "`tests/" in claim, claim


class TestRights:
    def test_the_rights_of_the_worker_are_enough_and_no_more(
        self, tmp_path: Path, guarded: RedisServer, door_authority: DevelopmentAuthority, http_port: int
    ) -> None:
        """
        Redis itself says what it had to refuse.
        """
        access = {"_APP_REDIS_USER": "certworker", "_APP_REDIS_PASS": SECRET}
        variables = environment(
            tmp_path,
            door_authority.directory_url,
            http_port,
            _APP_DOMAIN="main.localhost",
            _APP_REDIS_HOST="127.0.0.1",
            _APP_REDIS_PORT=str(guarded.port),
            CERTWORKER_APPWRITE="on",
            **access,
        )
        with guarded.client() as everything, WorkerProcess(variables, tmp_path / "log") as worker:
            worker.wait_for_line("main.localhost: DONE")
            produce(guarded, payload("shop.localhost", skipRenewCheck=True))
            worker.wait_for_line("shop.localhost: force asked for through the queue by: Appwrite's core")
            worker.wait_for_line("shop.localhost: DONE")
            wait_until(lambda: stats(everything)["success"] or None, lambda: worker.log)
            request_certificate("main.localhost", force=True, connection=everything)
            wait_until(lambda: worker.log.count("main.localhost: DONE") == 2 or None, lambda: worker.log)
            request_removal("shop.localhost", connection=everything)
            worker.wait_for_line("shop.localhost: taken out of service")
            assert 0 == worker.command("status", "main.localhost").returncode
            assert 0 == worker.terminate()

            assert {"config|get"} >= {str(refused["object"]) for refused in everything.acl_log()}
            everything.set("of:others", "1")
        with Redis(port=guarded.port, username="certworker", password=SECRET) as own:
            for refused in ("GET of:others", "FLUSHALL", "CONFIG GET dir", "ACL LIST", "KEYS *"):
                with pytest.raises(NoPermissionError):
                    own.execute_command(*refused.split())

    def test_over_tls_they_are_enough_as_well(
        self, tmp_path: Path, door_authority: DevelopmentAuthority, http_port: int
    ) -> None:
        """
        Redis has no other port than that of TLS, and wants a certificate of ours.
        """
        server = SecureRedis(tmp_path / "redis")
        server.start("--tls-auth-clients", "yes")
        with server.client() as everything:
            for user in ("certworker", "producer"):
                everything.execute_command("ACL", "SETUSER", *rights(user))
            everything.config_set("port", "0")
        ours = {"ssl_certfile": server.certificate, "ssl_keyfile": server.key}
        url = server.secure_url(**ours).replace(server.access, f"certworker:{SECRET}")
        variables = environment(
            tmp_path,
            door_authority.directory_url,
            http_port,
            _APP_DOMAIN="main.localhost",
            CERTWORKER_REDIS_URL=url,
        )
        try:
            with WorkerProcess(variables, tmp_path / "log") as worker:
                worker.wait_for_line("main.localhost: DONE")
                worker.environment["CERTWORKER_REDIS_URL"] = url.replace("certworker:", "producer:")
                assert 0 == worker.command("request", "shop.localhost").returncode
                worker.wait_for_line("shop.localhost: DONE")
                assert 0 == worker.terminate()
                assert SECRET not in worker.log
        finally:
            server.kill()

    def test_the_right_to_ask_a_sentinel_is_enough_and_no_more(self, tmp_path: Path) -> None:
        """
        Whoever may do more there could make another Redis the primary.
        """
        sentinels = Sentinels(tmp_path, sentinel_password="of-the-administrator")
        sentinels.start()
        try:
            for port in sentinels.ports:
                with sentinels.sentinel(port) as administrator:
                    administrator.execute_command("ACL", "SETUSER", *rights("certworker-asks"))
            access = f"sentinel_username=certworker-asks&sentinel_password={SECRET}"
            url = f"redis+sentinel://{sentinels.hosts}/{SERVICE}?{access}"
            with client_of(RedisAddress.parse(url)) as connection:
                assert sentinels.primary.port == connection.info("server")["tcp_port"]
            with Redis(port=sentinels.ports[0], username="certworker-asks", password=SECRET) as own:
                for refused in (f"SENTINEL FAILOVER {SERVICE}", "SENTINEL RESET *", "ACL LIST", "INFO"):
                    with pytest.raises(NoPermissionError):
                        own.execute_command(*refused.split())
        finally:
            sentinels.kill()

    def test_the_rights_of_the_producer_are_enough_and_no_more(self, guarded: RedisServer) -> None:
        """
        A web application that was broken into reads no challenge and drops no queue.
        """
        with Redis(port=guarded.port, username="producer", password=SECRET) as own:
            request_certificate("a.example.org", connection=own)
            for refused in ("HGETALL certworker:challenges", "HGETALL rq:job:look", "FLUSHALL", "KEYS *"):
                with pytest.raises(NoPermissionError):
                    own.execute_command(*refused.split())
        with guarded.client() as everything:
            assert 1 == everything.llen("rq:queue:certificates")


class TestRoutes:
    def test_no_route_leads_to_the_metrics(self) -> None:
        """
        They name how many domains there are, and how their jobs end.
        """
        routers = yaml.safe_load((TOP / "traefik" / "acme-challenge.yml").read_text())["http"]["routers"]

        assert [
            "PathPrefix(`/.well-known/acme-challenge/`)" in each["rule"] for each in routers.values()
        ] == [True]
