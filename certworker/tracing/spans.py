"""
The export of steps as spans, with the SDK of OpenTelemetry: one trace for each job.

A thread of the SDK sends the spans in batches. A job never waits for the collector: while the queue of the
SDK is full, each new span replaces the oldest one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, Status, StatusCode, format_trace_id, set_span_in_context

from certworker.errors import printable
from certworker.supervision import optional
from certworker.tracing.steps import Step, in_trace, step
from certworker.version import __version__

logger = logging.getLogger(__name__)

#: The logger above all loggers of the SDK.
library_logger = logging.getLogger("opentelemetry")

#: The maximum time that a stopping worker waits for the delivery of the last spans.
STOP_SECONDS = 3.0

#: Repeated failures of the collector are logged at most once within this time.
REPEAT_SECONDS = 3600.0

#: The maximum number of exceptions in a chain of causes that are searched.
LONGEST_CHAIN = 10


class Connection(requests.Session):
    """
    The connection to the collector.

    Attributes:
        outcome: The status or the error of the last request, without its URL and headers.
    """

    outcome = "no request"

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        """
        Send a request, remember its outcome, and return the response.
        """
        try:
            response = super().request(*arguments, **options)
        except Exception as error:
            self.outcome = _cause(error)
            raise
        self.outcome = f"status {response.status_code}"
        return response


class ReportingExporter(SpanExporter):
    """
    Sends spans, and logs when they cannot be sent.
    """

    def __init__(self) -> None:
        self._connection = Connection()
        self._exporter = OTLPSpanExporter(session=self._connection)
        self._logged = -REPEAT_SECONDS
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """
        Send *spans*, and return whether this succeeded. Log a failure at most once an hour, and its end.
        """
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self._failing:
                logger.info("the collector accepts traces again")
            self._failing = False
        elif time.monotonic() - self._logged >= REPEAT_SECONDS:
            self._failing, self._logged = True, time.monotonic()
            logger.warning(
                "the collector does not accept traces (%s); certworker continues without them. "
                "Check OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS.",
                self._connection.outcome,
            )
        return result

    def shutdown(self) -> None:
        """
        Stop the exporter, which then retries no failed attempt.
        """
        self._exporter.shutdown()


class Tracer:
    """
    Sends a trace of each job. The SDK reads its settings from the environment.

    Raises:
        ValueError: A variable has an invalid value.
    """

    def __init__(self) -> None:
        # The log of the SDK repeats each error, and may contain the headers and the URL of the collector.
        library_logger.propagate = False
        library_logger.addHandler(logging.NullHandler())
        resource = Resource.create({SERVICE_NAME: "certworker", SERVICE_VERSION: __version__})
        resource = resource.merge(OTELResourceDetector().detect())  # OTEL_SERVICE_NAME has precedence
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(ReportingExporter()))
        self._tracer = self._provider.get_tracer("certworker", __version__)

    @contextmanager
    def job(self, name: str) -> Iterator[Step]:
        """
        Measure the block as a step, and send this step and those within it as a trace.
        """
        span = self._tracer.start_span(name)
        trace_id = format_trace_id(span.get_span_context().trace_id) if span.is_recording() else ""
        root = Step(name)
        try:
            with in_trace(trace_id), step(name) as root:
                yield root
        finally:
            optional("the trace", lambda: self._end(span, root), None)

    def stop(self) -> None:
        """
        Send the last spans. Wait for at most :data:`STOP_SECONDS`.
        """
        # The SDK itself would wait for up to 30 seconds.
        stopping = Thread(target=self._provider.shutdown, name="traces", daemon=True)
        stopping.start()
        stopping.join(STOP_SECONDS)

    def _end(self, span: Span, ended: Step) -> None:
        if not span.is_recording():
            return
        for each in tuple(ended.steps):
            child = self._tracer.start_span(each.name, set_span_in_context(span), start_time=each.began_ns)
            self._end(child, each)
        for key, value in ended.attributes.items():
            if value:
                span.set_attribute(f"certworker.{key}", printable(value))
        if ended.code:
            span.set_attribute("error.type", ended.code)
            span.set_status(Status(StatusCode.ERROR, ended.code))
        span.end(ended.began_ns + ended.duration_ns)


def _cause(error: BaseException) -> str:
    """
    Return the operating system's reason for *error*, or the name of its type.

    The messages of other errors may contain a URL.
    """
    cause = error
    for _ in range(LONGEST_CHAIN):
        if isinstance(cause, OSError) and cause.strerror:
            return printable(cause.strerror)
        below = [cause.__cause__, cause.__context__, *cause.args, getattr(cause, "reason", None)]
        cause = next((each for each in below if isinstance(each, BaseException)), cause)
    return type(error).__name__
