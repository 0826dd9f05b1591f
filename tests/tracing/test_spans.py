"""
Tests of traces, with a real collector.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from certworker.errors.worker import AlreadyInProgress
from certworker.tracing.spans import STOP_SECONDS, Tracer
from certworker.tracing.steps import current_step, current_trace_id, step
from tests.servers.collector import Collector, ReceivedSpan
from tests.servers.ports import free_port
from tests.servers.worker import PATIENCE_SECONDS, WorkerProcess, wait_until
from tests.tracing.test_steps import STEPS

SECRET = "Bearer 31d8c0f2"


@pytest.fixture
def tracer(
    restored_logging: None, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Tracer]]:
    """
    Return a function that starts a tracer of the collector, with more variables.
    """
    started: list[Tracer] = []

    def start(**variables: str) -> Tracer:
        sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "20"}
        for name, value in {**sent, **variables}.items():
            monkeypatch.setenv(name, value)
        started.append(Tracer())
        return started[0]

    yield start
    collector.answers.set()
    for each in started:
        each.stop()
    # An export that outlives the stop would log in the next test.
    for thread in threading.enumerate():
        if thread.name == "traces" or thread.name.startswith("OtelBatch"):
            thread.join(PATIENCE_SECONDS)


@contextmanager
def job(tracer: Tracer) -> Iterator[None]:
    """
    Run the block as a job that ends with a failure.
    """
    with suppress(AlreadyInProgress), tracer.job("issue"):
        yield
        raise AlreadyInProgress(name="shop.localhost")


def job_of(collector: Collector) -> ReceivedSpan:
    """
    Wait for the span of a job, the last one of its trace.
    """
    return wait_until(lambda: next(iter(collector.named("issue")), None), lambda: f"{collector.spans}")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """
    Return the lines of the export.
    """
    return [line.getMessage() for line in caplog.records if line.name == "certworker.tracing.spans"]


def _wait_for_requests(collector: Collector, number: int) -> None:
    wait_until(lambda: collector.requests >= number or None, lambda: f"{collector.requests} requests")


class TestWorker:
    def test_a_job_is_one_trace_with_a_span_for_each_step(
        self, worker: WorkerProcess, collector: Collector
    ) -> None:
        """
        A worker sends one trace of a job. Its spans are the steps, and the checks within preflight.
        """
        worker.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        worker.start()
        last = json.loads(worker.wait_for_line("certificate issued"))
        job = job_of(collector)
        spans = [span for span in collector.spans if span.trace_id == job.trace_id]
        steps = [span for span in spans if span.parent_id == job.span_id]
        (preflight,) = [span for span in steps if span.name == "preflight"]

        assert STEPS == [span.name for span in steps]
        assert {"DNS", "CAA", "port 80"} <= {s.name for s in spans if s.parent_id == preflight.span_id}
        assert job.parent_id == ""
        assert {
            "certworker.domain": "main.localhost",
            "certworker.outcome": "issued",
            "certworker.issuer": last["issuer"],
        } == job.attributes
        assert all(job.begin_ns <= span.begin_ns <= span.end_ns <= job.end_ns for span in steps)
        assert ("certworker", job.trace_id) == (job.resource["service.name"], last["trace_id"])

    def test_without_a_collector_the_worker_is_as_fast_and_ends_in_time(self, worker: WorkerProcess) -> None:
        """
        Without a collector, the worker issues, logs one warning, and exits with 0 soon after SIGTERM.
        """
        worker.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
        worker.environment["OTEL_EXPORTER_OTLP_TIMEOUT"] = "1"
        worker.start()
        worker.wait_for_line("certificate issued")
        worker.wait_for_line("does not accept traces")
        began = time.monotonic()

        assert 0 == worker.terminate()
        # The worker needs up to 20 s for itself on a busy machine. The SDK alone would wait for 30 s.
        assert time.monotonic() - began < STOP_SECONDS + 20
        lines = [json.loads(line) for line in worker.log.splitlines()]
        (warning,) = [line["message"] for line in lines if "traces" in line["message"]]
        assert "(Connection refused)" in warning
        assert all("logger" not in line and "trace" not in line for line in lines)

    def test_without_the_variables_there_is_no_trace(self, worker: WorkerProcess) -> None:
        """
        Without the variables, no line has the id of a trace.
        """
        worker.start()
        worker.wait_for_line("certificate issued")

        assert "trace_id" not in worker.log


class TestTracer:
    def test_a_failed_job_is_an_error_with_its_code(
        self, tracer: Callable[..., Tracer], collector: Collector
    ) -> None:
        """
        The span of a failed job, and of the step that failed, is an error with the code.
        """
        with job(tracer()), step("lock"):
            pass
        failed = job_of(collector)
        (lock,) = collector.named("lock")

        assert (True, "lock.held") == (failed.is_error, failed.attributes["error.type"])
        assert (False, {}) == (lock.is_error, lock.attributes)

    def test_attributes_are_printable_and_bounded(
        self, tracer: Callable[..., Tracer], collector: Collector
    ) -> None:
        """
        An attribute with a text from outside is printable and bounded; an empty one is left out.
        """
        with job(tracer()):
            current_step().attributes |= {"issuer": "a\x1b[31m" + "x" * 10_000, "code": ""}

        attributes = job_of(collector).attributes
        assert "certworker.code" not in attributes
        assert attributes["certworker.issuer"].startswith("a\\x1b[31mxxx")
        assert len(attributes["certworker.issuer"]) <= 500

    def test_the_environment_names_the_service(
        self, tracer: Callable[..., Tracer], collector: Collector
    ) -> None:
        """
        OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES describe the process.
        """
        variables = {"OTEL_SERVICE_NAME": "certs", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=prod"}
        with job(tracer(**variables)):
            pass

        resource = job_of(collector).resource
        assert ("certs", "prod") == (resource["service.name"], resource["deployment.environment"])

    def test_a_job_that_is_not_sampled_has_no_trace(
        self, tracer: Callable[..., Tracer], collector: Collector
    ) -> None:
        """
        A job that the sampler leaves out is measured, and neither sent nor named in the log.
        """
        with tracer(OTEL_TRACES_SAMPLER="always_off").job("issue") as measured, step("lock"):
            assert "" == current_trace_id()

        assert ["lock"] == [each.name for each in measured.steps]
        assert 0 == collector.requests

    def test_a_collector_that_refuses_is_logged_once_without_secrets(
        self, tracer: Callable[..., Tracer], collector: Collector, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log has one line about a collector that refuses, one when it accepts, and no header or path.
        """
        collector.status = 401
        sending = tracer(
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.url}/v1/traces?key={SECRET[-8:]}",
            OTEL_EXPORTER_OTLP_HEADERS=f"authorization={SECRET.replace(' ', '%20')}",
        )
        with caplog.at_level(logging.DEBUG, "certworker"):
            for number in (1, 2, 3):
                with job(sending):
                    pass
                _wait_for_requests(collector, number)
            collector.status = 200
            with job(sending):
                pass
            wait_until(lambda: len(warnings(caplog)) == 2 or None, lambda: caplog.text)

        refused, accepted = warnings(caplog)
        assert "the collector does not accept traces (status 401)" in refused
        assert "the collector accepts traces again" == accepted
        assert SECRET[-8:] not in caplog.text

    def test_a_silent_collector_delays_neither_a_job_nor_the_end(
        self, tracer: Callable[..., Tracer], collector: Collector
    ) -> None:
        """
        While the collector does not answer, jobs end, spans are dropped, and the tracer stops in time.
        """
        collector.answers.clear()
        sending = tracer(OTEL_BSP_MAX_QUEUE_SIZE="16", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="8")
        for _ in range(100):
            with job(sending), step("lock"):
                pass
        wait_until(lambda: collector.requests or None, lambda: "no request")
        began = time.monotonic()
        sending.stop()

        assert 1 == collector.requests
        assert [] == collector.spans
        assert time.monotonic() - began < STOP_SECONDS + 5

    @pytest.mark.parametrize(
        ("endpoint", "reason"),
        [
            ("http://127.0.0.1:1", "Connection refused"),
            ("http://unknown.invalid:4318", "Name or service not known|Temporary failure in name resolution"),
            ("localhost:4318", "InvalidSchema"),
        ],
    )
    def test_the_log_has_the_reason(
        self,
        tracer: Callable[..., Tracer],
        caplog: pytest.LogCaptureFixture,
        endpoint: str,
        reason: str,
    ) -> None:
        """
        The line about a failed export has the reason of the system, or the type of the error.
        """
        with job(tracer(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="1")):
            pass
        (line,) = wait_until(lambda: warnings(caplog) or None, lambda: "no line")

        assert any(f"({each})" in line for each in reason.split("|"))
