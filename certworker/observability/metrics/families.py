"""
Every metric of certworker: its name, its type, its labels and its meaning.

docs/reference/metrics.md is generated from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from certworker.renewal.domain_status import STATES
from certworker.tracing.steps import JOB_STEPS

#: From a job without an order, through a fast CA, to a CA that validates for minutes.
JOB_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
#: From a lock in Redis to a validation by a CA that takes minutes.
STEP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
#: From a request that starts immediately to one that waits for a limit of the CA.
SERVICE_SECONDS = (0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)
#: From a CA on this machine to the longest response that certworker waits for.
REQUEST_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 45)
#: From a local check to the longest deadline of a check.
CHECK_SECONDS = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
#: From a single file to a writer that waits for many others.
PUBLICATION_SECONDS = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
#: From a proxy that reads one file to one that reads 50,000, and to one that restarts.
PROXY_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)

#: Expired, critical, overdue, due, due with a short validity period, new (see
#: :mod:`certworker.renewal.expiry_alerts` and :mod:`certworker.renewal.policy`).
REMAINING_RATIO_BUCKETS = (0.0, 0.1, 0.2, 1 / 3, 0.5, 1.0)

Type = Literal["counter", "gauge", "histogram", "gauge histogram", "info"]


@dataclass(frozen=True)
class Family:
    """
    One metric with all its series.
    """

    #: The name without the prefix `certworker_`, and without the suffix `_total` or `_info`.
    short_name: str
    type: Type
    #: One sentence for the HELP line of a scrape and for the documentation.
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    #: Whether each worker reports its own values. Otherwise, all workers report the same values.
    own: bool = True

    @property
    def name(self) -> str:
        """
        Return the name for the library, which adds the suffix of the type.
        """
        return f"certworker_{self.short_name}"

    @property
    def series(self) -> str:
        """
        Return the name in a query. The series of a histogram have further suffixes.
        """
        return self.name + {"counter": "_total", "info": "_info"}.get(self.type, "")


JOBS = Family("jobs", "counter", "Jobs that ended.", ("outcome", "code"))
JOB_DURATION = Family("job_duration_seconds", "histogram", "How long jobs took.", buckets=JOB_SECONDS)
STEP_DURATION = Family(
    "job_step_duration_seconds", "histogram", "How long the steps of jobs took.", ("step",), STEP_SECONDS
)
TIME_TO_SERVICE = Family(
    "request_to_service_seconds",
    "histogram",
    "The time from a request, or its last retry, to its new certificate in service; without renewals.",
    buckets=SERVICE_SECONDS,
)
ACME_REQUESTS = Family(
    "acme_requests", "counter", "HTTP requests to a CA that have ended.", ("issuer", "kind", "status")
)
ACME_DURATION = Family(
    "acme_request_duration_seconds",
    "histogram",
    "How long HTTP requests to a CA took.",
    ("issuer", "kind"),
    REQUEST_SECONDS,
)
CHECKS = Family("preflight_checks", "counter", "Completed checks before orders.", ("check", "outcome"))
CHECK_DURATION = Family(
    "preflight_check_duration_seconds",
    "histogram",
    "How long checks before orders took.",
    ("check",),
    CHECK_SECONDS,
)
PUBLICATIONS = Family(
    "publications", "counter", "Attempts to write the proxy's files for a certificate.", ("outcome",)
)
PUBLICATION_DURATION = Family(
    "publication_duration_seconds",
    "histogram",
    "How long it took to write the proxy's files.",
    buckets=PUBLICATION_SECONDS,
)
PROXY_DELAY = Family(
    "proxy_delay_seconds",
    "histogram",
    "How long the proxy took to serve a new certificate, with a precision of a second.",
    buckets=PROXY_SECONDS,
)
UNSERVED_AGE = Family(
    "unserved_publication_age_seconds",
    "gauge",
    "The age of the oldest new certificate of this worker that the proxy does not serve; 0 if there is none.",
)
LOCK_CONFLICTS = Family("lock_conflicts", "counter", "Names that another job had locked.")
BUNDLES = Family(
    "replication_bundles", "counter", "Bundles from other hosts that this host has read.", ("outcome",)
)
REPLICATION_LAG = Family(
    "replication_lag_seconds",
    "gauge",
    "The age of the oldest change of another host that is not in service on this host; 0 if there is none.",
)
REPLICATION_MISSING = Family(
    "replication_missing_names",
    "gauge",
    "How many fewer names this host has than the worker with the most names.",
)
QUEUE_JOBS = Family("queue_jobs", "gauge", "Jobs that are waiting on the queue.", own=False)
HEAD_AGE = Family(
    "queue_head_age_seconds",
    "gauge",
    "How long the next job on the queue has waited; 0 if no job is waiting.",
    own=False,
)
SCHEDULER_LAG = Family(
    "scheduler_lag_seconds",
    "gauge",
    "How late the earliest delayed job or check is; 0 if none is late.",
    own=False,
)
CERTIFICATES = Family("certificates", "gauge", "Names by state.", ("state",), own=False)
NAMES = Family(
    "names",
    "gauge",
    "Names by condition; a name may have several.",
    ("condition", "issuer", "code"),
    own=False,
)
FAILED = Family(
    "failed_certificates",
    "gauge",
    "Names whose last attempt failed, by the certificate in service.",
    ("certificate",),
    own=False,
)
EARLIEST = Family(
    "earliest_not_after_timestamp_seconds",
    "gauge",
    "When the first of the certificates in service expires; without moved names.",
    own=False,
)
REMAINING = Family(
    "certificate_remaining_ratio",
    "gauge histogram",
    "Names by the remaining share of the lifetime of their certificate; without moved names.",
    buckets=REMAINING_RATIO_BUCKETS,
    own=False,
)
NOT_BEFORE = Family(
    "certificate_not_before_timestamp_seconds",
    "gauge",
    "When the certificate of a name becomes valid.",
    ("name", "issuer"),
    own=False,
)
NOT_AFTER = Family(
    "certificate_not_after_timestamp_seconds",
    "gauge",
    "When the certificate of a name expires.",
    ("name", "issuer"),
    own=False,
)
RENEWAL = Family(
    "certificate_renewal_timestamp_seconds",
    "gauge",
    "When the certificate of a name is due for renewal.",
    ("name", "issuer"),
    own=False,
)
BUDGET_LEFT = Family(
    "budget_left", "gauge", "What is left of a limit of a CA.", ("issuer", "limit"), own=False
)
BUDGET_LIMIT = Family("budget_limit", "gauge", "The size of a limit of a CA.", ("issuer", "limit"), own=False)
NEXT_ORDER = Family(
    "next_order_timestamp_seconds",
    "gauge",
    "When the limits of a CA permit the next order; the time of the scrape if they permit it now.",
    ("issuer",),
    own=False,
)
NOTIFICATIONS = Family(
    "notifications_waiting",
    "gauge",
    "Notifications that have not been delivered yet.",
    ("channel",),
    own=False,
)
SILENCE = Family("loop_silence_seconds", "gauge", "Seconds since a loop made progress.", ("loop",))
STALLED = Family("loop_stalled", "gauge", "1 if a loop is stalled, otherwise 0.", ("loop",))
BUILD = Family("build", "info", "The version of certworker; the value is always 1.", ("version",))

#: All metrics, in the order of the documentation.
FAMILIES = (
    *(CERTIFICATES, NAMES, FAILED, REMAINING, EARLIEST, NOT_BEFORE, NOT_AFTER, RENEWAL),
    *(JOBS, JOB_DURATION, STEP_DURATION, TIME_TO_SERVICE, LOCK_CONFLICTS),
    *(QUEUE_JOBS, HEAD_AGE, SCHEDULER_LAG),
    *(CHECKS, CHECK_DURATION, ACME_REQUESTS, ACME_DURATION, BUDGET_LEFT, BUDGET_LIMIT, NEXT_ORDER),
    *(
        PUBLICATIONS,
        PUBLICATION_DURATION,
        PROXY_DELAY,
        UNSERVED_AGE,
        NOTIFICATIONS,
        BUNDLES,
        REPLICATION_LAG,
        REPLICATION_MISSING,
    ),
    *(SILENCE, STALLED, BUILD),
)

#: The values of each label.
LABELS: Mapping[str, str] = {
    "certificate": "`valid` while the certificate in service is valid, otherwise `none`",
    "channel": "`mail` or `hook`",
    "check": "the check, such as `DNS`, `CAA` or `port 80`",
    "code": "the code of the failure, such as `http.404`; `other` for an unknown code; empty without a "
    "failure",
    "condition": "`ready`: a valid certificate is in service; `failed`: the last attempt failed; "
    "`overdue`: less than a fifth of the lifetime is left; `paused`: the CA has paused the name",
    "issuer": "the CA: its value of `CERTWORKER_AUTHORITY`, or its host; `imported` or `adopted` for a "
    "certificate of an operator or of another program, `other` for any other CA, "
    "`none` without a certificate",
    "kind": "`directory`, `nonce`, `account`, `order` (a new order), `poll` (an order, an authorization or "
    "a certificate), `challenge`, `finalize`, `revocation`, `key_change`, `renewal_info` or `other`",
    "limit": "`orders`: the orders of the account; `domain`: the certificates of the registered domain "
    "that has the smallest share left; absent before the first certificate",
    "loop": "the loop ([Health](../guides/health.md) lists them)",
    "name": "the name",
    "outcome": "of jobs: `issued`, `imported`, `kept`, `covered`, `waiting`, `failed`, `skipped` or "
    "`removed`; of checks: `pass`, `warn`, `fail`, `skipped` or `error`; "
    "of publications: `written`, `unchanged` or `failed`; "
    "of bundles: `stored`, `removed`, `outdated` or the code of a failure, such as `replication.wrong_key`",
    "state": ", ".join(f"`{state}`" for state in STATES),
    "status": "a common HTTP status such as `200` or `429`; `2xx` to `5xx` for any other; "
    "`none` without an answer",
    "step": "the step of a job ([Log](log.md#timings) explains them): "
    + ", ".join(f"`{step}`" for step in JOB_STEPS),
    "version": "the version of certworker",
}
