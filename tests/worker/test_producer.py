"""
Tests of the producer: requests and wake-ups, each enqueued once.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from hypothesis import given, strategies
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from certworker import request_certificate
from certworker.errors.config import InvalidSettings
from certworker.settings import load
from certworker.state.wake_ups import SCHEDULED_KEY
from certworker.worker.producer import QUEUE_KEY, address_in, queue_length, wake_at
from tests.servers.redis import RedisServer

REDIS_VARIABLES = (
    "_APP_REDIS_HOST",
    "_APP_REDIS_PORT",
    "_APP_REDIS_USER",
    "_APP_REDIS_PASS",
    "CERTWORKER_REDIS_URL",
)
FILES = frozenset({"_APP_REDIS_PASS_FILE", "CERTWORKER_REDIS_URL_FILE"})
#: Valid and invalid values of the variables, some with quotes or white space.
VALUES = (
    *(
        "",
        "redis",
        ' "redis" ',
        "'[::1]'",
        "10.0.0.7",
        "6380",
        " 6380 ",
        "6_380",
        "+1",
        "1.0",
        "0",
        "99999",
        "\u0663",
    ),
    *(
        "me",
        "p\u00e4ss",
        ' "a b" ',
        "a\nb",
        "redis://me:p%40ss@other:1/2",
        "'rediss://other'",
        "redis://a..b",
    ),
    *("redis+sentinel://a,[::1]:1/main/3", "x" * 64, "\udcff"),
)


def call_of(connection: Redis, job_id: str) -> list[object]:
    """
    Return the call of the job.
    """
    data = cast("bytes", connection.hget(f"rq:job:{job_id}", "data"))
    call: list[object] = json.loads(zlib.decompress(data))
    return call


class TestRequestCertificate:
    def test_a_request_is_a_job_of_rq(self, connection: Redis) -> None:
        """
        The producer writes a job that RQ's own tools read.
        """
        job_id = request_certificate("api.example.org", connection=connection)

        job = Job.fetch(job_id, connection=connection, serializer=JSONSerializer)
        assert [job_id] == Queue("certificates", connection=connection).job_ids
        assert ("certworker.issue", None, [], {"domain": "api.example.org", "force": False}) == (
            job.func_name,
            job.instance,
            job.args,
            job.kwargs,
        )
        assert ("certificates", 900, 3600, 86_400, "queued") == (
            job.origin,
            job.timeout,
            job.result_ttl,
            job.failure_ttl,
            job.get_status(),
        )
        assert ["certificates"] == [queue.name for queue in Queue.all(connection=connection)]

    def test_the_same_request_is_on_the_queue_once(self, connection: Redis) -> None:
        """
        Repeated requests for the same name are one job.
        """
        ids = {request_certificate(name, connection=connection) for name in ("a.org", " A.org", ["a.org"])}

        assert 1 == len(ids)
        assert 1 == queue_length(connection)

    def test_different_requests_have_different_ids(self, connection: Redis) -> None:
        """
        A forced request and a request for several names have their own ids.
        """
        ids = {
            request_certificate("a.org", connection=connection),
            request_certificate("a.org", force=True, connection=connection),
            request_certificate(["a.org", "b.org"], connection=connection),
        }

        assert 3 == len(ids) == queue_length(connection)

    def test_several_names_are_one_job(self, connection: Redis) -> None:
        """
        A request for several names is one job, regardless of the order of the names.
        """
        job_id = request_certificate(["b.org", "a.org"], connection=connection)

        assert {"domains": ["b.org", "a.org"], "force": False} == call_of(connection, job_id)[3]
        assert job_id == request_certificate(["a.org", "b.org"], connection=connection)

    def test_a_job_has_the_tenant_of_the_request(self, connection: Redis) -> None:
        """
        The job has the tenant of the request.
        """
        job_id = request_certificate("a.example.org", tenant="project-7", connection=connection)

        assert {"domain": "a.example.org", "force": False, "tenant": "project-7"} == call_of(
            connection, job_id
        )[3]

    def test_four_producers_at_once_queue_one_job(self, redis_server: RedisServer, connection: Redis) -> None:
        """
        Four concurrent producers enqueue one job, as the check and the enqueuing are one step.
        """

        def produce(_: int) -> None:
            with redis_server.client() as own:
                for _ in range(125):
                    request_certificate("a.org", connection=own)

        with ThreadPoolExecutor(4) as producers:
            list(producers.map(produce, range(4)))

        assert 1 == queue_length(connection)

    @pytest.mark.parametrize("status", ["finished", "failed", "stopped", "canceled"])
    def test_a_job_that_ended_is_replaced(self, connection: Redis, status: str) -> None:
        """
        A new request replaces an ended job and its result, which RQ stores for up to a day.
        """
        job_id = request_certificate("a.org", connection=connection)
        connection.delete(QUEUE_KEY)
        connection.hset(f"rq:job:{job_id}", mapping={"status": status, "left": "over"})
        connection.xadd(f"rq:results:{job_id}", {"type": "2"})

        request_certificate("a.org", connection=connection)

        assert 1 == queue_length(connection)
        assert [b"queued", None] == connection.hmget(f"rq:job:{job_id}", "status", "left")
        assert not connection.exists(f"rq:results:{job_id}")

    @pytest.mark.parametrize("status", ["queued", "scheduled", "started"])
    def test_a_job_on_no_list_is_requested_again(self, connection: Redis, status: str) -> None:
        """
        A job whose id is on no list is requested again. A Redis that evicts keys can lose the list.
        """
        job_id = request_certificate("a.org", connection=connection)
        connection.delete(QUEUE_KEY)
        connection.hset(f"rq:job:{job_id}", "status", status)

        request_certificate("a.org", connection=connection)

        assert 1 == queue_length(connection)

    @pytest.mark.parametrize(
        ("status", "put"),
        [
            ("queued", lambda redis, job: redis.rpush(f"{QUEUE_KEY}:intermediate", job)),
            ("scheduled", lambda redis, job: redis.zadd(SCHEDULED_KEY, {job: 9_999_999_999})),
            ("started", lambda redis, job: redis.zadd(f"rq:executions:{job}", {"e": 9_999_999_999})),
        ],
    )
    def test_a_waiting_or_running_job_is_not_repeated(
        self, connection: Redis, status: str, put: Callable[[Redis, str], object]
    ) -> None:
        """
        A repeated request enqueues no job while the first one waits or runs.
        """
        job_id = request_certificate("a.org", connection=connection)
        connection.delete(QUEUE_KEY)
        connection.hset(f"rq:job:{job_id}", "status", status)
        put(connection, job_id)

        request_certificate("a.org", connection=connection)

        assert 0 == queue_length(connection)

    def test_without_a_connection_the_environment_sets_redis(
        self, redis_server: RedisServer, connection: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Without a connection, the producer reads the variables of the worker.
        """
        monkeypatch.setenv("_APP_REDIS_HOST", "127.0.0.1")
        monkeypatch.setenv("_APP_REDIS_PORT", str(redis_server.port))
        monkeypatch.setenv("_APP_REDIS_PASS", "")

        request_certificate("a.org")

        assert 1 == queue_length(connection)

    def test_the_url_overrides_the_other_variables(
        self, redis_server: RedisServer, connection: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        CERTWORKER_REDIS_URL overrides the other variables, as in the worker.
        """
        monkeypatch.setenv("_APP_REDIS_HOST", "another.invalid")
        monkeypatch.setenv("CERTWORKER_REDIS_URL", redis_server.url)

        request_certificate("a.org")

        assert 1 == queue_length(connection)

    @pytest.mark.parametrize(
        ("user", "begins"),
        [("shop", "issue-shop-"), ("shop-eu", "issue-"), (None, "issue-"), ("default", "issue-")],
    )
    def test_the_id_names_the_user_of_redis(
        self, redis_server: RedisServer, connection: Redis, user: str | None, begins: str
    ) -> None:
        """
        A job id starts with the Redis user, so that Redis can restrict a producer. An unusual name
        is omitted.
        """
        connection.acl_setuser(
            user or "default", enabled=True, nopass=True, keys=["*"], categories=["+@all"], channels=["*"]
        )
        with Redis(port=redis_server.port, username=user, password="pw" if user else None) as own:
            job_id = request_certificate("a.org", connection=own)

        assert re.fullmatch(f"{begins}[0-9a-f]{{32}}", job_id)

    def test_importing_the_producer_imports_no_worker(self) -> None:
        """
        Importing the producer does not import RQ or other packages of the worker.
        """
        program = (
            "import sys, certworker; assert 'redis' not in sys.modules\n"
            "from certworker import request_certificate\n"
            "assert not {'rq', 'pydantic', 'acme', 'click'} & set(sys.modules)"
        )

        subprocess.run([sys.executable, "-c", program], check=True)


class TestWakeAt:
    def test_a_wake_up_is_in_the_scheduled_registry(self, connection: Redis) -> None:
        """
        RQ's tools show the next wake-up in the scheduled registry.
        """
        due = datetime.now(UTC) + timedelta(hours=1)

        wake_at(connection, due)

        registry = Queue("certificates", connection=connection).scheduled_job_registry
        (job_id,) = registry.get_job_ids()
        assert ["certworker.look", None, [], {}] == call_of(connection, job_id)
        assert timedelta(0) <= registry.get_scheduled_time(job_id) - due < timedelta(seconds=1)

    def test_a_wake_up_after_another_one_is_not_scheduled(self, connection: Redis) -> None:
        """
        A wake-up is not scheduled if an earlier one exists, so many names need one job.
        """
        now = datetime.now(UTC)
        for hours in (3, 3, 4, 5):
            wake_at(connection, now + timedelta(hours=hours))

        assert 1 == connection.zcard(SCHEDULED_KEY)

    def test_an_earlier_time_gets_another_wake_up(self, connection: Redis) -> None:
        """
        An earlier time gets another wake-up, so a retry does not wait for a later renewal.
        """
        now = datetime.now(UTC)
        for hours in (5, 3, 1):
            wake_at(connection, now + timedelta(hours=hours))

        assert 3 == connection.zcard(SCHEDULED_KEY)

    def test_a_wake_up_without_its_job_does_not_count(self, connection: Redis) -> None:
        """
        A wake-up whose job Redis has evicted does not count.
        """
        due = datetime.now(UTC) + timedelta(hours=1)
        wake_at(connection, due)
        connection.delete(*connection.keys("rq:job:look-*"))

        wake_at(connection, due + timedelta(hours=1))

        assert 2 == connection.zcard(SCHEDULED_KEY)

    def test_other_delayed_jobs_are_no_wake_ups(self, connection: Redis) -> None:
        """
        A delayed request does not count as a wake-up.
        """
        connection.hset("rq:job:issue-1", "status", "scheduled")
        connection.zadd(SCHEDULED_KEY, {"issue-1": 1})

        wake_at(connection, datetime.now(UTC) + timedelta(hours=1))

        assert 2 == connection.zcard(SCHEDULED_KEY)

    def test_a_past_time_enqueues_the_wake_up_now(self, connection: Redis) -> None:
        """
        A wake-up for a past time is on the queue at once, and not in the scheduled registry.
        """
        wake_at(connection, datetime.now(UTC) - timedelta(days=1))

        assert (1, 0) == (queue_length(connection), connection.zcard(SCHEDULED_KEY))


class TestAddressIn:
    @given(
        strategies.dictionaries(
            strategies.sampled_from([*REDIS_VARIABLES, *FILES]), strategies.sampled_from(VALUES), max_size=5
        )
    )
    def test_a_producer_uses_the_redis_of_the_worker(
        self, tmp_path_factory: pytest.TempPathFactory, environ: dict[str, str]
    ) -> None:
        """
        A producer reads variables, files, quotes and defaults as the worker does.
        """
        directory = tmp_path_factory.getbasetemp() / "secrets"
        directory.mkdir(exist_ok=True)
        for number, value in enumerate(VALUES):
            (directory / str(number)).write_text(f"{value}\n", errors="surrogateescape")
        for name in FILES & environ.keys():
            environ[name] = str(directory / str(VALUES.index(environ[name])))
        try:
            expected = load(environ).redis
        except InvalidSettings:
            return

        assert expected == address_in(environ)

    @pytest.mark.parametrize(
        "environ",
        [
            {"CERTWORKER_REDIS_URL": "redis://me:hunter2@a..b"},
            {"_APP_REDIS_PORT": "hunter2"},
            {"_APP_REDIS_HOST": "hunter2/"},
            {"_APP_REDIS_USER": "hunter2\n"},
            {"_APP_REDIS_PASS": "hunter2", "_APP_REDIS_PASS_FILE": "/etc/hostname"},
            {"_APP_REDIS_PASS_FILE": "/no/hunter2"},
        ],
    )
    def test_an_invalid_setting_is_a_value_error_without_its_value(self, environ: dict[str, str]) -> None:
        """
        The error of an invalid setting does not show its value, which can be a password.
        """
        environ = {name: value if value != "hunter2\n" else "hunter2\nx" for name, value in environ.items()}
        with pytest.raises(ValueError) as caught:  # noqa: PT011 (the messages differ)
            address_in(environ)

        assert "hunter2" not in str(caught.value)
