"""
The follower of events that updates Appwrite's documents.
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
    Return the command that starts the follower.
    """
    return [
        "php",
        str(ROOT / "contrib/appwrite/follow.php"),
        str(ROOT / "tests/contrib/documents.php"),
        *more,
    ]


def environment(server: RedisServer) -> dict[str, str]:
    """
    Return the environment of the follower, with Appwrite's variables.
    """
    return {**os.environ, "_APP_REDIS_HOST": "127.0.0.1", "_APP_REDIS_PORT": str(server.port)}


def followed(server: RedisServer, connection: Redis) -> list[tuple[str, dict[str, Any], str]]:
    """
    Return the documents that the follower has written after all events.
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
        After an issuance, the documents have the attributes that Appwrite's worker writes.
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

    def test_only_a_name_without_a_certificate_fails(
        self, app: App, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        A name without a certificate has its failure in the document. A failed renewal does not change the
        status.
        """
        app.events.publish((NAME,), "failed", FAILURE)
        app.issuance.issue((NAME,))
        app.events.publish((NAME,), "failed", FAILURE)

        message = followed(redis_server, connection)

        assert ["unverified", "verified"] == [status for _, _, status in message]
        assert message[0][1]["logs"].startswith("[fs.locked] Another process or thread has held")

    def test_it_continues_after_the_last_event(
        self, app: App, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        A restarted follower repeats no event, and an invalid event does not stop it.
        """
        app.events.publish((NAME, f"www.{NAME}"), "waiting", FAILURE)
        assert [NAME, f"www.{NAME}"] == [name for name, _, _ in followed(redis_server, connection)]

        connection.xadd("certworker:events", {"event": "no JSON"})
        app.events.publish(("third.localhost",), "removed")
        app.events.publish(("fourth.localhost",), "kept")

        names = [name for name, _, _ in followed(redis_server, connection)]
        assert [NAME, f"www.{NAME}", "fourth.localhost"] == names

    def test_it_follows_until_it_is_stopped(
        self, app: App, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        The follower processes new events until it is stopped.
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
