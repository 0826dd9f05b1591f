"""
A collector of OpenTelemetry: an HTTP server that decodes traces in OTLP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class ReceivedSpan:
    """
    One span as the collector received it.
    """

    trace_id: str
    span_id: str
    #: The id of the span that contains it; empty for a job.
    parent_id: str
    name: str
    begin_ns: int
    end_ns: int
    attributes: Mapping[str, str]
    is_error: bool
    #: The attributes of the process.
    resource: Mapping[str, str]


class Collector:
    """
    Receives spans at `http://127.0.0.1:PORT/v1/traces`.

    Attributes:
        spans: The spans so far, in the order of their end.
        requests: The number of requests.
        status: The status of each response.
        answers: While this event is not set, no request is answered.
    """

    def __init__(self, port: int = 0) -> None:
        self.spans: list[ReceivedSpan] = []
        self.requests = 0
        self.status = 200
        self.answers = Event()
        self.answers.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.requests += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.answers.wait(60)
                if collector.status == 200 and self.path == "/v1/traces":
                    collector.spans += _decoded(body)
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()

    def named(self, name: str) -> list[ReceivedSpan]:
        """
        Return the spans with *name*.
        """
        return [span for span in self.spans if span.name == name]


def _decoded(body: bytes) -> list[ReceivedSpan]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        ReceivedSpan(
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            name=span.name,
            begin_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            attributes={each.key: each.value.string_value for each in span.attributes},
            is_error=span.status.code == span.status.STATUS_CODE_ERROR,
            resource={each.key: each.value.string_value for each in sent.resource.attributes},
        )
        for sent in request.resource_spans
        for scope in sent.scope_spans
        for span in scope.spans
    ]
