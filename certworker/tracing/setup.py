"""
Starts tracing if the environment requests it.

The variables are those of OpenTelemetry, and the SDK reads most of their values. This module itself checks
whether tracing is on, and whether its format is supported: a worker without tracing must not import the SDK.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from certworker.errors import printable

if TYPE_CHECKING:
    from certworker.tracing.spans import Tracer

logger = logging.getLogger(__name__)

#: Either of these variables enables tracing.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTER = "OTEL_TRACES_EXPORTER"
DISABLED = "OTEL_SDK_DISABLED"
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

#: The only format that certworker sends.
PROTOCOL = "http/protobuf"


def start_tracer(environ: Mapping[str, str]) -> Tracer | None:
    """
    Return a tracer for jobs if a variable in *environ* requests tracing; otherwise None.

    Tracing is optional: missing packages or an invalid variable cause only a warning, and None is returned.
    """
    if not (variable := _asking(environ)):
        return None
    try:
        from certworker.tracing.spans import Tracer
    except ImportError:
        logger.warning(
            "%s is set, but the packages for tracing are missing. For a container, build your own image "
            "(see docs/guides/monitoring.md). Otherwise, install them: pip install 'certworker[otel]'",
            variable,
        )
        return None
    if other := _first(environ, *PROTOCOLS, without=PROTOCOL):
        logger.warning(
            "%s is ignored: certworker sends traces only as %s. "
            "Set the endpoint to the HTTP port of the collector, usually 4318",
            other,
            PROTOCOL,
        )
    try:
        return Tracer()
    except Exception as error:
        # The SDK rejects invalid values, for example of OTEL_EXPORTER_OTLP_COMPRESSION.
        logger.warning("tracing is off: an OTEL_… variable is invalid (%s)", printable(error))
        return None


def _asking(environ: Mapping[str, str]) -> str:
    """
    Return the variable that requests tracing; empty if none does, or if another one turns tracing off.
    """
    if _value(environ, DISABLED).lower() == "true":
        return ""
    exporter = _value(environ, EXPORTER).lower()
    if exporter not in ("", "none", "otlp"):
        logger.warning("tracing is off: %s is neither otlp nor none", EXPORTER)
    if exporter not in ("", "otlp"):
        return ""
    return EXPORTER if exporter else _first(environ, *ENDPOINTS)


def _first(environ: Mapping[str, str], *variables: str, without: str = "") -> str:
    return next((name for name in variables if _value(environ, name) not in ("", without)), "")


def _value(environ: Mapping[str, str], variable: str) -> str:
    return environ.get(variable, "").strip()
