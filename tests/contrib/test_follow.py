"""
The follower of events that keeps Appwrite's documents in step.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, cast

from redis import Redis

from certworker.app import App
from certworker.errors.fs import VolumeLocked
from certworker.runtime import build_tasks
from tests.servers.redis import RedisServer
from tests.worker.sample_tasks import eventually

ROOT = Path(__file__).parents[2]
NAME = "shop.localhost"
FAILURE = VolumeLocked(path="/storage/certificates", seconds=30)


def command(*more: str) -> list[str]:
    """
    How it is started.
    """
    return [
        "php",
        str(ROOT / "contrib/appwrite/follow.php"),
        str(ROOT / "tests/contrib/documents.php"),
        *more,
    ]


def environment(server: RedisServer) -> dict[str, str]:
    """
    Its variables: Appwrite's own.
    """
    return {**os.environ, "_APP_REDIS_HOST": "127.0.0.1", "_APP_REDIS_PORT": str(server.port)}


def followed(server: RedisServer, connection: Redis) -> list[tuple[str, dict[str, Any], str]]:
    """
    What it has written after it has followed all events.
    """
    ran = subprocess.run(
        command("--once"),
        env=environment(server),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert "Warning" not in ran.stdout
    lines = cast("list[bytes]", connection.lrange("test:documents", 0, -1))
    return [tuple(json.loads(line)) for line in lines]


class TestFollow:
    def test_an_issued_certificate_is_a_verified_rule(
        self, app: App, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        With the attributes that Appwrite's own worker would have written.
        """
        result = build_tasks(app)["certworker.issue"](domain=NAME)

        ((name, certificate, status),) = followed(redis_server, connection)

        assert (NAME, "verified") == (name, status)
        assert certificate == {
            "domain": NAME,
            "issueDate": result["issue_date"],
            "renewDate": result["renew_date"],
            "attempts": 0,
            "logs": result["logs"],
        }

    def test_a_failure_says_why_and_is_one_only_without_a_certificate(
        self, app: App, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        A site that works is not shown as broken because its renewal has to be tried again.
        """
        app.events.publish((NAME,), "failed", FAILURE)
        app.issuance.issue((NAME,))
        app.events.publish((NAME,), "failed", FAILURE)

        message = followed(redis_server, connection)

        assert ["unverified", "verified"] == [status for _, _, status in message]
        assert message[0][1]["logs"].startswith("[fs.locked] Another worker has held")

    def test_it_goes_on_where_it_was(self, app: App, redis_server: RedisServer, connection: Redis) -> None:
        """
        A restart repeats nothing, and an invalid event ends nothing.
        """
        app.events.publish((NAME, f"www.{NAME}"), "waiting", FAILURE)
        assert [NAME, f"www.{NAME}"] == [name for name, _, _ in followed(redis_server, connection)]

        connection.xadd("certworker:events", {"event": "no JSON"})
        app.events.publish(("third.localhost",), "removed")
        app.events.publish(("fourth.localhost",), "kept")

        names = [name for name, _, _ in followed(redis_server, connection)]
        assert [NAME, f"www.{NAME}", "fourth.localhost"] == names

    def test_it_follows_until_it_is_ended(
        self, app: App, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        As a service does.
        """
        process = subprocess.Popen(command(), env=environment(redis_server))
        try:
            app.events.publish((NAME,), "kept")
            assert eventually(lambda: connection.llen("test:documents") == 1)
            app.events.publish((NAME,), "kept")
            assert eventually(lambda: connection.llen("test:documents") == 2)
        finally:
            process.kill()
            process.wait()
