"""
The statements of SECURITY.md.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from certworker.redis.client import connect
from certworker.redis.keys import kind_of
from certworker.redis.url import RedisURL
from certworker.state.wake_ups import SCHEDULED_KEY
from certworker.worker.producer import QUEUE_KEY, request_certificate, request_removal
from tests.app_fixture import environment
from tests.integrations.appwrite.core import payload, produce, stats
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.secure_redis import SecureRedis
from tests.servers.sentinels import SERVICE, Sentinels
from tests.servers.worker import WorkerProcess, wait_until
from tests.worker.sample_tasks import end_of, eventually, worker_thread

TOP = Path(__file__).parents[1]
TEXT = (TOP / "SECURITY.md").read_text()
GUIDE = (TOP / "docs" / "guides" / "redis.md").read_text()

#: Commands that redis-py sends and does not need. Redis before 7.2 does not have them.
UNNEEDED = {"client|setinfo"}

#: The command of Redis for each method of redis-py with another name.
RENAMED = {
    "delete": "del",
    "hscan_iter": "hscan",
    "sscan_iter": "sscan",
    "zscan_iter": "zscan",
    "scan_iter": "scan",
    "config_get": "config",
}

#: A second producer.
SHOP = "shop"

#: The value of PASSWORD in the guide.
SECRET = "correct-horse"


def rights(user: str) -> list[str]:
    """
    Return the line of the guide for *user*, in the format of ACL SETUSER. Any other name is a producer.
    """
    lines = dict(re.findall(r"^([\w-]+) (on .*)$", GUIDE, re.MULTILINE))
    line = lines.get(user) or lines["producer"].replace("producer", user)
    return [user, *line.replace("PASSWORD", SECRET).split()]


def refused_by(everything: Redis) -> set[str]:
    """
    Return the commands and keys that Redis denied.
    """
    return {str(refused["object"]) for refused in everything.acl_log()}


def unknown_keys(everything: Any) -> dict[str, bytes]:
    """
    Return the type of each key that is not in the table of all keys, or has another type there.
    """
    types = {key.decode(): everything.type(key) for key in everything.scan_iter()}
    kinds = {key: kind_of(key) for key in types}
    return {key: of for key, of in types.items() if (kind := kinds[key]) is None or kind.type != of.decode()}


def as_user(server: RedisServer, user: str) -> Redis:
    """
    Return a connection as *user*.
    """
    return Redis(port=server.port, username=user, password=SECRET)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RedisServer]:
    """
    Start a Redis with the users of the guide, including two producers.
    """
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis")
    server.start()
    with server.client() as everything:
        for user in ("certworker", "producer", SHOP):
            everything.execute_command("ACL", "SETUSER", *rights(user))
    yield server
    server.kill()


class TestStatements:
    def test_each_test_exists(self) -> None:
        """
        Each test that the page names exists.
        """
        named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", TEXT)

        assert len(named) > 30
        for path, test in named:
            tree = ast.parse((TOP / path).read_text())
            assert test in {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}, test

    def test_each_statement_has_its_test(self) -> None:
        """
        Each statement before the last section ends with the name of a test.
        """
        statements, _, unprotected = TEXT.partition("## No protection")
        listed = re.findall(r"^\* .*(?:\n  .*)*", statements, re.MULTILINE)

        assert "* " in unprotected
        assert len(listed) > 50
        assert [] == [each for each in listed if not each.endswith("`") or "`tests/" not in each]


class TestRights:
    def test_the_rights_of_the_worker_are_enough_and_no_more(
        self, tmp_path: Path, guarded: RedisServer, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        Redis denies the worker no command and no key, and the rights have no unused command.
        """
        access = {"_APP_REDIS_USER": "certworker", "_APP_REDIS_PASS": SECRET}
        variables = environment(
            tmp_path,
            app_authority.directory_url,
            http_port,
            _APP_DOMAIN="main.localhost",
            _APP_REDIS_HOST="127.0.0.1",
            _APP_REDIS_PORT=str(guarded.port),
            CERTWORKER_APPWRITE="on",
            **access,
        )
        with guarded.client() as everything, WorkerProcess(variables, tmp_path / "log") as worker:
            worker.wait_for_line("main.localhost: certificate issued")
            produce(guarded, payload("shop.localhost", skipRenewCheck=True))
            worker.wait_for_line("shop.localhost: forced issuance requested by Appwrite's core")
            worker.wait_for_line("shop.localhost: certificate issued")
            wait_until(lambda: stats(everything)["success"] or None, lambda: worker.log)
            request_certificate("main.localhost", force=True, connection=everything)
            wait_until(
                lambda: worker.log.count("main.localhost: certificate issued") == 2 or None,
                lambda: worker.log,
            )
            request_removal("shop.localhost", connection=everything)
            worker.wait_for_line("shop.localhost: taken out of service")
            assert 0 == worker.command("status", "main.localhost").returncode
            assert 0 == worker.terminate()

            assert {"config|get"} >= refused_by(everything)
            assert {} == unknown_keys(everything)
            everything.set("of:others", "1")
        with Redis(port=guarded.port, username="certworker", password=SECRET) as own:
            for refused in ("GET of:others", "FLUSHALL", "CONFIG GET dir", "ACL LIST", "KEYS *"):
                with pytest.raises(NoPermissionError):
                    own.execute_command(*refused.split())

    def test_the_rights_are_enough_for_the_page(
        self, tmp_path: Path, guarded: RedisServer, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        Redis denies the page, the API and the view of the queue nothing.
        """
        port = free_port()
        variables = environment(
            tmp_path,
            app_authority.directory_url,
            http_port,
            _APP_DOMAIN="main.localhost",
            _APP_REDIS_HOST="127.0.0.1",
            _APP_REDIS_PORT=str(guarded.port),
            _APP_REDIS_USER="certworker",
            _APP_REDIS_PASS=SECRET,
            CERTWORKER_WEB_ADDRESS=f"127.0.0.1:{port}",
        )
        with guarded.client() as everything, WorkerProcess(variables, tmp_path / "log") as worker:
            worker.wait_for_line("main.localhost: certificate issued")
            token = worker.command("token", "create", "--role", "admin").stdout.strip()
            job = request_certificate("main.localhost", connection=everything)
            reads = [
                *(
                    "/",
                    "/names",
                    "/names/main.localhost",
                    "/api/v1/summary",
                    "/api/v1/names",
                    "/api/v1/limits",
                ),
                *(
                    "/api/v1/workers",
                    "/api/v1/names/main.localhost/history",
                    "/queue/",
                    "/queue/0/view/workers",
                ),
                *("/queue/0/data/queues.json", "/queue/0/data/workers.json", f"/queue/0/data/job/{job}.json"),
            ]
            actions = ["/api/v1/names/main.localhost/renew", "/api/v1/names/main.localhost/retry"]
            page = HTTPConnection("127.0.0.1", port, timeout=60)
            statuses = {}
            for method, paths in (("GET", reads), ("POST", actions)):
                for path in paths:
                    page.request(method, path, headers={"Authorization": f"Bearer {token}"})
                    response = page.getresponse()
                    response.read()
                    statuses[path] = response.status
            page.close()

            assert {200, 202} >= set(statuses.values()), statuses
            assert {"config|get"} >= refused_by(everything)

    def test_each_command_of_the_code_is_allowed(self, connection: Redis) -> None:
        """
        The rights include each command of the code, in scripts and as methods, even if no test run uses it.
        """
        granted = {right[1:].partition("|")[0] for right in rights("certworker") if right.startswith("+")}
        commands = {str(name).lower() for name in connection.command()}
        for path in (TOP / "certworker").rglob("*.py"):
            if "development" in path.parts:
                continue
            text = path.read_text()
            used = {name.lower() for name in re.findall(r"redis\.p?call\('(\w+)'", text)}
            methods = re.findall(r"\b_?(?:connection|pipe|pipeline|impatient)\.([a-z_]+)\(", text)
            if "from redis" in text:  # In other modules, `connection` is a socket.
                used |= {RENAMED.get(name, name) for name in methods} & commands

            assert used - granted <= {"config"}, path

    def test_the_rights_are_enough_over_tls(
        self, tmp_path: Path, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        The rights are enough for a Redis that has only a TLS port and requires a client certificate.
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
            app_authority.directory_url,
            http_port,
            _APP_DOMAIN="main.localhost",
            CERTWORKER_REDIS_URL=url,
        )
        try:
            with WorkerProcess(variables, tmp_path / "log") as worker:
                worker.wait_for_line("main.localhost: certificate issued")
                worker.environment["CERTWORKER_REDIS_URL"] = url.replace("certworker:", "producer:")
                assert 0 == worker.command("request", "shop.localhost").returncode
                worker.wait_for_line("shop.localhost: certificate issued")
                assert 0 == worker.terminate()
                assert SECRET not in worker.log
        finally:
            server.kill()

    def test_the_rights_at_a_sentinel_are_enough_and_no_more(self, tmp_path: Path) -> None:
        """
        The Sentinel denies the worker all other commands, which could change the primary.
        """
        sentinels = Sentinels(tmp_path, sentinel_password="of-the-administrator")
        sentinels.start()
        try:
            for port in sentinels.ports:
                with sentinels.sentinel(port) as administrator:
                    administrator.execute_command("ACL", "SETUSER", *rights("certworker-asks"))
            access = f"sentinel_username=certworker-asks&sentinel_password={SECRET}"
            url = f"redis+sentinel://{sentinels.hosts}/{SERVICE}?{access}"
            with connect(RedisURL.parse(url)) as connection:
                assert sentinels.primary.port == connection.info("server")["tcp_port"]
            with Redis(port=sentinels.ports[0], username="certworker-asks", password=SECRET) as own:
                for refused in (f"SENTINEL FAILOVER {SERVICE}", "SENTINEL RESET *", "ACL LIST", "INFO"):
                    with pytest.raises(NoPermissionError):
                        own.execute_command(*refused.split())
        finally:
            sentinels.kill()


class TestProducers:
    def test_the_rights_of_a_producer_are_enough(self, guarded: RedisServer) -> None:
        """
        Redis denies nothing to a producer that requests a certificate twice and reads the result of the job.
        """
        with as_user(guarded, SHOP) as shop, guarded.client() as everything:
            job_id = request_certificate("a.example.org", connection=shop)
            assert job_id == request_certificate("a.example.org", connection=shop)
            assert 1 == everything.llen(QUEUE_KEY)

            with worker_thread(everything):
                assert ("finished", {"state": "issued", "names": ["a.example.org"]}) == end_of(shop, job_id)
            assert job_id == request_certificate("a.example.org", connection=shop)

            assert 1 == everything.llen(QUEUE_KEY)
            assert UNNEEDED >= refused_by(everything)

    def test_a_producer_does_not_reach_the_jobs_of_another(self, guarded: RedisServer) -> None:
        """
        The same request of two producers is two jobs, and Redis denies each producer the job of the other.
        """
        with as_user(guarded, "producer") as own, as_user(guarded, SHOP) as shop:
            job_id = request_certificate("a.example.org", by="Jane Doe", connection=own)
            assert job_id != request_certificate("a.example.org", connection=shop)

            for refused in (
                f"HGET rq:job:{job_id} data",
                f"HSET rq:job:{job_id} data x",
                f"DEL rq:job:{job_id}",
                f"EXPIRE rq:job:{job_id} 0",
                f"XREVRANGE rq:results:{job_id} + -",
                f"LREM {QUEUE_KEY} 0 {job_id}",
            ):
                with pytest.raises(NoPermissionError):
                    shop.execute_command(*refused.split())

    def test_a_producer_has_no_other_commands(self, guarded: RedisServer) -> None:
        """
        Of all commands, a producer can run two on the queue and none on the keys of others.
        """
        others = ["rq:job:look-1", "rq:wip:certificates", SCHEDULED_KEY, "certworker:agenda", "x"]
        allowed = {key: set[str]() for key in (QUEUE_KEY, *others)}
        with guarded.client() as everything:
            commands = everything.command_list()
            for command, (key, found), more in product(commands, allowed.items(), range(5)):
                arguments = [key, *["1"] * more]
                if is_allowed(everything, SHOP, command.decode(), *arguments):
                    found.add(command.decode())
            harmless = set.intersection(*allowed.values())
            queue_alone = allowed[QUEUE_KEY] - harmless

            assert {"rpush", "lpos"} == queue_alone
            assert [harmless] * len(others) == [allowed[key] for key in others]
            # These commands have no key, and none of them affects others.
            assert {"ping", "select", "multi", "exec", "unwatch"} >= harmless - CONNECTION
            for script in ("EVAL x 0", "EVALSHA x 0", "FCALL x 0", "SCRIPT LOAD x", "FUNCTION LOAD x"):
                assert not is_allowed(everything, SHOP, *script.split())

    def test_invalid_jobs_of_a_producer_do_not_stop_the_queue(self, guarded: RedisServer) -> None:
        """
        The worker rejects invalid ids, invalid hashes and ids of others, and runs the job of another
        producer.
        """
        with as_user(guarded, "producer") as own, as_user(guarded, SHOP) as shop:
            with guarded.client() as everything:
                everything.set("rq:job:issue-of-another-kind", "text")
            for number, fields in enumerate(FIELDS):
                shop.hset(f"rq:job:issue-shop-{number}", mapping=fields)
                shop.rpush(QUEUE_KEY, f"issue-shop-{number}")
            shop.rpush(QUEUE_KEY, *IDS)
            with guarded.client() as everything, worker_thread(everything, slots=1):
                job_id = request_certificate("a.example.org", connection=own)

                assert ("finished", {"state": "issued", "names": ["a.example.org"]}) == end_of(own, job_id)
                assert eventually(lambda: everything.llen(QUEUE_KEY) == 0)


#: Commands that Redis allows for each user.
CONNECTION = {"auth", "hello", "quit", "reset"}

#: Hashes that only a hostile program writes.
FIELDS: list[dict[Any, Any]] = [
    {"data": b"\xff" * 1_000_000},
    {"data": "[]", "status": "x" * 100_000, "timeout": "-1e400"},
    {b"\xff": b"\xfe"},
    {"status": "started", "data": json.dumps(["certworker.look", None, [], {}]), "abandoned": "inf"},
    {"data": json.dumps(["os.system", None, ["x"], {}]), "success_callback_name": "os.system"},
]

#: Invalid ids, and ids of other jobs.
IDS = ["", "issue-of-another-kind", "../x", b"\xff\xfe", "x" * 1_000_000, "issue-shop-unknown", "look-1"]


def is_allowed(everything: Any, user: str, *command: str) -> bool:
    """
    Return whether Redis allows *command* for *user*. A wrong number of arguments counts as denied.
    """
    try:
        answer = everything.execute_command("ACL", "DRYRUN", user, *command)
    except ResponseError:
        return False
    return answer in (b"OK", "OK")


class TestRoutes:
    def test_no_route_leads_to_the_metrics(self) -> None:
        """
        No route of the proxy leads to the metrics, which contain the number of domains and the results of
        jobs.
        """
        routers = yaml.safe_load((TOP / "traefik" / "acme-challenge.yml").read_text())["http"]["routers"]

        assert [
            "PathPrefix(`/.well-known/acme-challenge/`)" in each["rule"] for each in routers.values()
        ] == [True]
