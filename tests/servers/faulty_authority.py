"""
The development CA with faults. A test can make each of its parts fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Condition, Event, Lock
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certworker.challenges.challenge import HTTP01
from certworker.devca.accounts import Accounts, thumbprint
from certworker.devca.authority import DevelopmentAuthority
from certworker.devca.certification import Certification, Signing
from certworker.devca.dispatch import Dispatcher, Route
from certworker.devca.hierarchy import PublicKey, Signer
from certworker.devca.messages import Call, Problem, Refused, Reply, Request, refusal
from certworker.devca.ordering import Ordering
from certworker.devca.policy import Policy
from certworker.devca.resources import Authorization, Issued, Memory, Order
from tests.servers.fault_injection import Aftermath, Fault, FaultInjection, Flaw

#: The content type of a response of a load balancer in front of a CA, which has no nonce.
HTML = "text/html"


@dataclass
class FaultyAuthorization(Authorization):
    """
    An authorization that a failed validation may leave pending.
    """

    aftermath: Aftermath = Aftermath.ORDER_INVALID

    def status(self, now: datetime) -> str:
        """
        Return the status at *now*.
        """
        if self.aftermath is Aftermath.AUTHORIZATION_PENDING and self.state == "invalid":
            return "pending" if now < self.expires else "invalid"
        return super().status(now)


@dataclass
class FaultyOrder(Order):
    """
    An order with a delay, or one that a failed validation leaves pending.
    """

    #: The order is `processing` until this number of polls and until this time.
    polls_left: int = 0
    ready: datetime | None = None
    #: The number of polls for which the order is `valid` without a certificate.
    certificate_polls_left: int = 0

    def status(self, now: datetime) -> str:
        """
        Return the status at *now*.
        """
        status = super().status(now)
        if status == "valid" and (self.polls_left > 0 or (self.ready and now < self.ready)):
            return "processing"
        left_pending = any(
            isinstance(each, FaultyAuthorization) and each.aftermath is Aftermath.ORDER_PENDING
            for each in self.authorizations
        )
        return "pending" if status == "invalid" and left_pending and not self.problem else status


class FaultyDispatcher(Dispatcher):
    """
    A dispatcher that replies with faults, with a delay, or not at all.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        accounts: Accounts,
        lock: Lock,
        faults: FaultInjection,
        stopped: Event,
    ) -> None:
        super().__init__(routes, accounts, lock)
        self._faults = faults
        self._stopped = stopped

    def answer(self, request: Request) -> Reply | None:
        """
        Return the reply to *request*. After None, the connection ends without a reply.
        """
        fault = self._faults.next_fault(request.kind)
        with self._lock:
            reply = self._faulty_reply(request, fault)
            if reply.content_type != HTML:
                reply = replace(reply, headers=self._headers(request, reply))
        cut = fault is not None and fault.cut
        self._log(request, reply, cut=cut)
        self._stopped.wait(self._faults.slow_seconds.get(request.kind, 0.0))
        return None if cut else reply

    def _faulty_reply(self, request: Request, fault: Fault | None) -> Reply:
        if fault is None or fault.cut:
            return self._reply(request)
        if fault.carried_out:
            self._reply(request)
        headers = {} if fault.retry_after_seconds is None else {"Retry-After": str(fault.retry_after_seconds)}
        if fault.problem is None:
            page = f"<html><body><h1>{fault.status}</h1></body></html>".encode()
            return Reply(fault.status, page, HTML, headers)
        return refusal(Problem(fault.problem, fault.detail, fault.status), headers)

    def _spend(self, nonce: str) -> bool:
        return super()._spend(nonce) and not self._faults.spoils_nonce()


class FaultySigning(Signing):
    """
    A signing part whose certificates differ from the order.
    """

    def __init__(
        self, signer: Signer, policy: Policy, clock: Callable[[], datetime], faults: FaultInjection
    ) -> None:
        super().__init__(signer, policy, clock)
        self._faults = faults

    def _issue(self, order: Order, key: PublicKey, names: tuple[str, ...]) -> Issued:
        flaws = self._faults.flaws
        if Flaw.OTHER_KEY in flaws:
            key = ec.generate_private_key(ec.SECP256R1()).public_key()
        if Flaw.OTHER_NAMES in flaws:
            names = ("not-ordered.localhost",)
        issued = super()._issue(order, key, names)
        chain = [issued.leaf.public_bytes(Encoding.PEM), self._signer.pem]
        if Flaw.CHAIN_MISSING in flaws:
            chain.pop()
        if Flaw.CHAIN_OUT_OF_ORDER in flaws:
            chain.reverse()
        return replace(issued, chain_pem=b"".join(chain))

    def _dates(self, profile: str) -> tuple[datetime, datetime]:
        begin, end = super()._dates(profile)
        if Flaw.EXPIRED not in self._faults.flaws:
            return begin, end
        past = 2 * self._policy.lifetime_of(profile)
        return begin - past, end - past


class FaultyCertification(Certification):
    """
    A certification part that returns wrong leaves of alternate chains.
    """

    def __init__(
        self,
        signer: Signer,
        policy: Policy,
        memory: Memory,
        clock: Callable[[], datetime],
        faults: FaultInjection,
    ) -> None:
        super().__init__(signer, policy, memory, clock)
        self._faults = faults

    def _alternate_leaf(self, issued: Issued) -> bytes:
        if self._faults.mixes_alternates_up:
            return next(iter(self._memory.issued.values())).leaf_pem
        return super()._alternate_leaf(issued)


class FaultyOrdering(Ordering):
    """
    An ordering part that delays, omits and changes members of orders, authorizations and challenges.
    """

    order_type = FaultyOrder
    authorization_type = FaultyAuthorization

    def __init__(
        self,
        certification: Certification,
        signing: Signing,
        validate: Callable[[Authorization, str], None],
        policy: Policy,
        memory: Memory,
        clock: Callable[[], datetime],
        *,
        faults: FaultInjection,
        check: Callable[[Authorization, str], Problem | None],
    ) -> None:
        super().__init__(certification, signing, validate, policy, memory, clock)
        self._faults = faults
        self._check = check

    def show_order(self, call: Call) -> Reply:
        """
        Return an order, and count the poll.
        """
        order = self._order(call)
        reply = super().show_order(call)
        if isinstance(order, FaultyOrder) and order.polls_left > 0:
            order.polls_left -= 1
        elif isinstance(order, FaultyOrder) and order.issued:
            order.certificate_polls_left -= 1
        return reply

    def authorization(self, call: Call) -> Reply:
        """
        Return an authorization.
        """
        reply = super().authorization(call)
        content = json.loads(reply.body)
        challenge = self._spoiled(content["challenges"][0])
        if self._faults.stale_authorizations > 0:
            self._faults.stale_authorizations -= 1
            content["status"] = challenge["status"] = "pending"
        content["challenges"] = [*self._faults.more_challenges, challenge, *content["challenges"][1:]]
        return self._changed(reply, content, waiting=content["status"] == "pending")

    def challenge(self, call: Call) -> Reply:
        """
        Return a challenge.
        """
        reply = super().challenge(call)
        waiting = self._own_authorization(call).state == "processing"
        return self._changed(reply, self._spoiled(json.loads(reply.body)), waiting=waiting)

    def decide(self, authorization: Authorization, problem: Problem | None) -> None:
        """
        Record the result of a validation with the behavior of a CA of :class:`Aftermath`.
        """
        if authorization.state != "processing":
            return
        super().decide(authorization, problem)
        if isinstance(authorization, FaultyAuthorization):
            authorization.aftermath = self._faults.aftermath
        if problem and self._faults.aftermath is Aftermath.CHALLENGE_PENDING:
            authorization.state = "processing" if self._faults.processing_after_an_error else "pending"

    def _complete(self, order: Order, issued: Issued) -> None:
        if self._faults.order_failure:
            order.problem = self._faults.order_failure
            return
        super()._complete(order, issued)
        if isinstance(order, FaultyOrder):
            order.polls_left = self._faults.processing_polls
            order.certificate_polls_left = self._faults.certificate_polls
            order.ready = self._clock() + timedelta(seconds=self._faults.processing_seconds)

    def _respond(self, call: Call, authorization: Authorization) -> None:
        if authorization.state != "pending":
            try:
                super()._respond(call, authorization)
            except Refused as refused:
                raise Refused(self._faults.repeated_response, refused.problem.detail) from None
        if self._faults.aftermath is not Aftermath.RESPONSE_REFUSED:
            super()._respond(call, authorization)
            return
        authorization.state = "processing"
        problem = self._check(authorization, f"{authorization.token}.{thumbprint(call.owner.key)}")
        self.decide(authorization, problem)
        if problem:
            raise Refused(problem.kind, problem.detail, status=400)

    def _shown(self, call: Call, order: Order, *, status: int = 200) -> Reply:
        reply = super()._shown(call, order, status=status)
        content = json.loads(reply.body)
        if not self._faults.tells_why:
            content.pop("error", None)
        if isinstance(order, FaultyOrder) and order.certificate_polls_left > 0:
            content.pop("certificate", None)
        return self._changed(reply, content, waiting=content["status"] == "processing")

    def _spoiled(self, challenge: dict[str, Any]) -> dict[str, Any]:
        if not self._faults.tells_why:
            challenge.pop("error", None)
        return challenge | {"type": self._faults.challenge} if challenge["type"] == HTTP01 else challenge

    def _changed(self, reply: Reply, content: Mapping[str, Any], *, waiting: bool) -> Reply:
        seconds = self._faults.poll_after_seconds
        later = {"Retry-After": str(seconds)} if waiting and seconds is not None else {}
        return replace(reply, body=json.dumps(content).encode(), headers={**reply.headers, **later})


class FaultyAuthority(DevelopmentAuthority):
    """
    The development CA with the faults of :attr:`faults`.
    """

    def __init__(
        self, state_directory: Path, *, faults: FaultInjection | None = None, **options: Any
    ) -> None:
        self.faults = faults or FaultInjection()
        self._stopped = Event()
        self._validations = Condition()
        self._running_validations = 0
        super().__init__(state_directory, **options)

    def add_root(self, name: str) -> bytes:
        """
        Offer a second chain to a new root *name*. Return the certificate of the root (PEM).
        """
        root = Signer.root(name, self._clock())
        self._memory.cross_signed.append(root.cross_sign(self._hierarchy.intermediate, self._clock()))
        return root.pem

    def forget_accounts(self) -> None:
        """
        Delete all accounts. Their requests get `accountDoesNotExist`.
        """
        with self._lock:
            self._accounts.forget()

    def wait_for_validations(self) -> None:
        """
        Wait until the running validations have ended, unless a fault delays them.
        """
        with self._validations:
            self._validations.wait_for(
                lambda: self._running_validations == 0 or self.faults.validation_seconds
            )

    def start(self) -> None:
        """
        Start listening.
        """
        self._stopped.clear()
        super().start()

    def stop(self) -> None:
        """
        End each connection and each delay.
        """
        self._stopped.set()
        super().stop()

    def _certification(self, intermediate: Signer, memory: Memory) -> Certification:
        return FaultyCertification(intermediate, self.policy, memory, self._clock, self.faults)

    def _signing(self, intermediate: Signer) -> Signing:
        return FaultySigning(intermediate, self.policy, self._clock, self.faults)

    def _new_ordering(self, certification: Certification, signing: Signing, memory: Memory) -> Ordering:
        return FaultyOrdering(
            certification,
            signing,
            self._validate,
            self.policy,
            memory,
            self._clock,
            faults=self.faults,
            check=self._check,
        )

    def _dispatcher(self, routes: Mapping[str, Route]) -> Dispatcher:
        return FaultyDispatcher(routes, self._accounts, self._lock, self.faults, self._stopped)

    def _validate(self, authorization: Authorization, key_authorization: str) -> None:
        with self._validations:
            self._running_validations += 1
        super()._validate(authorization, key_authorization)

    def _decide(self, authorization: Authorization, key_authorization: str) -> None:
        try:
            super()._decide(authorization, key_authorization)
        finally:
            with self._validations:
                self._running_validations -= 1
                self._validations.notify_all()

    def _check(self, authorization: Authorization, key_authorization: str) -> Problem | None:
        self._stopped.wait(self.faults.validation_seconds)
        return self.faults.refusal or super()._check(authorization, key_authorization)
