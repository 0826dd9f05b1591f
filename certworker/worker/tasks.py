"""
What the registered names do: the door between a job and the house.

Whatever a job says is checked here before any room sees it, and the last line of each job says how it
ended and what happens next.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any, TypeVar

from redis.exceptions import RedisError

from certworker.app import App
from certworker.domains import normalize, requested_names, tenant_of, warnings_for
from certworker.errors import CertworkerError, Interrupted, Retry, printable
from certworker.errors.payload import PayloadType
from certworker.errors.worker import AlreadyInProgress, Unexpected
from certworker.issuance.service import Outcome
from certworker.redis.failures import explainer
from certworker.supervision import log_unexpected, optional

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


def build_tasks(app: App) -> Mapping[str, Callable[..., dict[str, Any]]]:
    """
    The functions that a job may name; there are no others.
    """

    def issue(
        domain: object = None,
        domains: object = None,
        force: object = False,
        use_full_quota: object = False,
        tenant: object = None,
        by: object = None,
    ) -> dict[str, Any]:
        return _Task(app, by).issue(domain, domains, force, use_full_quota, tenant)

    def remove(domain: object = None, domains: object = None, by: object = None) -> dict[str, Any]:
        return _Task(app, by).remove(domain, domains)

    def look() -> dict[str, Any]:
        return dict(app.reconciler.enqueue_due())

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


class _Task:
    def __init__(self, app: App, by: object) -> None:
        self.app = app
        self.by = by
        self.began = time.monotonic()
        self.explain = explainer(app.connection)

    def issue(
        self, domain: object, domains: object, force: object, use_full_quota: object, tenant: object
    ) -> dict[str, Any]:
        names: tuple[str, ...] = ()
        try:
            names = requested_names(domain, domains, private=self.app.settings.authority.private_names)
            _refuse_unless_bool("force", force)
            _refuse_unless_bool("use_full_quota", use_full_quota)
            tenant_of(tenant, names)
            self._remark([domain] if domains is None else domains)
            logger.info("request received%s", " (forced)" if force else "", extra=_about(names[0], "job"))
            if force or self.by:
                self._audit(names[0], "force" if force else "request")
            full_quota = force is True and use_full_quota is True
            if full_quota:
                logger.warning(
                    "using the CA's full rate limit (requested with --use-full-quota)",
                    extra=_about(names[0], "audit"),
                )
            return self._publish_success(
                self.app.issuance.issue(names, force=force is True, use_full_quota=full_quota)
            )
        except AlreadyInProgress as busy:
            logger.info("%s", busy.message, extra=_about(names[0], "skipped", code=busy.code))
            plan = partial(self.app.issuance.attempts.plan_after_lease, names, self.app.locks.duration)
            self._optional("the plan of the next attempt", plan, None)
            self._count("skipped", busy.code)
            return {"state": "waiting", "names": names, **busy.as_json()}
        except CertworkerError as failure:
            if names and failure.retry is Retry.UNTIL:
                return self._publish_waiting(names, failure)
            if isinstance(failure, Unexpected) and failure.__cause__:
                log_unexpected(f"the job for {', '.join(names)}", failure.__cause__)
            self._publish_failure(names, failure)
            raise
        except Interrupted as end:
            self._publish_failure(names, end.failure)
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
        self._publish_failure(names, failure)
        return failure

    def _plan(self, names: tuple[str, ...], failure: CertworkerError | None) -> None:
        def plan() -> None:
            # Whoever has the names knows more, and writes it down.
            if failure and not self.app.locks.is_held(names[0]):
                self.app.issuance.attempts.record_not_started(names, failure)

        self._optional("the plan of the next attempt", plan, None)

    def _optional(self, what: str, step: Callable[[], Result], otherwise: Result) -> Result:
        # What others are told of a job, and what is counted, does not decide how it ends.
        return optional(what, step, otherwise, self.explain)

    def _remark(self, given: Any) -> None:
        # Each remark once: a hundred names of one shared domain have the same.
        said: set[str] = set()
        for text in given:
            name = normalize(text, private=True)
            for remark in warnings_for(text, name):
                if remark not in said:
                    logger.warning("%s", remark, extra=_about(name, "job"))
                    said.add(remark)

    def remove(self, domain: object, domains: object) -> dict[str, Any]:
        # Whatever is there may go, even if today's CA would not certify it.
        try:
            names = requested_names(domain, domains, private=True)
            for name in names:
                self._audit(name, "removal")
            known = [self.app.removal.remove(name) for name in names]
        except CertworkerError as failure:
            logger.warning("not removed: %s", failure, extra=_about(None, "failed", code=failure.code))
            self._count("failed", failure.code)
            raise
        self._count("removed", "")
        return self._result(names, "removed" if any(known) else "unknown")

    def _publish_success(self, outcome: Outcome) -> dict[str, Any]:
        facts, seconds = outcome.metadata, time.monotonic() - self.began
        logger.info(
            "certificate issued" if outcome.state == "issued" else "certificate valid, nothing to do",
            extra=_about(
                facts.names[0],
                "issued" if outcome.state == "issued" else "skipped",
                fields={
                    "duration_s": round(seconds, 3),
                    "serial": facts.serial,
                    "issuer": facts.issuer,
                    "not_before": facts.not_before,
                    "not_after": facts.not_after,
                    "next_check": outcome.next_check,
                },
            ),
        )
        name = facts.names[0]
        notify = partial(self.app.notifier.notify_recovered, name, self.app.clock())
        self._optional("the notification", notify, None)
        self._count(outcome.state, "")
        return self._result(facts.names, outcome.state)

    def _publish_waiting(self, names: tuple[str, ...], failure: CertworkerError) -> dict[str, Any]:
        moment = partial(self.app.agenda.next_check, names[0])
        again = self._optional("the moment of the next attempt", moment, None)
        logger.warning(
            "waiting: %s",
            failure,
            extra=_about(
                names[0], "waiting", code=failure.code, fields={**failure.as_json(), "next_attempt": again}
            ),
        )
        self._count("waiting", failure.code)
        return self._result(names, "waiting", failure)

    def _publish_failure(self, names: tuple[str, ...], failure: CertworkerError) -> None:
        # A request that was refused has no name that could be trusted on a line of its own.
        read = partial(self.app.records.read, names[0] if names else "")
        record = self._optional("the record", read, None) if names else None
        again = record.next_check if record else None
        if names:
            tell = partial(self.app.notifier.notify_failed, names[0], failure, again, self.app.clock())
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
            "certificate not issued: %s",
            failure,
            extra=_about(
                names[0] if names else None,
                "failed",
                code=failure.code,
                fields={
                    **failure.as_json(),
                    "attempt": record.attempts if record else None,
                    "next_attempt": again,
                },
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
        tell = partial(self.app.events.publish, names, state, failure)
        return self._optional("the event", tell, least)

    def _audit(self, name: str, what: str) -> None:
        # Whoever may write to the queue may say who they are.
        said = printable(self.by, 100) if self.by else "nobody who gave a name"
        logger.info("%s asked for through the queue by: %s", what, said, extra=_about(name, "audit"))

    def _count(self, outcome: str, code: str) -> None:
        count = partial(self.app.metrics.job, outcome, code, time.monotonic() - self.began)
        self._optional("the metric", count, None)


def _refuse_unless_bool(field: str, value: object) -> None:
    if not isinstance(value, bool):
        raise PayloadType(field=field, wanted="true or false")


def _about(name: str | None, event: str, **more: object) -> dict[str, object]:
    return {"domain": name, "event": event, **more}
