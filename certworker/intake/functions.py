"""
What the registered names do: the door between a job and the house.

Whatever a job says is checked here before any room sees it, and the last line of each job says how it
ended and what happens next.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial, wraps
from typing import Any, TypeVar

from redis.exceptions import RedisError

from certworker.assembly import House
from certworker.errors import CertworkerError, Interrupted, Retry, printable
from certworker.errors.machine import AlreadyUnderWay, Unexpected
from certworker.errors.naming import PayloadType
from certworker.issuance import Outcome
from certworker.ledger.faults import explainer
from certworker.names import domain_name, remarks, requested_names, tenant_of
from certworker.renewal import in_words
from certworker.supervision import log_unexpected, optional

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


def functions_of(house: House) -> Mapping[str, Callable[..., dict[str, Any]]]:
    """
    The functions that a job may name; there are no others.
    """

    def issue(
        domain: object = None,
        domains: object = None,
        force: object = False,
        i_know: object = False,
        tenant: object = None,
        by: object = None,
    ) -> dict[str, Any]:
        return _Job(house, by).issue(domain, domains, force, i_know, tenant)

    def remove(domain: object = None, domains: object = None, by: object = None) -> dict[str, Any]:
        return _Job(house, by).remove(domain, domains)

    def look() -> dict[str, Any]:
        return dict(house.rounds.look())

    return {
        "certworker.issue": issue,
        "certworker.remove": _reported(remove),
        "certworker.look": _reported(look),
    }


def _reported(function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """
    Return *function*, changed so that an exception nobody expected is logged and becomes `worker.unexpected`.
    """

    @wraps(function)
    def reported(*arguments: object, **keywords: object) -> dict[str, Any]:
        try:
            return function(*arguments, **keywords)
        except (CertworkerError, RedisError, Interrupted):
            raise
        except Exception as fault:
            log_unexpected(f"the function {function.__name__}", fault)
            raise Unexpected(fault=repr(fault)) from fault

    return reported


class _Job:
    def __init__(self, house: House, by: object) -> None:
        self.house = house
        self.by = by
        self.began = time.monotonic()
        self.explain = explainer(house.connection)

    def issue(
        self, domain: object, domains: object, force: object, i_know: object, tenant: object
    ) -> dict[str, Any]:
        names: tuple[str, ...] = ()
        try:
            names = requested_names(domain, domains, private=self.house.settings.authority.private_names)
            _refuse_unless_bool("force", force)
            _refuse_unless_bool("i_know", i_know)
            tenant_of(tenant, names)
            self._remark([domain] if domains is None else domains)
            logger.info("request received%s", " (forced)" if force else "", extra=_about(names[0], "job"))
            if force or self.by:
                self._audit(names[0], "force" if force else "request")
            if insisting := force is True and i_know is True:
                logger.warning(
                    "somebody insists: our own caution is set aside", extra=_about(names[0], "audit")
                )
            return self._tell_success(
                self.house.issuer.issue(names, force=force is True, insisting=insisting)
            )
        except AlreadyUnderWay as busy:
            logger.info("%s", busy.message, extra=_about(names[0], "skipped", code=busy.code))
            plan = partial(self.house.issuer.attempts.held_elsewhere, names, self.house.locks.duration)
            self._optional("the plan of the next attempt", plan, None)
            self._count("skipped", busy.code)
            return {"state": "waiting", "names": names, **busy.as_json()}
        except CertworkerError as failure:
            if names and failure.retry is Retry.UNTIL:
                return self._tell_waiting(names, failure)
            if isinstance(failure, Unexpected) and failure.__cause__:
                log_unexpected(f"the job for {', '.join(names)}", failure.__cause__)
            self._tell_failure(names, failure)
            raise
        except Interrupted as end:
            self._tell_failure(names, end.failure)
            raise end.failure from None
        except RedisError as error:
            # Outside of an attempt, which has a sentence for it.
            if names:
                self._plan(names, self.explain(error))
            raise
        except Exception as fault:
            raise self._unexpected(names, fault) from fault

    def _unexpected(self, names: tuple[str, ...], fault: Exception) -> Unexpected:
        # Outside of an attempt, too: without a plan the name would wait until it is requested again.
        log_unexpected(f"the job for {', '.join(names) or 'no name'}", fault)
        failure = Unexpected(fault=repr(fault))
        if names:
            self._plan(names, failure)
        self._tell_failure(names, failure)
        return failure

    def _plan(self, names: tuple[str, ...], failure: CertworkerError | None) -> None:
        def plan() -> None:
            # Whoever has the names knows more, and writes it down.
            if failure and not self.house.locks.is_held(names[0]):
                self.house.issuer.attempts.not_begun(names, failure)

        self._optional("the plan of the next attempt", plan, None)

    def _optional(self, what: str, step: Callable[[], Result], otherwise: Result) -> Result:
        # What others are told of a job, and what is counted, does not decide how it ends.
        return optional(what, step, otherwise, self.explain)

    def _remark(self, given: Any) -> None:
        # Each remark once: a hundred names of one shared domain have the same.
        said: set[str] = set()
        for text in given:
            name = domain_name(text, private=True)
            for remark in remarks(text, name):
                if remark not in said:
                    logger.warning("%s", remark, extra=_about(name, "job"))
                    said.add(remark)

    def remove(self, domain: object, domains: object) -> dict[str, Any]:
        # Whatever is there may go, even if today's CA would not certify it.
        try:
            names = requested_names(domain, domains, private=True)
            for name in names:
                self._audit(name, "removal")
            known = [self.house.removal.remove(name) for name in names]
        except CertworkerError as failure:
            logger.warning("NOT REMOVED %s", failure, extra=_about(None, "failed", code=failure.code))
            self._count("failed", failure.code)
            raise
        self._count("removed", "")
        return self._result(names, "removed" if any(known) else "unknown")

    def _tell_success(self, outcome: Outcome) -> dict[str, Any]:
        facts, seconds = outcome.facts, time.monotonic() - self.began
        said = "DONE in %.1f s" if outcome.state == "issued" else "valid; nothing to do (%.1f s)"
        logger.info(
            said + " · valid until %s (%s) · next look %s",
            seconds,
            f"{facts.not_after:%Y-%m-%d %H:%M} UTC",
            in_words(max(facts.not_after - self.house.clock(), timedelta(0))),
            f"{outcome.next_look:%Y-%m-%d %H:%M} UTC",
            extra=_about(
                facts.names[0],
                "issued" if outcome.state == "issued" else "skipped",
                fields={
                    "duration_s": round(seconds, 3),
                    "serial": facts.serial,
                    "issuer": facts.issuer,
                    "not_before": facts.not_before,
                    "not_after": facts.not_after,
                    "next_look": outcome.next_look,
                },
            ),
        )
        name = facts.names[0]
        notify = partial(self.house.post_office.succeeded, name, self.house.clock())
        self._optional("the notification", notify, None)
        self._count(outcome.state, "")
        return self._result(facts.names, outcome.state)

    def _tell_waiting(self, names: tuple[str, ...], failure: CertworkerError) -> dict[str, Any]:
        moment = partial(self.house.agenda.moment, names[0])
        again = self._optional("the moment of the next attempt", moment, None)
        logger.warning(
            "WAITING%s [%s] %s %s",
            f" until {again:%Y-%m-%d %H:%M} UTC" if again else "",
            failure.code,
            failure.message,
            failure.remedy,
            extra=_about(
                names[0], "waiting", code=failure.code, fields={**failure.as_json(), "next_attempt": again}
            ),
        )
        self._count("waiting", failure.code)
        return self._result(names, "waiting", failure)

    def _tell_failure(self, names: tuple[str, ...], failure: CertworkerError) -> None:
        # A request that was refused has no name that could be trusted on a line of its own.
        read = partial(self.house.records.read, names[0] if names else "")
        record = self._optional("the record", read, None) if names else None
        again = record.next_look if record else None
        if names:
            tell = partial(self.house.post_office.failed, names[0], failure, again, self.house.clock())
            self._optional("the notification", tell, None)
        level = logging.ERROR if failure.retry is Retry.CA else logging.WARNING
        if failure.problem:
            logger.log(
                level,
                'the CA said: %s "%s"',
                printable(failure.problem.get("type")),
                printable(failure.problem.get("detail")),
                extra=_about(names[0] if names else None, "failed", code=failure.code),
            )
        logger.log(
            level,
            "NOT ISSUED [%s] %s %s%s",
            failure.code,
            failure.message,
            failure.remedy,
            f" · attempt {record.attempts} · next try {again:%Y-%m-%d %H:%M} UTC" if record and again else "",
            extra=_about(
                names[0] if names else None,
                "failed",
                code=failure.code,
                fields={**failure.as_json(), "next_attempt": again},
            ),
        )
        if names:
            self._result(names, "failed", failure)
        self._count("failed", failure.code)

    def _result(
        self, names: tuple[str, ...], state: str, failure: CertworkerError | None = None
    ) -> dict[str, Any]:
        least: dict[str, Any] = {"state": state, "name": names[0], "names": list(names)}
        least |= failure.as_json() if failure else {"code": "", "message": "", "remedy": ""}
        tell = partial(self.house.results.tell, names, state, failure)
        return self._optional("the event", tell, least)

    def _audit(self, name: str, what: str) -> None:
        # Whoever may write to the queue may say who they are.
        said = printable(self.by, 100) if self.by else "nobody who gave a name"
        logger.info("%s asked for through the queue by: %s", what, said, extra=_about(name, "audit"))

    def _count(self, outcome: str, code: str) -> None:
        count = partial(self.house.metrics.job, outcome, code, time.monotonic() - self.began)
        self._optional("the metric", count, None)


def _refuse_unless_bool(field: str, value: object) -> None:
    if not isinstance(value, bool):
        raise PayloadType(field=field, wanted="true or false")


def _about(name: str | None, event: str, **more: object) -> dict[str, object]:
    return {"domain": name, "event": event, **more}
