"""
Tests of the variables that turn tracing on.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from certworker.tracing.setup import start_tracer

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}

#: A program that prints the modules of tracing that a worker without tracing has imported. redis-py imports
#: the metrics of OpenTelemetry if they are installed.
OFF = """
import sys
import certworker.runtime
from certworker.tracing.setup import start_tracer
assert start_tracer({"OTEL_SERVICE_NAME": "certs"}) is None
traces = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "opentelemetry.proto", "certworker.tracing.sp")
print([name for name in sys.modules if name.startswith(traces)])
"""


pytestmark = pytest.mark.usefixtures("restored_logging")


class TestStartTracer:
    def test_without_the_variables_nothing_of_traces_is_imported(self) -> None:
        """
        A worker without tracing imports no module of OpenTelemetry that makes or sends traces.
        """
        found = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True, check=True)

        assert "[]\n" == found.stdout

    @pytest.mark.parametrize(
        ("variables", "on"),
        [
            ({}, False),
            ({"OTEL_SERVICE_NAME": "certs"}, False),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
            (ENDPOINT, True),
            ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, True),
            ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
            ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False),
            ({**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"}, False),
            ({**ENDPOINT, "OTEL_SDK_DISABLED": "false"}, True),
        ],
    )
    def test_the_variables_turn_traces_on_and_off(
        self, variables: dict[str, str], on: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An endpoint or an exporter turns tracing on; OTEL_TRACES_EXPORTER and OTEL_SDK_DISABLED turn it off.
        """
        tracer = start_tracer(variables)
        if tracer:
            tracer.stop()

        assert on is (tracer is not None)
        assert "" == caplog.text

    def test_missing_packages_are_one_warning(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Without the extra, the worker runs, and one warning has the command that installs it.
        """
        monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
        monkeypatch.delitem(sys.modules, "certworker.tracing.spans", raising=False)

        assert start_tracer(ENDPOINT) is None
        (line,) = caplog.messages
        assert line.startswith("OTEL_EXPORTER_OTLP_ENDPOINT is set")
        assert "pip install 'certworker[otel]'" in line

    @pytest.mark.parametrize(
        ("variables", "beginning"),
        [
            ({"OTEL_TRACES_EXPORTER": "console"}, "tracing is off: OTEL_TRACES_EXPORTER"),
            ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is ignored"),
            ({**ENDPOINT, "OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "tracing is off: an OTEL_… variable is invalid"),
        ],
    )
    def test_an_unusable_variable_is_one_warning(
        self,
        variables: dict[str, str],
        beginning: str,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        A value that certworker cannot use is one warning, and the worker runs.
        """
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        if tracer := start_tracer(variables):
            tracer.stop()

        (line,) = caplog.messages
        assert line.startswith(beginning)
