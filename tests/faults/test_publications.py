"""
Faults after the certificate is on the volume and before its record is in Redis. None needs a second order.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
from redis import Redis

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.ratelimits.budget import BUDGET
from certworker.runtime import build_tasks
from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.config import TraefikConfig
from tests.app_fixture import environment, open_app
from tests.faults.service import NAME, in_service
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess, wait_until
from tests.storage.authority import Signer
from tests.storage.trace import Effect, Trace

#: Limits that no test reaches, so that the budget counts orders and certificates.
LIMITS = {
    "orders_per_account": "300/3h",
    "certificates_per_domain": "50/7d",
    "certificates_per_set": "5/7d",
    "failures_per_name": "5/1h",
}

Obstacle = Callable[["World"], object]


@dataclass
class World:
    """
    An app whose Redis may fail, and the obstacles of a publication.
    """

    app: App
    place: Path
    redis: RedisServer
    authority: FaultyAuthority
    #: The stack whose `close` ends the obstacle.
    stack: ExitStack

    @property
    def generations(self) -> list[str]:
        """
        The generations with a certificate for NAME.
        """
        metas = (self.place / "certificates/.certworker/generations").glob("*/meta.json")
        return [meta.parent.name for meta in metas if NAME in json.loads(meta.read_bytes())["names"]]

    @property
    def asked(self) -> list[str]:
        """
        The kinds of the requests to the CA, without those for renewal information.
        """
        return [asked.kind for asked in self.authority.requests if asked.kind != "renewalInfo"]

    @property
    def counters(self) -> dict[bytes, float]:
        """
        The counters of the budget for orders and certificates.
        """
        with self.redis.client() as connection:
            keys = connection.scan_iter(f"{BUDGET}*")
            counted = [each for key in keys for each in connection.zrange(key, 0, -1, withscores=True)]
        return {name: score for name, score in counted if name.startswith((b"orders", b"domain", b"set"))}

    def on(self, verb: str, path: str, act: Callable[[], object]) -> None:
        """
        Call *act* before each change *verb* of a file whose path begins with *path*.
        """

        def before(effect: Effect) -> None:
            target = str(effect.detail) if verb == "rename" else effect.path
            if effect.verb == verb and target.startswith(path):
                act()

        trace = Trace(self.place)
        trace.before = before
        self.stack.enter_context(trace.recording())


@pytest.fixture
def world(
    tmp_path: Path, own_redis: RedisServer, app_authority: FaultyAuthority, http_port: int
) -> Iterator[World]:
    """
    Yield an app that has an account and writable directories.
    """
    url, limits = app_authority.directory_url, tmp_path / "limits.json"
    limits.write_text(json.dumps({url: LIMITS}))
    with (
        own_redis.client() as connection,
        open_app(tmp_path, connection, url, http_port, CERTWORKER_LIMITS_FILE=str(limits)) as app,
        ExitStack() as stack,
    ):
        app.certificates._linking.timeout_seconds = app.traefik._lock.timeout_seconds = 0.2
        app.issuance.issue(("first.localhost",))
        yield World(app, tmp_path, own_redis, app_authority, stack)


def fail(number: int) -> None:
    """
    Raise the error *number* of a failed disk.
    """
    raise OSError(number, os.strerror(number))


def kill_redis(world: World) -> None:
    """
    Kill Redis before the rename of Traefik's file. It starts again without its keys.
    """
    world.on("rename", f"config/{NAME}.yml", world.redis.kill)
    world.stack.callback(world.redis.start)


def refuse(world: World, *commands: str) -> None:
    """
    Make Redis deny *commands*, as after a change to the rights.
    """
    with world.redis.client() as connection:
        connection.execute_command("ACL", "SETUSER", "default", *(f"-{command}" for command in commands))

    def allow() -> None:
        with world.redis.client() as connection:
            connection.execute_command("ACL", "SETUSER", "default", *(f"+{command}" for command in commands))

    world.stack.callback(allow)


def file_in_the_way(world: World) -> None:
    """
    Create a directory at the path of Traefik's file.
    """
    (world.place / f"config/{NAME}.yml").mkdir()
    world.stack.callback((world.place / f"config/{NAME}.yml").rmdir)


#: Faults that fail the attempt after the CA has signed the certificate.
OBSTACLES: dict[str, Obstacle] = {
    "the volume is locked": lambda world: world.stack.enter_context(
        CertificateStore(world.place / "certificates")._linking.held()
    ),
    "the disk is full for the links": lambda world: world.on(
        "symlink", "certificates/.certworker/live", lambda: fail(errno.ENOSPC)
    ),
    "Traefik's directory is locked": lambda world: world.stack.enter_context(
        TraefikConfig(world.place / "config")._lock.held()
    ),
    "the disk of Traefik's files is full": lambda world: world.on(
        "create", "config/.certworker", lambda: fail(errno.ENOSPC)
    ),
    "Traefik's directory is read-only": lambda world: world.on(
        "create", "config/.certworker", lambda: fail(errno.EROFS)
    ),
    "Traefik's disk is broken": lambda world: world.on(
        "rename", f"config/{NAME}.yml", lambda: fail(errno.EIO)
    ),
    "a directory is in the way": file_in_the_way,
    "Redis dies, and loses everything": kill_redis,
}


class TestFailures:
    @pytest.mark.parametrize("kind", OBSTACLES)
    def test_the_next_attempt_publishes_and_orders_nothing(self, world: World, kind: str) -> None:
        """
        The next attempt publishes the certificate without the CA and without a check, and reports it as
        issued.
        """
        OBSTACLES[kind](world)
        with pytest.raises(CertworkerError):
            world.app.issuance.issue((NAME,))
        (generation,) = world.generations
        world.stack.close()
        asked, counters = world.asked, world.counters
        world.authority.stop()

        def no_check(*_: object, **__: object) -> NoReturn:
            raise AssertionError("a check ran before a publication")

        app = replace(world.app, issuance=replace(world.app.issuance, preflight=no_check))
        result = build_tasks(app)["certworker.issue"](domain=NAME)

        assert ("issued", [NAME]) == (result["state"], result["names"])
        assert in_service(app, NAME) == result["serial"]
        assert [generation] == world.generations
        assert (asked, counters) == (world.asked, world.counters)
        assert 1 == asked.count("finalize") - 1
        assert "kept" == app.issuance.issue((NAME,)).state
        assert [] == app.certificates.unpublished_sets()

    def test_a_full_disk_before_the_certificate_is_stored_costs_one_order(self, world: World) -> None:
        """
        The next attempt orders the same certificate again, and the budget counts it once.
        """
        world.on("create", "certificates/.certworker/generations", lambda: fail(errno.ENOSPC))
        with pytest.raises(CertworkerError):
            world.app.issuance.issue((NAME,))
        assert [] == world.generations
        world.stack.close()
        counters = world.counters
        assert counters

        assert "issued" == world.app.issuance.issue((NAME,)).state
        assert 1 == len(world.generations)
        assert (2, 2) == (world.asked.count("newOrder"), world.asked.count("finalize"))
        assert counters == world.counters

    def test_an_order_that_cannot_be_deleted_does_not_fail_the_job(self, world: World) -> None:
        """
        The job succeeds if Redis denies the removal of its order. The next attempt removes the order.
        """
        refuse(world, "getdel")
        assert "issued" == world.app.issuance.issue((NAME,)).state
        world.stack.close()
        asked = world.asked

        assert "kept" == world.app.issuance.issue((NAME,)).state
        assert asked == world.asked
        assert 1 == len(world.generations)
        assert [] == world.app.certificates.unpublished_sets()
        assert world.app.issuers[0].pending_orders.find((NAME,)) is None

    def test_force_after_a_failed_publication_publishes(self, world: World) -> None:
        """
        A forced job after a failed publication publishes the stored certificate, and orders nothing.
        """
        first = world.app.issuance.issue((NAME,))
        file = world.place / f"config/{NAME}.yml"
        file.unlink()
        file.mkdir()
        with pytest.raises(CertworkerError):
            world.app.issuance.issue((NAME,), force=True)
        file.rmdir()
        again = world.app.issuance.issue((NAME,), force=True)

        assert "issued" == again.state
        assert first.metadata.serial != again.metadata.serial
        assert again.metadata.serial == in_service(world.app, NAME)
        assert 3 == world.asked.count("newOrder")

        assert again.metadata.serial != world.app.issuance.issue((NAME,), force=True).metadata.serial

    def test_a_publication_runs_after_crashed_attempts(self, world: World) -> None:
        """
        A publication runs even after crashed attempts, because it sends no request.
        """
        file_in_the_way(world)
        with pytest.raises(CertworkerError):
            world.app.issuance.issue((NAME,))
        world.stack.close()
        now = world.app.clock()
        for _ in range(3):
            world.app.records.start_attempt((NAME,), next_check=now + timedelta(days=1), now=now)

        assert "issued" == world.app.issuance.issue((NAME,)).state

    def test_an_older_certificate_than_that_in_service_is_not_published(self, world: World) -> None:
        """
        An unpublished certificate does not replace a newer one of another worker.
        """
        file_in_the_way(world)
        with pytest.raises(CertworkerError):
            world.app.issuance.issue((NAME,))
        world.stack.close()
        with world.app.locks.hold([NAME]) as lease:
            newer = Signer().certificate(NAME)
            world.app.certificates.store(newer, authority="a", kind="private", token=lease.token)

        assert "issued" == world.app.issuance.issue((NAME,)).state
        assert newer.serial == in_service(world.app, NAME)
        assert [] == world.app.certificates.unpublished_sets()

    def test_a_name_that_is_removed_before_the_publication_stays_removed(self, world: World) -> None:
        """
        After a removal, no publication of the name remains.
        """
        file_in_the_way(world)
        with pytest.raises(CertworkerError):
            world.app.issuance.issue((NAME,))
        world.stack.close()
        world.app.removal.remove(NAME)

        assert [] == world.app.certificates.unpublished_sets()
        assert 0 == world.app.repair.resume_publications()

    def test_an_unpublished_certificate_is_never_pruned(self, world: World) -> None:
        """
        The removal of old generations does not delete a certificate without links before its publication.
        """
        OBSTACLES["the volume is locked"](world)
        with pytest.raises(CertworkerError):
            world.app.issuance.issue((NAME,))
        world.app.certificates.prune(world.app.traefik.served_generations())
        world.stack.close()

        assert 1 == len(world.generations)
        assert "issued" == world.app.issuance.issue((NAME,)).state


class TestWorker:
    def test_a_running_worker_publishes_after_the_end_of_the_obstacle(
        self,
        tmp_path: Path,
        own_redis: RedisServer,
        app_authority: FaultyAuthority,
        http_port: int,
    ) -> None:
        """
        The worker publishes the certificate after the obstacle ends, with one order and one event of the
        issuance.
        """
        variables = environment(
            tmp_path,
            app_authority.directory_url,
            http_port,
            _APP_REDIS_HOST="127.0.0.1",
            _APP_REDIS_PORT=str(own_redis.port),
            _APP_DOMAIN=NAME,
        )
        file = tmp_path / f"config/{NAME}.yml"
        file.mkdir()
        with WorkerProcess(variables, tmp_path / "worker.log") as worker:
            worker.wait_for_line(r"certificate not issued: \[fs\.io\]")
            app_authority.stop()
            file.rmdir()
            wait_until(lambda: file.is_file() or None, lambda: worker.log, 90)
            worker.wait_for_line(f"{NAME}: certificate issued")

            with own_redis.client() as connection:
                # The event follows the line.
                wait_until(lambda: len(_states(connection)) == 2 or None, lambda: worker.log)
                assert ["failed", "issued"] == _states(connection)
        assert 1 == sum(asked.kind == "newOrder" for asked in app_authority.requests)


def _states(connection: Redis) -> list[str]:
    entries: Any = connection.xrange("certworker:events")
    return list(dict.fromkeys(json.loads(fields[b"event"])["state"] for _, fields in entries))
