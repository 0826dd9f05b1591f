"""
The functions that a job may call.

This module checks the values of a job before any other component uses them. The exception is the requester,
which each component makes printable.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ContextDecorator, suppress
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from redis.exceptions import RedisError

from certworker.domains import given_names, requested_names, tenant_of, warnings_for
from certworker.errors import CertworkerError, Interrupted, NotRecorded, Retry, printable
from certworker.errors.dns import InServiceForAnother
from certworker.errors.name import NameFailure
from certworker.errors.payload import PayloadType
from certworker.errors.worker import AlreadyInProgress, Unexpected
from certworker.issuance.removal import Removal
from certworker.issuance.service import CertificateIssuance, Outcome
from certworker.job_slot import current_slot
from certworker.renewal.due import DueNames
from certworker.state.forced_request import ForcedRequest
from certworker.state.locks import DomainLocks
from certworker.supervision import log_unexpected
from certworker.tracing.steps import current_step
from certworker.worker.job_report import JobReport, JobReporter, log_fields
from certworker.worker.producer import CHECK_DUE, ISSUE, REMOVE

logger = logging.getLogger(__name__)

#: How long a forced request waits for another job for one of its names, in seconds. The rest of the job's
#: time limit is for the order.
FORCED_WAIT_SECONDS = 600.0
#: The pause between two checks of a lock, in seconds.
LOCK_PAUSE_SECONDS = 0.25


@dataclass(frozen=True)
class Tasks:
    """
    The registered functions.

    Attributes:
        private_names: Whether the CA issues certificates for names of a private network.
        wildcards: Whether wildcards are accepted.
        explain: Returns the CertworkerError for an exception of another library, or None.
        job_step: Returns a decorator that measures a function as a job with the given name, and traces the
            job if tracing is on.
    """

    issuance: CertificateIssuance
    removal: Removal
    due_names: DueNames
    locks: DomainLocks
    reporter: JobReporter
    private_names: bool
    wildcards: bool
    explain: Callable[[BaseException], CertworkerError | None]
    job_step: Callable[[str], ContextDecorator]

    def functions(self) -> Mapping[str, Callable[..., dict[str, Any]]]:
        """
        Return the registered functions by the names that jobs use.
        """

        def issue(
            domain: object = None,
            domains: object = None,
            force: object = False,
            use_full_quota: object = False,
            tenant: object = None,
            by: object = None,
        ) -> dict[str, Any]:
            return self._issue(domain, domains, force, use_full_quota, tenant, by)

        def remove(domain: object = None, domains: object = None, by: object = None) -> dict[str, Any]:
            return self._remove(domain, domains, by)

        def check_due() -> dict[str, Any]:
            return dict(self.due_names.enqueue())

        functions = {
            ISSUE: issue,
            REMOVE: _with_unexpected_logged(remove),
            CHECK_DUE: _with_unexpected_logged(check_due),
        }
        return {name: self.job_step(function.__name__)(function) for name, function in functions.items()}

    def _issue(
        self,
        domain: object,
        domains: object,
        force: object,
        use_full_quota: object,
        tenant: object,
        by: object,
    ) -> dict[str, Any]:
        report, names = self.reporter.begin(), tuple[str, ...]()
        try:
            given = self._given_names(domain, domains, force=force)
            names = tuple(given)
            current_step().attributes["domain"] = names[0]
            report.follow(names[0])
            _require_bool("force", force)
            _require_bool("use_full_quota", use_full_quota)
            owner = tenant_of(tenant, names)
            if tenant is not None:
                self.issuance.ownership.record(names, owner)
            _log_warnings(given)
            named = None if tenant is None else owner
            forced = self._forced_request(names, by, named) if force is True else None
            _log_request(names[0], forced.by if forced else by, force=force is True)
            full_quota = force is True and use_full_quota is True
            if full_quota:
                logger.warning(
                    "using the CA's full rate limit, because the request has use_full_quota",
                    extra=log_fields(names[0], "audit"),
                )
            issue = partial(self.issuance.issue, names, use_full_quota=full_quota, tenant=named)
            return report.issued(self._forced(issue, names, forced, by) if forced else issue())
        except AlreadyInProgress as failure:
            plan = partial(self.issuance.attempts.plan_after_lease, names, self.locks.duration)
            report.optional("the plan of the next attempt", plan, None)
            return report.skipped(names, failure)
        except InServiceForAnother as failure:
            # The owner of the certificate in service must not get the failures of other tenants.
            report.failed((), failure)
            raise
        except CertworkerError as failure:
            if names and failure.retry is Retry.UNTIL:
                return report.waiting(names, failure)
            if isinstance(failure, Unexpected) and failure.__cause__:
                log_unexpected(f"the job for {', '.join(names)}", failure.__cause__)
            report.failed(names, failure)
            raise
        except Interrupted as interruption:
            report.failed(names, interruption.failure)
            raise interruption.failure from None
        except RedisError as error:
            # An attempt converts its own errors of Redis. This error occurred before or after the attempt.
            if names:
                self._plan_retry(report, names, self.explain(error))
            raise
        except Exception as error:
            raise self._unexpected(report, names, error) from error

    def _forced_request(self, names: tuple[str, ...], by: object, tenant: str | None) -> ForcedRequest:
        """
        Record the forced request of this job, and return it. In a repeated job, the request may have been
        completed already.
        """
        is_allowed = self.issuance.ownership.is_proven(names, tenant)
        return self.issuance.forced.record(names, by, tenant=tenant, is_allowed=is_allowed)

    def _forced(
        self, issue: Callable[..., Outcome], names: tuple[str, ...], request: ForcedRequest, by: object
    ) -> Outcome:
        """
        Issue a new certificate even if the one in service is not due. If another job for one of *names* is
        running, wait for its end.

        If *request* has been completed, issue a certificate only if one is needed.

        Raises:
            AlreadyInProgress: The other job takes longer than :data:`FORCED_WAIT_SECONDS`.
            CertworkerError: The attempt failed.
        """
        if request.is_completed:
            logger.info("the forced request has already been completed", extra=log_fields(names[0], "job"))
            return issue()
        ends = time.monotonic() + FORCED_WAIT_SECONDS
        while True:
            try:
                return issue(force=True, by=by)
            except AlreadyInProgress:
                if time.monotonic() >= ends:
                    raise
            current_slot().release_early()
            while time.monotonic() < ends and any(map(self.locks.is_held, names)):
                time.sleep(LOCK_PAUSE_SECONDS)

    def _given_names(self, domain: object, domains: object, *, force: object) -> dict[str, str]:
        """
        Return the normalized names of a request, each with its text.

        Raises:
            PayloadFailure, NameFailure: The request is invalid, or no configured CA issues certificates for a
                name.
        """
        try:
            return given_names(domain, domains, private=self.private_names, wildcards=self.wildcards)
        except NameFailure:
            # An operator can import a certificate from any CA, for any name.
            with suppress(NameFailure):
                given = given_names(domain, domains, private=True, wildcards=True)
                if force is False and self.issuance.are_imported(tuple(given)):
                    return given
            raise

    def _unexpected(self, report: JobReport, names: tuple[str, ...], error: Exception) -> Unexpected:
        log_unexpected(f"the job for {', '.join(names) or 'no name'}", error)
        failure = Unexpected(fault=repr(error))
        if names:
            # Without a plan, the name would wait until its next request.
            self._plan_retry(report, names, failure)
        report.failed(names, failure)
        return failure

    def _plan_retry(self, report: JobReport, names: tuple[str, ...], failure: CertworkerError | None) -> None:
        def plan() -> bool:
            # If another worker holds the lock on the name, that worker plans the next attempt.
            if failure and not self.locks.is_held(names[0]):
                self.issuance.attempts.record_not_started(names, failure)
            return True

        if not report.optional("the plan of the next attempt", plan, False):
            raise NotRecorded("the next attempt is not planned")

    def _remove(self, domain: object, domains: object, by: object) -> dict[str, Any]:
        report = self.reporter.begin()
        try:
            # Any certificate on the volume can be removed, even if the current CA would not issue it.
            names = requested_names(domain, domains, private=True, wildcards=True)
            for name in names:
                _log_audit("removal", name, by)
            tenant = self.reporter.records.tenant_of(names[0])
            known = [self.removal.remove(name) for name in names]
        except CertworkerError as failure:
            report.not_removed(failure)
            raise
        return report.removed(names, known=any(known), tenant=tenant)


def _with_unexpected_logged(function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """
    Return a wrapper of *function* that logs an unexpected exception and raises `worker.unexpected` for it.
    """

    @wraps(function)
    def logged(*arguments: object, **keywords: object) -> dict[str, Any]:
        try:
            return function(*arguments, **keywords)
        except (CertworkerError, RedisError, Interrupted):
            raise
        except Exception as error:
            log_unexpected(f"the function {function.__name__}", error)
            raise Unexpected(fault=repr(error)) from error

    return logged


def _log_warnings(given: Mapping[str, str]) -> None:
    # Log each warning once, because a hundred names under one shared domain have the same warning.
    logged: set[str] = set()
    for name, text in given.items():
        for warning in warnings_for(text, name):
            if warning not in logged:
                logger.warning("%s", warning, extra=log_fields(name, "job"))
                logged.add(warning)


def _log_request(name: str, by: object, *, force: bool) -> None:
    logger.info("request received%s", " (forced)" if force else "", extra=log_fields(name, "job"))
    if force or by:
        _log_audit("forced issuance" if force else "certificate", name, by)


def _log_audit(action: str, name: str, by: object) -> None:
    # The queue does not authenticate the requester, so the log repeats what the job states.
    requester = printable(by, 100) if by else "an unnamed producer"
    logger.info("%s requested by %s", action, requester, extra=log_fields(name, "audit"))


def _require_bool(field: str, value: object) -> None:
    if not isinstance(value, bool):
        raise PayloadType(field=field, wanted="true or false")
