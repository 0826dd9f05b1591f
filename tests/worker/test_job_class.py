"""
Tests of the jobs that a worker accepts, and the rejection of all others.
"""

from __future__ import annotations

import json
import pickle
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer, PickleSerializer

from certworker.errors.worker import BadJob
from certworker.worker.job_class import READ_FIELDS, job_class_for
from certworker.worker.payload import LARGEST
from certworker.worker.producer import QUEUE, QUEUE_KEY, request_certificate
from tests.worker.sample_tasks import end_of, eventually, push, worker_thread


class TestRegisteredJob:
    def test_a_function_that_is_not_registered_does_not_run(self, connection: Redis, tmp_path: Path) -> None:
        """
        A job with an unregistered function fails and starts no program. RQ's own job class would run
        it.
        """
        proof = tmp_path / "proof"

        with worker_thread(connection):
            status, message = end_of(connection, push(connection, "evil", "os.system", f"touch {proof}"))

        assert "failed" == status
        assert message.startswith("[queue.not_registered] The job names the unknown function os.system")
        assert not proof.exists()

    @pytest.mark.parametrize(
        "field",
        [
            "success_callback_name",
            "failure_callback_name",
            "stopped_callback_name",
            "webhooks",
            "rate_limit_key",
        ],
    )
    def test_a_job_with_a_callback_is_rejected(self, connection: Redis, field: str) -> None:
        """
        A job with a callback, a webhook or a rate limit is rejected, and its function does not run.
        """
        with worker_thread(connection):
            status, message = end_of(connection, push(connection, "evil", **{field: "os.abort"}))

        assert ("failed", True) == (
            status,
            message.startswith(f"[queue.bad_payload] The job was rejected: it has {field}"),
        )
        assert not connection.exists("sample:issued")

    def test_pickled_data_is_not_unpickled(self, connection: Redis, tmp_path: Path) -> None:
        """
        A pickled job fails, and its data is not unpickled. Unpickling runs code.
        """
        proof = tmp_path / "proof"

        class Evil:
            def __reduce__(self) -> tuple[object, ...]:
                return Path.touch, (proof,)

        with worker_thread(connection):
            push(connection, "evil", data=zlib.compress(pickle.dumps(Evil())))
            status, message = end_of(connection, "evil")

        assert ("failed", True) == (status, message.startswith("[payload.pickle]"))
        assert "serializer=JSONSerializer" in message
        assert not proof.exists()

    def test_invalid_arguments_are_rejected(self, connection: Redis) -> None:
        """
        The message names the function whose arguments are invalid, without a traceback.
        """
        with worker_thread(connection):
            _, message = end_of(connection, push(connection, "odd", "sample.sleep", 1, 2, 3))

        assert message.startswith(
            "[queue.bad_payload] The job was rejected: sample.sleep does not accept these arguments"
        )

    def test_a_rejected_job_is_logged_as_one_warning(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log of a rejected job has one warning with code, message and remedy.
        """
        with worker_thread(connection):
            end_of(connection, push(connection, "evil", "os\n\x1b[31msystem"))

        (line,) = [record for record in caplog.records if record.levelname == "WARNING"]
        assert "queue.not_registered" == line.__dict__["code"]
        assert line.getMessage().startswith("job evil: [queue.not_registered] The job names")
        assert "os\\n\\x1b[31msystem" in line.getMessage()
        assert line.getMessage().endswith("certworker request NAME")

    def test_an_unknown_argument_is_rejected_with_a_suggestion(self, connection: Redis) -> None:
        """
        A job with a misspelled argument is rejected, and the message suggests the valid one.
        """
        data = json.dumps(["certworker.issue", None, [], {"domain": "a.org", "forse": True}])
        with worker_thread(connection):
            status, message = end_of(connection, push(connection, "job", data=data))

        assert ("failed", True) == (status, message.startswith("[payload.unknown]"))
        assert "certworker.issue does not accept the argument forse; did you mean force?" in message
        assert message.endswith("Send no arguments other than: domain, domains, force, tenant.")
        assert not connection.exists("sample:issued")

    @pytest.mark.parametrize("serializer", [JSONSerializer, PickleSerializer])
    @pytest.mark.parametrize(
        ("code", "data", "fields"),
        [
            ("payload.pickle", zlib.compress(pickle.dumps(("certworker.issue", None, (), {}))), {}),
            ("queue.not_registered", b'["certworker.isue", null, [], {"domain": "a.org"}]', {}),
            ("payload.unknown", b'["certworker.issue", null, [], {"domain": "a.org", "x": 1}]', {}),
            ("payload.json", b'["certworker.issue", null', {}),
            ("queue.bad_payload", b'["sample.sleep", null, [1, 2, 3], {}]', {}),
            (
                "queue.bad_payload",
                b'["certworker.issue", null, ["a.org"], {}]',
                {"success_callback_name": "os.abort"},
            ),
            ("payload.too_large", zlib.compress(b'["certworker.issue"' + b" " * 10_000_000), {}),
        ],
    )
    def test_a_rejected_job_retains_its_data_and_its_reason(
        self,
        connection: Redis,
        serializer: type[JSONSerializer],
        code: str,
        data: bytes,
        fields: dict[str, str],
    ) -> None:
        """
        A rejected job retains its data, so `rq requeue` leads to the same rejection and reason.
        """
        push(connection, "job", data=data, **fields)
        with worker_thread(connection):
            message = end_of(connection, "job")
            assert data == connection.hget("rq:job:job", "data")
            connection.delete("rq:results:job")
            FailedJobRegistry(QUEUE, connection=connection, serializer=serializer).requeue("job")
            assert eventually(lambda: connection.exists("rq:results:job"))

            assert message == end_of(connection, "job")
        assert message[1].startswith(f"[{code}]")

    def test_a_very_long_field_of_a_rejected_job_is_cut(self, connection: Redis) -> None:
        """
        The worker cuts very long fields of a rejected job, so that such jobs do not fill Redis.
        """
        push(connection, "job", data=b"x" * 5_000_000, webhooks=b"y" * 5_000_000)
        with worker_thread(connection):
            message = end_of(connection, "job")
            assert int(connection.memory_usage("rq:job:job", samples=0) or 0) < 4 * LARGEST
            connection.delete("rq:results:job")
            FailedJobRegistry(QUEUE, connection=connection).requeue("job")
            assert eventually(lambda: connection.exists("rq:results:job"))

            assert message == end_of(connection, "job")
        assert message[1].startswith("[payload.too_large]")

    def test_a_finished_job_retains_the_fields_of_its_producer(self, connection: Redis) -> None:
        """
        A worker changes no field of the producer. It adds the state, and the fields that RQ's tools
        need.
        """
        given = {"created_at": "2026-01-02T03:04:05.000000Z", "description": "ours", "result_ttl": "70000"}
        with worker_thread(connection):
            end_of(connection, push(connection, "job", **given))
            end_of(connection, push(connection, "bare"))

        assert [value.encode() for value in given.values()] == connection.hmget("rq:job:job", [*given])
        added = {b"created_at", b"timeout", b"failure_ttl", b"origin", b"ended_at"}
        assert added <= set(connection.hkeys("rq:job:bare"))

    @pytest.mark.parametrize(
        ("field", "given", "clamped"),
        [
            ("timeout", "86400", 900),
            ("timeout", "-1", 900),
            ("timeout", "10", 10),
            ("timeout", "0", 1),
            ("timeout", "2m", 120),
            ("result_ttl", "0", 60),
            ("result_ttl", "-1", 86_400),
            ("result_ttl", "500", 500),
            ("failure_ttl", "31536000", 86_400),
            ("failure_ttl", "-1", 86_400),
        ],
    )
    def test_the_times_of_a_job_have_bounds(
        self, connection: Redis, field: str, given: str, clamped: int
    ) -> None:
        """
        The timeout and the TTLs of a job are clamped, so each job ends and expires.
        """
        push(connection, "job", **{field: given})

        job = job_class_for({"certworker.issue": print}).find(b"job", connection)

        assert (None, clamped) == (job.failure, getattr(job, field))

    def test_missing_fields_of_a_job_have_defaults(self, connection: Redis) -> None:
        """
        A job with two fields has the defaults. RQ would store its failure for a year.
        """
        job = job_class_for({"certworker.issue": print}).find(push(connection, "job").encode(), connection)

        assert (900, 3600, 86_400, "certificates") == (
            job.timeout,
            job.result_ttl,
            job.failure_ttl,
            job.origin,
        )

    def test_a_failed_job_is_not_retried_by_rq(self, connection: Redis) -> None:
        """
        A failed job ends even with `retries_left`. Only the agenda schedules retries.
        """
        with worker_thread(connection):
            status, _ = end_of(connection, push(connection, "job", "sample.fail", retries_left="5"))

        assert "failed" == status

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("status", "bogus"),
            ("status", b"\xff"),
            ("timeout", "abc"),
            ("timeout", "9" * 5_000),
            ("result_ttl", "1.5"),
            ("failure_ttl", b"\x00"),
        ],
    )
    def test_a_malformed_field_fails_the_job(self, connection: Redis, field: str, value: bytes | str) -> None:
        """
        A job with a malformed field fails, and the next job finishes. RQ's own worker would end.
        """
        push(connection, "job")
        connection.hset("rq:job:job", field, value)

        with worker_thread(connection):
            status, message = end_of(connection, "job")
            next_status, _ = end_of(connection, request_certificate("a.org", connection=connection))

        assert ("failed", True, "finished") == (
            status,
            message.startswith("[queue.bad_payload]"),
            next_status,
        )

    @pytest.mark.parametrize(
        "raw_id", [b"example.com", b"a:b", b"*", b"\xff\xfe", b"", b"nowhere", b"x" * 100_000, b"list"]
    )
    def test_an_id_without_a_job_is_removed_and_logged(
        self, connection: Redis, raw_id: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A worker removes an id without a valid job, logs it and runs the next job.
        """
        connection.rpush("rq:job:list", "not a hash")
        connection.rpush(QUEUE_KEY, raw_id)

        with worker_thread(connection):
            end_of(connection, request_certificate("a.org", connection=connection))

        assert 0 == connection.llen(f"{QUEUE_KEY}:intermediate")
        codes = [line.__dict__["code"] for line in caplog.records if line.levelname == "WARNING"]
        assert ["redis.wrong_type"] * (raw_id == b"list") + ["queue.bad_payload"] == codes

    @pytest.mark.parametrize("key", ["rq:executions:job", "rq:results:job", "rq:job:job:dependents"])
    def test_a_key_of_another_type_is_removed(self, connection: Redis, key: str) -> None:
        """
        A planted string under one of RQ's keys is removed, and the job finishes.
        """
        connection.set(key, "planted")

        with worker_thread(connection):
            status, _ = end_of(connection, push(connection, "job"))

        assert "finished" == status
        assert b"string" != connection.type(key)

    @settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        data=st.binary(max_size=200)
        | st.recursive(
            st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["certworker.issue"]),
            lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=3),
        ).map(lambda value: json.dumps(value).encode()),
        fields=st.dictionaries(
            st.sampled_from([field for field in READ_FIELDS if field != "data"]) | st.text(max_size=10),
            st.binary(max_size=20) | st.integers().map(lambda number: str(number).encode()),
            max_size=5,
        ),
    )
    def test_any_hash_is_a_valid_or_a_rejected_job(
        self, connection: Redis, data: bytes, fields: dict[str, bytes]
    ) -> None:
        """
        Any hash is a valid job or a rejected one. No exception of RQ, zlib or json reaches the worker.
        """
        connection.delete("rq:job:any")
        connection.hset("rq:job:any", mapping={**fields, "data": data})  # type: ignore[dict-item] # redis-py accepts both

        job = job_class_for({"certworker.issue": lambda **_: None}).find(b"any", connection)

        if job.failure is None:
            assert "certworker.issue" == job.func_name
        else:
            assert (None, [], {}) == (job.instance, job.args, job.kwargs)

    def test_five_hundred_bad_jobs_do_not_end_a_worker(self, connection: Redis) -> None:
        """
        A running worker finishes the valid job behind five hundred invalid jobs.
        """
        generated: list[tuple[bytes, bytes]] = []

        @settings(max_examples=500, deadline=None, database=None)
        @given(st.binary(max_size=60), st.binary(max_size=60))
        def generate(raw_id: bytes, data: bytes) -> None:
            generated.append((raw_id, data))

        generate()
        for raw_id, data in generated:
            connection.hset(b"rq:job:" + raw_id, "data", data)
            connection.rpush(QUEUE_KEY, raw_id)

        with worker_thread(connection, slots=8):
            status, _ = end_of(connection, request_certificate("a.org", connection=connection))
            assert eventually(lambda: not connection.exists(QUEUE_KEY, f"{QUEUE_KEY}:intermediate"))

        assert ("finished", 1) == (status, connection.llen("sample:issued"))


class TestFind:
    def test_an_id_that_names_an_execution_is_no_job(self, connection: Redis) -> None:
        """
        An id with a colon is not a job. RQ reads `job:execution` as `job`.
        """
        push(connection, "job")

        with pytest.raises(BadJob):
            job_class_for({}).find(b"job:1", connection)
