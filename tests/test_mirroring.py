"""
Tests of `certworker mirror` as a process: the certificates of a worker on another volume.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from redis import Redis

from certworker.mirroring import RECENT, _mark_running, _publish_recent
from certworker.replication.sealing import ReplicationKeys
from certworker.replication.stream import BEGINNING
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import stored_in
from certworker.traefik.config import TraefikConfig
from certworker.validity import now_in_utc
from tests.app_fixture import environment
from tests.certificate_builder import Wanted, key_pem
from tests.memory import in_memory
from tests.replication.hosts import Mirror, Origin, files_of
from tests.servers.development import ChallengeServer
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess, wait_until
from tests.test_crashes import Site, orders

#: An idle machine needs a tenth of this limit.
pytestmark = pytest.mark.timeout(400)

NAME, OTHER = "shop.localhost", "www.localhost"

#: The mirror changes files at least this many times in the crash test.
FEWEST_STEPS = 20
MOST_STEPS = 120


class Hosts:
    """
    A worker and a mirror, each with its own volumes.
    """

    def __init__(self, place: Path, url: str, redis_port: int, http_port: int) -> None:
        self.place = place
        self.common = {
            "_APP_REDIS_HOST": "127.0.0.1",
            "_APP_REDIS_PORT": str(redis_port),
            "CERTWORKER_PROXY_ADDRESS": "off",
            "CERTWORKER_REPLICATION_KEY": ReplicationKeys.generate(),
        }
        self.url, self.http_port = url, http_port
        self.worker = self.process("worker", http_port)
        self.mirror = self.process("mirror", free_port())
        self.mirror.program = ["certworker", "mirror"]

    def process(self, host: str, port: int) -> WorkerProcess:
        """
        Return a worker with its own volumes, whose HTTP server has this *port*.
        """
        directory = self.place / host
        # The volume is not new, so that the worker does not wait for the reports of others.
        (directory / "certificates" / ".certworker").mkdir(parents=True)
        (directory / "certificates" / ".certworker" / "position").symlink_to(BEGINNING)
        variables = environment(directory, self.url, port, **self.common)
        return WorkerProcess(
            variables | {"CERTWORKER_HTTP01_PORT": str(self.http_port)}, self.place / f"{host}.log"
        )

    def add_worker(self, host: str) -> WorkerProcess:
        """
        Return another worker with its own volumes.
        """
        return self.process(host, free_port())

    def account_keys(self) -> tuple[set[bytes], list[bytes]]:
        """
        Return the different account keys of all hosts, and all account keys.
        """
        found = [path.read_bytes() for path in self.place.glob("*/state/accounts/*/key.pem")]
        return set(found), found

    def store(self, host: str) -> CertificateStore:
        """
        Return the volume of *host*.
        """
        return CertificateStore(self.place / host / "certificates")

    def traefik(self, host: str) -> TraefikConfig:
        """
        Return the configuration of the proxy of *host*.
        """
        return TraefikConfig(self.place / host / "config")

    def wait_for(self, name: str, host: str = "mirror") -> None:
        """
        Wait until *host* serves the same files for *name* as the worker.
        """

        def is_same() -> bool | None:
            stores = self.store("worker"), self.store(host)
            return (
                all(store.links.generation(name) for store in stores)
                and files_of(stores[0], name) == files_of(stores[1], name)
                and self.traefik(host).files(name) is not None
            ) or None

        wait_until(is_same, lambda: f"{host} does not serve {name}:\n{self.mirror.log}\n{self.worker.log}")

    def request(self, *names: str) -> None:
        """
        Request certificates, and wait for them.
        """
        ended = self.worker.command("request", *names, "--wait")
        assert 0 == ended.returncode, ended.stdout + ended.stderr + self.worker.log


@contextmanager
def running(hosts: Hosts) -> Iterator[Hosts]:
    """
    Run the worker and the mirror.
    """
    with ExitStack() as stack:
        stack.enter_context(hosts.worker)
        stack.enter_context(hosts.mirror)
        hosts.worker.wait_for_line("ready")
        hosts.mirror.wait_for_line("ready")
        yield hosts


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """
    Return a directory in memory, because the processes sync thousands of files.
    """
    with in_memory(tmp_path) as memory:
        yield memory


@pytest.fixture
def hosts(tmp_path: Path, app_authority: FaultyAuthority, own_redis: RedisServer, http_port: int) -> Hosts:
    """
    Return a worker and a mirror that do not run yet.
    """
    (tmp_path / "hosts").mkdir()
    return Hosts(tmp_path / "hosts", app_authority.directory_url, own_redis.port, http_port)


def test_a_mirror_serves_what_a_worker_issues(hosts: Hosts, tmp_path: Path) -> None:
    """
    An issuance, a renewal and a removal reach the mirror. The mirror is healthy, and ends on SIGTERM.
    """
    hook = tmp_path / "hook"
    hook.write_text(f'#!/bin/sh\necho "$CERTWORKER_DOMAIN $CERTWORKER_FULLCHAIN" >> {tmp_path}/hooked\n')
    hook.chmod(0o755)
    hosts.mirror.environment["CERTWORKER_DEPLOY_HOOK"] = str(hook)
    with running(hosts):
        hosts.request(NAME)
        hosts.wait_for(NAME)
        before = files_of(hosts.store("mirror"), NAME)
        hosts.worker.command("request", "--force", NAME, "--wait")
        hosts.wait_for(NAME)
        assert before != files_of(hosts.store("mirror"), NAME)
        wait_until(
            lambda: (tmp_path / "hooked").exists() or None,
            lambda: f"the deploy hook did not run:\n{hosts.mirror.log}",
        )
        hosts.worker.command("remove", NAME, "--wait")
        wait_until(
            lambda: [] == list(hosts.store("mirror").names()) or None,
            lambda: f"the name was not removed:\n{hosts.mirror.log}",
        )
        assert hosts.traefik("mirror").files(NAME) is None

        status, body = hosts.mirror.get("/healthz")
        assert (200, True) == (status, json.loads(body)["healthy"])

        def reports() -> list[tuple[str, int, bool, str]]:
            shown = hosts.worker.command("status", "--nodes", "--json").stdout.splitlines()
            return sorted((n["role"], n["names"], n["away"], n["code"]) for n in map(json.loads, shown))

        # Each host reports after the entry of the removal.
        expected = [("mirror", 0, False, ""), ("worker", 0, False, "")]
        wait_until(lambda: expected == reports() or None, lambda: str(reports()))
        metrics = hosts.mirror.get("/metrics")[1]
        assert "certworker_replication_missing_names 0.0" in metrics
        assert 'certworker_replication_bundles_total{outcome="stored"} 2.0' in metrics
        assert 'certworker_replication_bundles_total{outcome="removed"} 1.0' in metrics
        assert 0 == hosts.mirror.terminate()
    assert not (hosts.place / "mirror" / "state" / "accounts").exists()
    assert "Traceback" not in hosts.mirror.log + hosts.worker.log


def test_a_killed_mirror_continues_where_it_was(hosts: Hosts) -> None:
    """
    What is published while the mirror is away arrives after its start.
    """
    with running(hosts):
        hosts.request(NAME)
        hosts.wait_for(NAME)
        hosts.mirror.kill()
        hosts.request(OTHER)
        hosts.worker.command("remove", NAME, "--wait")
        hosts.mirror.start()
        hosts.wait_for(OTHER)
        wait_until(
            lambda: [OTHER] == list(hosts.store("mirror").names()) or None,
            lambda: f"the name was not removed:\n{hosts.mirror.log}",
        )


def test_a_mirror_logs_an_outage_of_redis(hosts: Hosts, own_redis: RedisServer) -> None:
    """
    The log has the reason and the remedy once, and the end of the outage. The mirror is unhealthy meanwhile.
    """
    with hosts.mirror:
        hosts.mirror.wait_for_line("ready")
        own_redis.kill()
        line = hosts.mirror.wait_for_line(r"redis\.unreachable")
        assert "CERTWORKER_REDIS_URL: " in line
        wait_until(lambda: 503 == hosts.mirror.get("/healthz")[0] or None, lambda: hosts.mirror.log)
        own_redis.start()
        hosts.mirror.wait_for_line("is available again")

    assert 1 == hosts.mirror.log.count("[redis.unreachable]")


def test_a_mirror_with_another_key_reports_it(hosts: Hosts) -> None:
    """
    The log has the code, and the mirror serves what it had.
    """
    with running(hosts):
        hosts.request(NAME)
        hosts.wait_for(NAME)
        hosts.mirror.kill()
        hosts.mirror.environment["CERTWORKER_REPLICATION_KEY"] = ReplicationKeys.generate()
        hosts.mirror.start()
        hosts.request(OTHER)

        line = hosts.mirror.wait_for_line(r"replication\.wrong_key")
        wait_until(
            lambda: "replication.wrong_key" in hosts.worker.command("status", "--nodes").stdout or None,
            lambda: hosts.worker.command("status", "--nodes").stdout,
        )
        assert "CERTWORKER_REPLICATION_KEY" in line
        assert [NAME] == list(hosts.store("mirror").names())


def test_the_mirror_answers_the_challenges_of_the_worker(hosts: Hosts) -> None:
    """
    The CA reaches only the mirror, which has no account key.
    """
    hosts.mirror = hosts.process("front", hosts.http_port)
    hosts.mirror.program = ["certworker", "mirror"]
    hosts.worker = hosts.process("back", free_port())
    with running(hosts):
        hosts.request(NAME)
    assert [] == list((hosts.place / "front").rglob("key.pem"))


def test_what_redis_lost_arrives_by_comparison(hosts: Hosts, own_redis: RedisServer) -> None:
    """
    Redis is emptied while the mirror is away. After its start, the mirror has all changes.
    """
    with running(hosts):
        hosts.request(NAME)
        hosts.wait_for(NAME)
        hosts.mirror.kill()
        hosts.request(OTHER)
        hosts.worker.command("remove", NAME, "--wait")
        with own_redis.client() as connection:
            connection.flushall()
        hosts.mirror.start()
        hosts.wait_for(OTHER)
        wait_until(
            lambda: [OTHER] == list(hosts.store("mirror").names()) or None,
            lambda: f"the name was not removed:\n{hosts.mirror.log}",
        )


def test_a_second_worker_continues_after_the_loss_of_the_first(
    hosts: Hosts, app_authority: FaultyAuthority
) -> None:
    """
    Both workers have all certificates and one account. After the loss of one host, the other one orders only
    new names.
    """
    second = hosts.add_worker("second")
    with running(hosts), second:
        second.wait_for_line("ready")
        hosts.request(NAME)
        hosts.wait_for(NAME, "second")
        wait_until(
            lambda: [1, 2] == [len(keys) for keys in hosts.account_keys()] or None,
            lambda: f"no account:\n{second.log}",
        )
        hosts.worker.kill()
        before = orders(app_authority), orders(app_authority, "newAccount")

        with ChallengeServer(hosts.place / "second" / "certificates", hosts.http_port):
            for name in (NAME, OTHER):
                ended = second.command("request", name, "--wait")
                assert 0 == ended.returncode, ended.stdout + ended.stderr + second.log
        second.command("remove", NAME, "--wait")

        assert 1 == len(orders(app_authority) - before[0])
        assert before[1] == orders(app_authority, "newAccount")
        wait_until(
            lambda: [OTHER] == list(hosts.store("mirror").names()) or None,
            lambda: f"the mirror does not follow:\n{hosts.mirror.log}",
        )


def test_an_import_on_one_host_is_served_by_all(hosts: Hosts) -> None:
    """
    The worker of another host may take the job of an import. It orders nothing.
    """
    signed = Wanted([NAME]).sign()
    file = hosts.place / "own.pem"
    file.write_bytes(signed.pem + key_pem(signed.key) + signed.chain)
    second = hosts.add_worker("second")
    with running(hosts), second:
        second.wait_for_line("ready")
        hosts.worker.terminate()
        ended = hosts.worker.command("import", NAME, "--cert", str(file), "--key", str(file), "--wait")
        assert 0 == ended.returncode, ended.stdout + ended.stderr + second.log
        hosts.wait_for(NAME)
    metadata = hosts.store("second").metadata(NAME)
    assert metadata is not None
    assert metadata.is_imported


def test_after_a_kill_the_recent_certificates_are_published_again(tmp_path: Path, mirror: Mirror) -> None:
    """
    After a kill, the next mirror follows up on the last certificates. After SIGTERM, it does not.
    """
    origin, now, again = Origin(tmp_path / "origin", mirror.connection), now_in_utc(), list[Sequence[str]]()
    origin.issue(NAME, OTHER, token=1)
    origin.issue("old.localhost", token=2)
    mirror.follow()
    generation = mirror.store.links.generation("old.localhost")
    assert generation is not None
    os.utime(generation, times=((now - 2 * RECENT).timestamp(),) * 2)
    killed = ExitStack()

    assert not _mark_running(mirror.store, killed)
    assert _mark_running(mirror.store, killed)
    _publish_recent(mirror.store, again.append, now)
    assert [[NAME, OTHER]] == [sorted(names) for names in again]
    killed.close()
    assert not _mark_running(mirror.store, ExitStack())
    unusable = CertificateStore(tmp_path / "file")
    (tmp_path / "file").touch()
    with ExitStack() as stack:
        assert not _mark_running(unusable, stack)


@pytest.fixture
def site(tmp_path: Path, redis_server: RedisServer, app_authority: FaultyAuthority, mirror: Mirror) -> Site:
    """
    Return the volumes of the mirrors that are killed.
    """
    redis = {"_APP_REDIS_HOST": "127.0.0.1", "_APP_REDIS_PORT": str(redis_server.port)}
    environ = environment(tmp_path, app_authority.directory_url, free_port()) | redis
    return Site(environ, mirror.connection, action="mirror")


@pytest.fixture
def mirror(tmp_path: Path, connection: Redis) -> Mirror:
    """
    Return a mirror, whose connection the others share.
    """
    return Mirror(tmp_path / "first", connection)


def test_at_every_step_a_killed_mirror_serves_whole_pairs(site: Site, tmp_path: Path, mirror: Mirror) -> None:
    """
    After SIGKILL at any step, the proxy's file names the old pair or the new one. The next start finishes.
    """
    origin = Origin(tmp_path / "origin", site.connection)
    origin.issue(NAME, token=1)
    origin.issue(OTHER, token=2)
    volumes = {
        name: Path(site.environ["CERTWORKER_CERTIFICATES_DIR"], name)
        for name in (f"n{step}.localhost" for step in ("", *range(MOST_STEPS)))
    }
    for volume in volumes.values():
        Mirror(volume, site.connection).follow()
    renewed = origin.issue(NAME, token=3)
    origin.store.remove(OTHER)

    with site.victims(signal.SIGKILL) as killed:
        killed.wait()

    assert FEWEST_STEPS <= len(killed.names) <= MOST_STEPS
    serials = set()
    for name in killed.names:
        again = Mirror(volumes[name], site.connection)
        files = again.traefik.files(NAME)
        assert files is not None
        found = stored_in(files[0].parent, NAME)
        assert found is not None
        serials.add(found.metadata.serial)
        again.follow()
        assert again.serves(NAME, renewed)
        assert [NAME] == list(again.store.names()) == again.store.links.live()
        assert again.traefik.files(OTHER) is None
    assert 2 == len(serials)
