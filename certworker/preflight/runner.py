"""
All checks of a job, and the decision whether to order. The runner checks all names concurrently.

::

    machine ─► for each name:           ┌─► DNS ─────┐
               look up A, AAAA, CAA … ──┼─► CAA ─────┼─► PASS: order;  FAIL: stop;
                                        └─► port 80 ─┘   WARN: order once a day

In a renewal, a FAIL of a name counts as a WARN. A name that is validated by DNS-01 needs neither an address
nor port 80. Instead, the runner checks its zone and its DNS provider.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from copy import copy
from dataclasses import dataclass
from threading import BoundedSemaphore, Event
from typing import Self

from redis.exceptions import RedisError

from certworker.challenges.challenge import HTTP01
from certworker.dns.records import DnsRecords
from certworker.domains.wildcard import base_name
from certworker.errors import CertworkerError
from certworker.job_slot import NO_SLOT, JobSlot
from certworker.preflight.result import Check, CheckContext, CheckResult, MachineCheck, Outcome
from certworker.supervision import log_unexpected
from certworker.tracing.steps import step
from certworker.ttl_cache import TtlCache

logger = logging.getLogger(__name__)

#: The maximum number of names that all jobs together check at the same time. Each check that may wait has its
#: own thread, so that no result waits for other checks.
CONCURRENT_NAMES = 32

#: How long successful results are cached.
PASS_TTL_SECONDS = 60.0
#: How long results with a failure are cached. The time is short, so that a fix takes effect soon.
FAIL_TTL_SECONDS = 5.0

#: How long a renewal waits for the checks of its names. The time is short, because certworker orders a
#: renewal once a day despite failures.
RENEWAL_TIMEOUT_SECONDS = 2.0

#: The additional time for the results of checks that end at the deadline.
GRACE_SECONDS = 0.2

#: The cache key of the checks of this machine.
MACHINE = ("", False)

#: The length of the period after the start of a worker, in which it repeats some failed checks. On a busy
#: machine, Traefik needs several seconds to load its routes.
SETTLING_SECONDS = 30.0

#: The pauses between two attempts within this period.
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 3.0

#: Returns the result of a check. Raises TimeoutError after the given number of seconds.
Pending = Callable[[float], CheckResult]


@dataclass(frozen=True)
class NamedResult:
    """
    The result of one check, with its name.
    """

    check: str
    result: CheckResult


class PreflightRunner:
    """
    The runner of the checks, which decides whether to order.

    Args:
        machine_checks: The checks of this machine. The runner raises the first of several failures.
        checks: The checks of a name, cheapest first. The runner raises the first of several failures.
        look_up: Returns the DNS records of a name, within a limited time.
        may_order_anyway: Returns whether to order although the CA would probably refuse the name: once a day.
        settling: The period in which the runner repeats some failed checks.
        challenge_type: Returns the challenge type for a name: `http-01` or `dns-01`.
        observe: Called after each check that ran, with its name, its outcome (`pass`, `warn`, `fail`,
            `skipped` or `error`), and its duration in seconds.
    """

    def __init__(
        self,
        machine_checks: Sequence[MachineCheck],
        checks: Sequence[Check],
        look_up: Callable[[str], DnsRecords],
        may_order_anyway: Callable[[str], bool],
        settling: Settling,
        challenge_type: Callable[[str], str] = lambda _name: HTTP01,
        observe: Callable[[str, str, float], object] = lambda _check, _outcome, _seconds: None,
    ) -> None:
        self._machine_checks = machine_checks
        self._checks = checks
        self._look_up = look_up
        self._may_ask = may_order_anyway
        self._settling = settling
        self._challenge_type = challenge_type
        self._observe = observe
        self._settles = {check.name for check in checks if check.settles}
        threads = CONCURRENT_NAMES * len(checks) + len(machine_checks)
        self._name_threads = ThreadPoolExecutor(CONCURRENT_NAMES, thread_name_prefix="names")
        self._names_in_check = BoundedSemaphore(CONCURRENT_NAMES)
        self._check_threads = ThreadPoolExecutor(threads, thread_name_prefix="checks")
        self._cached: TtlCache[tuple[str, bool], tuple[NamedResult, ...]] = TtlCache()

    def __call__(
        self, names: Sequence[str], *, renewing: bool = False, slot: JobSlot = NO_SLOT
    ) -> tuple[CertworkerError, ...]:
        """
        Check this machine, and whether the CA would accept *names*.

        Args:
            renewing: Whether a valid certificate is in service. The CA then probably accepts the names
                despite a failure, and the checks have less time.
            slot: The slot of the job, which the runner releases before it repeats checks after a start.

        Returns:
            The logged findings about *names*, for each name the failures first: the likely causes of a
            refusal.

        Raises:
            CertworkerError: The first failure that prevents the order: a failed check of this machine, a
                certain refusal of a name unless *renewing*, or any other refusal of a name for which
                certworker has already ordered despite a refusal within a day.
            redis.RedisError: Redis failed. If a check of a name needed Redis, its name has no cached result.
        """
        machine_findings = self._decide(names[0], self.check_machine(), renewing=False)
        by_name = self._check_settled(names, renewing, slot)
        findings: list[CertworkerError] = []
        for name, found in zip(names, by_name, strict=True):
            findings += self._decide(name, found, renewing=renewing)
        warnings = len(machine_findings) + len(findings)
        logger.info(
            "preflight %s (%s)",
            f"passed with {warnings} {'warning' if warnings == 1 else 'warnings'}" if warnings else "ok",
            ", ".join(each.result.evidence for each in by_name[0] if each.result.evidence),
            extra={"domain": names[0], "event": "preflight"},
        )
        return tuple(findings)

    def check_machine(self) -> tuple[NamedResult, ...]:
        """
        Return the results of the checks of this machine.
        """
        return self._cached.get(MACHINE) or self._cache(
            MACHINE, self._gather([(each, self._submit(each)) for each in self._machine_checks])
        )

    def check_names(self, names: Sequence[str], *, renewing: bool = False) -> list[tuple[NamedResult, ...]]:
        """
        Return the results of all checks for each of *names*.

        A check that exceeds its deadline is skipped. If *renewing*, all checks together have only
        :data:`RENEWAL_TIMEOUT_SECONDS`.
        """
        if len(names) == 1 and not renewing:
            # The job waits for the result anyway, so its own thread checks the name.
            return [self._check_name(names[0], renewing, math.inf)]
        deadline = time.monotonic() + RENEWAL_TIMEOUT_SECONDS if renewing else math.inf
        # In a copy of the context, the checks belong to the step and to the log of this job.
        pending = [
            self._name_threads.submit(copy_context().run, self._check_name, name, renewing, deadline)
            for name in names
        ]
        try:
            return [_results_in_time(each, deadline) for each in pending]
        finally:
            for each in pending:
                each.cancel()  # so that an unneeded lookup does not delay those of other jobs

    def _check_settled(
        self, names: Sequence[str], renewing: bool, slot: JobSlot
    ) -> list[tuple[NamedResult, ...]]:
        """
        Return the results for each of *names*. Shortly after a start, repeat the checks while one fails whose
        service may still be starting.
        """
        by_name = self.check_names(names, renewing=renewing)
        failure, seconds = self._unsettled(*by_name), self._settling.seconds_left()
        if failure and seconds:
            logger.info(
                "the worker has just started: port 80 is checked again for up to %.0f s (%s)",
                seconds,
                failure.message,
                extra={"domain": names[0], "event": "preflight"},
            )
            # Names that do not point to this server must not occupy the slots after a start.
            slot.release_early()
            for _ in self._settling.pauses():
                by_name = self.check_names(names, renewing=renewing)
                if not self._unsettled(*by_name):
                    break
        return by_name

    def _unsettled(self, *by_name: Sequence[NamedResult]) -> CertworkerError | None:
        failures = (each.result.failure for found in by_name for each in found if each.check in self._settles)
        return next(filter(None, failures), None)

    def _check_name(self, name: str, renewing: bool, deadline: float) -> tuple[NamedResult, ...]:
        with self._names_in_check:
            if found := self._cached.get((name, renewing)):
                return found
            context = CheckContext(name, self._records(name), self._challenge_type(name))
            checks = [each for each in self._checks if context.challenge_type in each.challenge_types]
            started = [
                (
                    each,
                    self._immediate(each, context)
                    if each.is_immediate(context)
                    else self._submit(each, context),
                )
                for each in checks
            ]
            return self._cache((name, renewing), self._gather(started, deadline))

    def _submit(self, check: Check | MachineCheck, *context: CheckContext) -> Pending:
        return self._check_threads.submit(copy_context().run, self._observed, check, *context).result

    def _immediate(self, check: Check, context: CheckContext) -> Pending:
        return lambda _seconds: self._observed(check, context)

    def _observed(self, check: Check | MachineCheck, *context: CheckContext) -> CheckResult:
        # A check that ends after its deadline counts with its outcome, although no job waits for it.
        began, outcome = time.monotonic(), "error"
        try:
            result = _run(check, *context)
            outcome = "skipped" if result.is_skipped else result.outcome.name.lower()
        except CertworkerError:
            outcome = "fail"
            raise
        else:
            return result
        finally:
            self._observe(check.name, outcome, time.monotonic() - began)

    def _records(self, name: str) -> DnsRecords:
        try:
            return self._look_up(base_name(name))
        except Exception as error:
            # The CA has its own resolver, so it may still issue the certificate.
            log_unexpected(f"the DNS lookup of {name}", error)
            return DnsRecords(name)

    def _gather(
        self,
        started: Sequence[tuple[Check | MachineCheck, Pending]],
        deadline: float = math.inf,
    ) -> tuple[NamedResult, ...]:
        began = time.monotonic()
        return tuple(
            NamedResult(
                check.name, _result_in_time(check, pending, min(began + check.deadline_seconds, deadline))
            )
            for check, pending in started
        )

    def _cache(self, key: tuple[str, bool], found: tuple[NamedResult, ...]) -> tuple[NamedResult, ...]:
        if self._settling.seconds_left() and self._unsettled(found):
            return found
        passed = all(each.result.outcome is Outcome.PASS for each in found)
        self._cached.put(key, found, PASS_TTL_SECONDS if passed else FAIL_TTL_SECONDS)
        return found

    def _decide(self, name: str, found: Sequence[NamedResult], *, renewing: bool) -> list[CertworkerError]:
        """
        Raise the failure that prevents an order, or return the findings that were logged as warnings.

        The failures precede the warnings.
        """
        results = [each.result for each in found]
        warnings_found = [warning for result in results for warning in result.warnings]
        for warning in warnings_found:
            _warn(name, warning, "")
        certain_failures = [
            result.failure for result in results if result.outcome is Outcome.FAIL and result.failure
        ]
        # Raise a copy, because a raised failure holds references to the frames of its job, and this one is
        # cached.
        if certain_failures and not renewing:
            raise copy(certain_failures[0])
        failures = [result.failure for result in results if result.failure]
        proven = not certain_failures and any(result.is_proof for result in results)
        if failures and not proven and not self._may_ask(name):
            raise copy([*certain_failures, *failures][0])
        for failure in failures:
            _warn(name, failure, "" if proven else " · certworker ignores this failure once a day")
        return [*failures, *warnings_found]


def _run(check: Check | MachineCheck, *context: CheckContext) -> CheckResult:
    names = {"domain": context[0].name} if context else {}
    with step(check.name, **names) as current:
        result: CheckResult = check.run(*context)
        current.attributes["outcome"] = result.outcome.name.lower()
        if result.failure:
            current.attributes["code"] = result.failure.code
        return result


def _results_in_time(
    pending_results: Future[tuple[NamedResult, ...]], deadline: float
) -> tuple[NamedResult, ...]:
    # Checks that have started end in time. Others are still waiting for DNS or for a thread.
    seconds = None if deadline == math.inf else max(0.0, deadline - time.monotonic()) + GRACE_SECONDS
    try:
        return pending_results.result(seconds)
    except TimeoutError:
        return (NamedResult("all", CheckResult.skipped("no check ended in time")),)


def _result_in_time(check: Check | MachineCheck, pending: Pending, deadline: float) -> CheckResult:
    try:
        return pending(max(0.0, deadline - time.monotonic()))
    except CertworkerError as failure:
        return CheckResult.fail(failure)
    except TimeoutError:
        return CheckResult.skipped(f"{check.name} not checked in time")
    except RedisError:
        # The check shares its token through Redis. The job also needs Redis, and reports the reason.
        raise
    except Exception as error:
        # An unexpected error in a check must not prevent a certificate.
        log_unexpected(f"the check of {check.name}", error)
        return CheckResult.skipped(f"{check.name} not checked")


def _warn(name: str, failure: CertworkerError, suffix: str) -> None:
    logger.warning(
        "preflight [%s] %s %s%s",
        failure.code,
        failure.message,
        failure.remedy,
        suffix,
        extra={"domain": name, "event": "preflight", "code": failure.code},
    )


class Settling:
    """
    The first *seconds* of a worker, in which Traefik may not route port 80 to it yet.

    After `docker compose up`, the worker may start its first jobs while Traefik is still loading its routes.
    A check that fails in this period may pass later.

    Args:
        stopping: Ends the period and its pauses.
        first_pause_seconds: The length of the first pause. Later pauses are longer.
    """

    def __init__(
        self,
        stopping: Event,
        seconds: float = SETTLING_SECONDS,
        *,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._stopping = stopping
        self._until = time.monotonic() + seconds
        self._first_pause = first_pause_seconds

    @classmethod
    def over(cls) -> Self:
        """
        Return a period that has already ended.
        """
        return cls(Event(), 0)

    def seconds_left(self) -> float:
        """
        Return the remaining seconds; 0 after the end.
        """
        return 0.0 if self._stopping.is_set() else max(0.0, self._until - time.monotonic())

    def pauses(self) -> Iterator[None]:
        """
        Yield after each pause until the end of the period. The pauses grow up to the longest one.
        """
        pause = self._first_pause
        while left := self.seconds_left():
            self._stopping.wait(min(pause, left))
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
            yield
