"""
Tests of the PHP examples of the repository and of the documentation.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from certworker.worker.producer import queue_length
from tests.documentation import blocks
from tests.servers.redis import RedisServer
from tests.test_security import SECRET, refused_by, rights
from tests.worker.sample_tasks import end_of, worker_thread

EXAMPLE = Path(__file__).parents[2] / "examples" / "producer.php"


def produce(server: RedisServer, *names: str, user: str = "", password: str = "") -> list[str]:
    """
    Run the example for *names*, and return the lines of its output.
    """
    redis = {"HOST": "127.0.0.1", "PORT": str(server.port), "USER": user, "PASS": password}
    environment = {**os.environ, **{f"_APP_REDIS_{name}": value for name, value in redis.items()}}
    ran = subprocess.run(
        ["php", str(EXAMPLE), *names], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
    return ran.stdout.splitlines()


class TestProducer:
    def test_the_jobs_of_the_example_finish(self, redis_server: RedisServer, connection: Redis) -> None:
        """
        A worker finishes the jobs of the example.
        """
        message = produce(redis_server, "a.example.org", "b.example.org")

        with worker_thread(connection, slots=1):
            ends = [end_of(connection, line.rpartition(" ")[2]) for line in message]

        assert ["finished", "finished"] == [status for status, _ in ends]
        assert [b'["a.example.org", false]', b'["b.example.org", false]'] == connection.lrange(
            "sample:issued", 0, -1
        )

    def test_a_waiting_request_is_not_repeated(self, redis_server: RedisServer, connection: Redis) -> None:
        """
        The example enqueues one job for two requests for the same name.
        """
        message = produce(redis_server, "a.example.org", "a.example.org")

        assert [True, False] == ["requested" in line for line in message]
        assert 1 == queue_length(connection)

    def test_an_ended_request_can_be_repeated(self, redis_server: RedisServer, connection: Redis) -> None:
        """
        The example enqueues a new job after the end of the former one.
        """
        with worker_thread(connection):
            for _ in range(2):
                (message,) = produce(redis_server, "a.example.org")
                end_of(connection, message.rpartition(" ")[2])

        assert 2 == connection.llen("sample:issued")

    def test_two_plain_commands_are_a_complete_request(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        A hash with `data` and its id on the list are a complete request.
        """
        program = f"""
            $redis = new Redis();
            $redis->connect('127.0.0.1', {redis_server.port});
            $call = json_encode(['certworker.issue', null, [], ['domain' => 'a.example.org']]);
            $redis->hMSet('rq:job:plain-1', ['data' => gzcompress($call)]);
            $redis->rPush('rq:queue:certificates', 'plain-1');
        """
        subprocess.run(["php", "-r", program], check=True)

        with worker_thread(connection):
            end = end_of(connection, "plain-1")

        assert ("finished", {"state": "issued", "names": ["a.example.org"]}) == end

    @pytest.mark.parametrize(("page", "block"), blocks("php"))
    def test_each_example_of_the_documentation_requests_a_certificate(
        self, page: str, block: str, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        Each PHP example of the documentation requests a certificate.
        """
        program = f"""
            $redis = new Redis();
            $redis->connect('127.0.0.1', {redis_server.port});
            {block}
            echo "$id $domain";
        """
        printed = subprocess.run(["php", "-r", program], check=True, capture_output=True, text=True).stdout
        job_id, name = printed.split()

        with worker_thread(connection):
            end = end_of(connection, job_id)

        assert ("finished", {"state": "issued", "names": [name]}) == end

    def test_the_example_sends_the_password(self, tmp_path: Path) -> None:
        """
        The example sends the password of `_APP_REDIS_PASS`, as the worker does.
        """
        server = RedisServer(tmp_path)
        server.start()
        with server.client() as connection:
            connection.config_set("requirepass", "secret")

            produce(server, "a.example.org", password="secret")

            assert 1 == queue_length(connection)
        server.kill()

    def test_the_example_needs_only_the_documented_rights(
        self, redis_server: RedisServer, connection: Any
    ) -> None:
        """
        The example requests a certificate twice with the documented rights of a producer.
        """
        connection.acl_log_reset()
        connection.execute_command("ACL", "SETUSER", *rights("web"))
        try:
            message = produce(redis_server, "a.example.org", "a.example.org", user="web", password=SECRET)
        finally:
            connection.acl_deluser("web")

        assert [True, False] == ["requested" in line for line in message]
        assert message[0].rpartition(" ")[2].startswith("issue-web-")
        assert set() == refused_by(connection)
