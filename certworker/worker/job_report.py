"""
Reports how a job ended: its last log line, a notification, an event, and a metric.

A report that fails is logged. Its failure changes neither the other reports nor the outcome of the job.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from certworker.errors import CertworkerError, Retry, printable
from certworker.errors.dns import Moved
from certworker.errors.imports import ImportInService
from certworker.issuance.service import Outcome
from certworker.job_slot import current_slot
from certworker.notify.notifier import Notifier
from certworker.observability.events import EventPublisher
from certworker.observability.history import RecentLines
from certworker.observability.metrics.registry import Metrics
from certworker.renewal.agenda import Agenda
from certworker.state.domain_records import DomainRecord, DomainRecords
from certworker.supervision import optional
from certworker.tracing.steps import current_step

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: The last log line of a job that succeeded, by its state.
SUCCESS_MESSAGES = {
    "issued": "certificate issued",
    "imported": "imported certificate in service",
    "kept": "certificate valid, nothing to do",
    "covered": "a wildcard covers the name, nothing to do",
}


@dataclass(frozen=True)
class JobReporter:
    """
    Reports to the log, the notifier, the events, and the metrics.

    Attributes:
        explain: Returns the CertworkerError for an exception of another library, or None.
    """

    notifier: Notifier
    events: EventPublisher
    metrics: Metrics
    agenda: Agenda
    records: DomainRecords
    clock: Callable[[], datetime]
    explain: Callable[[BaseException], CertworkerError | None]

    def begin(self) -> JobReport:
        """
        Return the report of a job that starts now.
        """
        return JobReport(self)


class JobReport:
    """
    The report of one job.
    """

    def __init__(self, reporter: JobReporter) -> None:
        self._reporter = reporter
        self._started = time.monotonic()
        self._job = current_step()
        self._lines: RecentLines | None = None

    def follow(self, name: str) -> None:
        """
        Include the log lines about *name* in the event, both the earlier and the following ones.
        """
        self._lines = self._reporter.events.history.follow(name)

    def issued(self, outcome: Outcome) -> dict[str, Any]:
        """
        Report that a certificate was issued or imported, is still valid, or is not needed; return the result
        of the job.
        """
        metadata, seconds = outcome.metadata, time.monotonic() - self._started
        kept_import = None
        if outcome.state == "kept" and metadata.is_imported:
            kept_import = ImportInService(name=outcome.names[0])
        logger.info(
            str(kept_import) if kept_import else SUCCESS_MESSAGES[outcome.state],
            extra=log_fields(
                outcome.names[0],
                outcome.state if outcome.state in ("issued", "imported") else "skipped",
                **({"code": kept_import.code} if kept_import else {}),
                fields={
                    **({"by": outcome.by} if outcome.by else {}),
                    "duration_s": round(seconds, 3),
                    **self._timings(),
                    "serial": metadata.serial,
                    "issuer": metadata.issuer,
                    "not_before": metadata.not_before,
                    "not_after": metadata.not_after,
                    "next_check": outcome.next_check,
                },
            ),
        )
        notify = partial(self._reporter.notifier.notify_recovered, outcome.names[0], self._reporter.clock())
        self.optional("the notification", notify, None)
        self._job.attributes["issuer"] = metadata.issuer
        self.count(outcome.state, "")
        if outcome.state == "issued":
            self.optional("the metric", self._count_in_service, None)
        return self.result(outcome.names, outcome.state, kept_import, outcome.record)

    def removed(self, names: tuple[str, ...], *, known: bool, tenant: str) -> dict[str, Any]:
        """
        Report the removal of *names*, which belonged to *tenant*; return the result of the job.

        *known* is whether at least one of *names* was known.
        """
        self.count("removed", "")
        return self.result(names, "removed" if known else "unknown", tenant=tenant)

    def not_removed(self, failure: CertworkerError) -> None:
        """
        Report the *failure* of a removal.
        """
        logger.warning("not removed: %s", failure, extra=log_fields(None, "failed", code=failure.code))
        self.count("failed", failure.code)

    def skipped(self, names: tuple[str, ...], failure: CertworkerError) -> dict[str, Any]:
        """
        Report that another job has locked one of *names*; return the result of this job.
        """
        logger.info(
            "%s",
            failure.message,
            extra=log_fields(names[0], "skipped", code=failure.code, fields=self._timings()),
        )
        self.count("skipped", failure.code)
        return {"state": "waiting", "names": names, **failure.as_json()}

    def waiting(self, names: tuple[str, ...], failure: CertworkerError) -> dict[str, Any]:
        """
        Report that *names* are waiting until the time in *failure*; return the result of the job.
        """
        planned = partial(self._reporter.agenda.next_check, names[0])
        next_attempt = self.optional("the time of the next attempt", planned, None)
        logger.warning(
            "waiting: %s",
            failure,
            extra=log_fields(
                names[0],
                "waiting",
                code=failure.code,
                fields={**failure.as_json(), "next_attempt": next_attempt, **self._timings()},
            ),
        )
        self.count("waiting", failure.code)
        return self.result(names, "waiting", failure)

    def failed(self, names: tuple[str, ...], failure: CertworkerError) -> None:
        """
        Report that the job ended with *failure*.

        Args:
            names: The normalized names; empty if the job failed before its names were known, or if a
                certificate for them belongs to another tenant.
            failure: The cause.
        """
        name, record = names[0] if names else None, None
        if name is not None:
            record = self.optional("the record", partial(self._reporter.records.read, name), None)
        attempt, next_attempt = (record.attempts, record.next_check) if record else (None, None)
        if name is not None:
            notify = partial(
                self._reporter.notifier.notify_failed, name, failure, next_attempt, self._reporter.clock()
            )
            self.optional("the notification", notify, None)
        level = logging.ERROR if failure.retry is Retry.CA else logging.WARNING
        if failure.problem:
            logger.log(
                level,
                'the CA reported: %s "%s"',
                printable(failure.problem.get("type")),
                printable(failure.problem.get("detail")),
                extra=log_fields(name, "failed", code=failure.code),
            )
        logger.log(
            level,
            "certificate not issued: %s",
            failure,
            extra=log_fields(
                name,
                "failed",
                code=failure.code,
                fields={
                    **failure.as_json(),
                    "attempt": attempt,
                    "next_attempt": next_attempt,
                    **self._timings(),
                },
            ),
        )
        if names:
            self.result(names, "moved" if isinstance(failure, Moved) else "failed", failure, record)
        self.count("failed", failure.code)

    def result(
        self,
        names: tuple[str, ...],
        state: str,
        failure: CertworkerError | None = None,
        record: DomainRecord | None = None,
        tenant: str = "",
    ) -> dict[str, Any]:
        """
        Publish the outcome as an event; return it as the result of the job.

        Args:
            names: The normalized names.
            state: The state in the event.
            failure: The cause of the state.
            record: The record of the first name; if None, it is read from Redis.
            tenant: The tenant of the first name; if empty, the tenant in the record applies.
        """
        minimal: dict[str, Any] = {"state": state, "name": names[0], "names": list(names)}
        minimal |= failure.as_json() if failure else {"code": "", "message": "", "remedy": ""}
        publish = self._reporter.events.publish
        event = partial(publish, names, state, failure, record=record, tenant=tenant, lines=self._lines)
        return self.optional("the event", event, minimal)

    def count(self, outcome: str, code: str) -> None:
        """
        Count the job in the metrics, with its duration.
        """
        self._job.attributes |= {"outcome": outcome, "code": code}
        seconds, steps = time.monotonic() - self._started, self._job.durations()
        count = partial(self._reporter.metrics.job, outcome, code, seconds, steps)
        self.optional("the metric", count, None)

    def _timings(self) -> dict[str, object]:
        return {"timings_ms": timings} if (timings := self._job.timings_ms()) else {}

    def _count_in_service(self) -> None:
        if requested_at := current_slot().requested_at:
            waited = self._reporter.clock() - requested_at
            self._reporter.metrics.in_service(waited.total_seconds())

    def optional(self, subject: str, step: Callable[[], Result], otherwise: Result) -> Result:
        """
        Return the result of *step*. If *step* fails, log the failure and return *otherwise*.
        """
        return optional(subject, step, otherwise, self._reporter.explain)


def log_fields(name: str | None, event: str, **more: object) -> dict[str, object]:
    """
    Return the fields of a log line about *name*, which is None for a line about no name or about several.
    """
    return {"domain": name, "event": event, **more}
