"""
The steps of a job: their durations, and their traces in the format of OpenTelemetry.

::

    a job ──► step ──► step ──► …    always measured, for the log and the metrics
                │
                └──► spans           only if a variable such as OTEL_EXPORTER_OTLP_ENDPOINT is set

Without such a variable, certworker imports nothing from OpenTelemetry.

In import order (★ to read first)::

    steps    ★ The steps of a job and their durations
    spans    The export of steps as spans, with the SDK of OpenTelemetry
    setup    Starts tracing if the environment requests it
"""
