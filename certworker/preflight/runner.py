"""
All checks of a job, those of its names at the same time, before the CA is asked.

::

    machine ─► for each name:           ┌─► DNS ─────┐
               look up A, AAAA, CAA … ──┼─► CAA ─────┼─► a yes: go on;  a no: stop;
                                        └─► port 80 ─┘   a likely no: go on, once a day
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass

from redis.exceptions import RedisError

from certworker.errors import CertworkerError
from certworker.job_slot import NO_SLOT, JobSlot
from certworker.preflight.dns.records import DnsRecords
from certworker.preflight.result import Check, CheckContext, CheckResult, MachineCheck, Outcome
from certworker.preflight.settling import Settling
from certworker.preflight.ttl_cache import TtlCache
from certworker.supervision import log_unexpected

logger = logging.getLogger(__name__)

#: So many names are looked at at a time, for all jobs together; each of their checks has a thread of its own,
#: so that no answer comes late because others have to wait for their servers.
CONCURRENT_NAMES = 32

#: What was found is not asked for again so soon.
PASS_TTL_SECONDS = 60.0
#: Whoever has just repaired something does not wait for a minute.
FAIL_TTL_SECONDS = 5.0

#: The fast lane: no longer does a renewal of what works wait for the checks of its names, as their no would
#: hardly stop it.
RENEWAL_TIMEOUT_SECONDS = 2.0

#: What has ended with the deadline is told a moment later.
GRACE_SECONDS = 0.2

#: In the place of a name: what was found of this machine.
MACHINE = ("", False)


@dataclass(frozen=True)
class Found:
    """
    What one check answered.
    """

    check: str
    verdict: CheckResult


class PreflightRunner:
    """
    Asks our own questions, and decides whether the CA is asked.

    Args:
        inspections: The checks of this machine, cheapest first.
        checks: The checks of a name, cheapest first: of several failures the first one is raised.
        look_up: What DNS says of a name; it ends by itself.
        may_ask: Whether the CA may be asked about a name although it would probably say no: once a day.
        settling: Until its end the failures of some checks are checked again before they count.
    """

    def __init__(
        self,
        inspections: Sequence[MachineCheck],
        checks: Sequence[Check],
        look_up: Callable[[str], DnsRecords],
        may_ask: Callable[[str], bool],
        settling: Settling,
    ) -> None:
        self._inspections = inspections
        self._checks = checks
        self._look_up = look_up
        self._may_ask = may_ask
        self._settling = settling
        self._settles = {check.name for check in checks if check.settles}
        threads = CONCURRENT_NAMES * len(checks) + len(inspections)
        self._names = ThreadPoolExecutor(CONCURRENT_NAMES, thread_name_prefix="names")
        self._answers = ThreadPoolExecutor(threads, thread_name_prefix="checks")
        self._kept: TtlCache[tuple[str, bool], tuple[Found, ...]] = TtlCache()

    def __call__(
        self, names: Sequence[str], *, renewing: bool = False, slot: JobSlot = NO_SLOT
    ) -> tuple[CertworkerError, ...]:
        """
        Make sure that the CA would say yes to *names*, as far as can be told from here.

        Args:
            renewing: A certificate of theirs works, so that a no is but a likely no, and is not waited for.
            slot: Of the job that calls; it is released while failed checks are repeated after a start.

        Returns:
            What was found about the names and logged as warnings, the worst first: the likely causes of a
            refusal.

        Raises:
            CertworkerError: It would say no; or probably, and was asked within the day.
            redis.RedisError: A check needs Redis, and Redis failed. No result is cached.
        """
        of_the_machine = self._decide(names[0], self.examine_machine(), renewing=False)
        about_names = self._examine_settled(names, renewing, slot)
        findings: list[CertworkerError] = []
        for name, found in zip(names, about_names, strict=True):
            findings += self._decide(name, found, renewing=renewing)
        warnings = len(of_the_machine) + len(findings)
        logger.info(
            "preflight %s (%s)",
            f"passed with {warnings} {'warning' if warnings == 1 else 'warnings'}" if warnings else "ok",
            ", ".join(each.verdict.evidence for each in about_names[0] if each.verdict.evidence),
            extra={"domain": names[0], "event": "preflight"},
        )
        return tuple(findings)

    def examine_machine(self) -> tuple[Found, ...]:
        """
        What each inspection of this machine found.
        """
        return self._kept.get(MACHINE) or self._cache(
            MACHINE,
            self._gather((each, self._answers.submit(each.run)) for each in self._inspections),
        )

    def examine(self, names: Sequence[str], *, renewing: bool = False) -> list[tuple[Found, ...]]:
        """
        What each check found of each of *names*; of *renewing* what it found in time.
        """
        deadline = time.monotonic() + RENEWAL_TIMEOUT_SECONDS if renewing else math.inf
        under_way = [self._names.submit(self._examine_name, name, renewing, deadline) for name in names]
        try:
            return [_in_time(each, deadline) for each in under_way]
        finally:
            for each in under_way:
                each.cancel()  # a lookup that no job waits for must not delay those of other jobs

    def _examine_settled(
        self, names: Sequence[str], renewing: bool, slot: JobSlot
    ) -> list[tuple[Found, ...]]:
        """
        Return what each check found of each of *names*; just after the start once it has settled.
        """
        about_names = self.examine(names, renewing=renewing)
        failure, seconds = self._unsettled(*about_names), self._settling.seconds_left()
        if failure and seconds:
            logger.info(
                "the worker has just started: port 80 is checked again for up to %.0f s (%s)",
                seconds,
                failure.message,
                extra={"domain": names[0], "event": "preflight"},
            )
            # Names that nothing leads to must not fill the slots of a start.
            slot.release_early()
            for _ in self._settling.pauses():
                about_names = self.examine(names, renewing=renewing)
                if not self._unsettled(*about_names):
                    break
        return about_names

    def _unsettled(self, *about_names: Sequence[Found]) -> CertworkerError | None:
        failures = (
            each.verdict.failure for found in about_names for each in found if each.check in self._settles
        )
        return next(filter(None, failures), None)

    def _examine_name(self, name: str, renewing: bool, deadline: float) -> tuple[Found, ...]:
        if found := self._kept.get((name, renewing)):
            return found
        question = CheckContext(name, self._records(name), renewing)
        return self._cache(
            (name, renewing),
            self._gather(
                ((each, self._answers.submit(each.run, question)) for each in self._checks), deadline
            ),
        )

    def _records(self, name: str) -> DnsRecords:
        try:
            return self._look_up(name)
        except Exception as fault:
            # As with a check that fails by itself: the CA knows how to ask DNS.
            log_unexpected(f"the DNS lookup of {name}", fault)
            return DnsRecords(name)

    def _gather(
        self, asked: Iterable[tuple[Check | MachineCheck, Future[CheckResult]]], deadline: float = math.inf
    ) -> tuple[Found, ...]:
        under_way, began = list(asked), time.monotonic()
        return tuple(
            Found(check.name, _answer(check, future, min(began + check.deadline_seconds, deadline)))
            for check, future in under_way
        )

    def _cache(self, key: tuple[str, bool], found: tuple[Found, ...]) -> tuple[Found, ...]:
        if self._settling.seconds_left() and self._unsettled(found):
            return found
        well = all(each.verdict.outcome is Outcome.PASS for each in found)
        self._kept.put(key, found, PASS_TTL_SECONDS if well else FAIL_TTL_SECONDS)
        return found

    def _decide(self, name: str, found: Sequence[Found], *, renewing: bool) -> list[CertworkerError]:
        """
        Raise why the CA is not asked, or return what was logged as warnings, the worst first.
        """
        verdicts = [each.verdict for each in found]
        remarked = [remark for verdict in verdicts for remark in verdict.warnings]
        for remark in remarked:
            _warn(name, remark, "")
        certain = [
            verdict.failure for verdict in verdicts if verdict.outcome is Outcome.FAIL and verdict.failure
        ]
        # A copy each time: a failure that is raised holds the frames of its job, and this one is cached.
        if certain and not renewing:
            raise copy(certain[0])
        doubts = [verdict.failure for verdict in verdicts if verdict.failure]
        proven = not certain and any(verdict.is_proof for verdict in verdicts)
        if doubts and not proven and not self._may_ask(name):
            raise copy([*certain, *doubts][0])
        for doubt in doubts:
            _warn(name, doubt, "" if proven else " · the CA is asked all the same, once a day")
        return [*doubts, *remarked]


def _in_time(examined: Future[tuple[Found, ...]], deadline: float) -> tuple[Found, ...]:
    # Its checks end in time, if they have begun: what is late waits for DNS, or for its turn.
    patience = None if deadline == math.inf else max(0.0, deadline - time.monotonic()) + GRACE_SECONDS
    try:
        return examined.result(patience)
    except TimeoutError:
        return (Found("all", CheckResult.skipped("no check ended in time")),)


def _answer(check: Check | MachineCheck, future: Future[CheckResult], deadline: float) -> CheckResult:
    try:
        return future.result(max(0.0, deadline - time.monotonic()))
    except CertworkerError as failure:
        return CheckResult.fail(failure)
    except TimeoutError:
        return CheckResult.skipped(f"{check.name} not checked in time")
    except RedisError:
        # The check shares its token through Redis. The job needs Redis as well, and reports the reason.
        raise
    except Exception as fault:
        # A fault of ours in a check is no reason to leave a site without a certificate.
        log_unexpected(f"the check of {check.name}", fault)
        return CheckResult.skipped(f"{check.name} not checked")


def _warn(name: str, failure: CertworkerError, outlook: str) -> None:
    logger.warning(
        "preflight [%s] %s %s%s",
        failure.code,
        failure.message,
        failure.remedy,
        outlook,
        extra={"domain": name, "event": "preflight", "code": failure.code},
    )
