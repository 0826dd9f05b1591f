"""
One order, from the challenges to the certificate (RFC 8555, section 7.4).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from josepy.json_util import encode_b64jose

from certworker.acme.chains import chain_from
from certworker.acme.order_context import UNKNOWN, OrderContext
from certworker.acme.polling import ISSUANCE_POLL_SECONDS, VALIDATION_POLL_SECONDS, intervals, retry_after
from certworker.acme.problem import Problem
from certworker.acme.resources import Authorization, Challenge, OrderState
from certworker.acme.transport import Reply
from certworker.acme.validation_mapping import authorization_failure, order_failure, unexplained_failure
from certworker.challenges.challenge import TOKEN, Http01Challenge
from certworker.errors import CertworkerError
from certworker.errors.acme import (
    Conflict,
    NoHttp01,
    OrderInvalid,
    OrderNotReady,
    PendingTimeout,
    UnknownProblem,
)
from certworker.errors.ca import NotAcme

#: For the validation, and again for the certificate: a slot does not wait longer for a CA.
PATIENCE = timedelta(seconds=90)

#: A challenge that stays `pending` with an error is not validated again before the client requests it: a CA
#: that retries on its own leaves it `processing` (RFC 8555, section 8.2).
PATIENCE_AFTER_AN_ERROR = timedelta(seconds=10)

#: An authorization with another state has not failed in its challenge.
OPEN_OR_INVALID = ("pending", "invalid")

#: From this pause on the authorizations are polled as well: most CAs have decided by then.
INSPECTED_FROM_SECONDS = 0.1
#: Each authorization is polled once within so many polls of the order.
INSPECTION_TURNS = 5


@dataclass
class Proof:
    """
    An authorization that is not valid yet.

    Attributes:
        url: The authorization at the CA.
        name: The name that it is for.
        challenge: Its HTTP-01 challenge.
        failing_since: When a poll first showed an error in the pending challenge; None: it shows none.
    """

    url: str
    name: str
    challenge: Challenge
    failing_since: datetime | None = field(default=None)


class Order:
    """
    A pending order. Its answers must be in place before :meth:`validate`.

    Attributes:
        names: What the certificate is for.
        url: The order at the CA.
        expires: Until when the CA keeps it; None: it does not say.
        replaces: Whether the CA takes it as one that replaces a certificate (RFC 9773, section 5).
        answers: What the CA fetches; none for a name whose authorization is valid already.
    """

    def __init__(self, names: tuple[str, ...], url: str, state: OrderState, world: OrderContext) -> None:
        """
        Read the authorizations of the order at *url*, if it is pending.

        Raises:
            NoHttp01: The CA wants a proof that certworker cannot give.
            CertworkerError: An authorization or its challenge has failed, or the CA does not answer.
        """
        self.names = names
        self.url = url
        self.expires = state.expires
        self.replaces = state.replaces is not None
        self._world = world
        self._state = state
        pending = state.authorizations if state.status == "pending" else ()
        self._proofs = list(filter(None, map(self._proof, pending)))
        self.answers = tuple(
            Http01Challenge(proof.name, proof.challenge.token, f"{proof.challenge.token}.{world.thumbprint}")
            for proof in self._proofs
        )

    @property
    def is_finalized(self) -> bool:
        """
        Whether the CA has the signing request already: only the key of that one fits the certificate.
        """
        return self._state.status in ("processing", "valid")

    def validate(self) -> None:
        """
        Respond to each challenge that is pending, and return once all authorizations are valid.

        Raises:
            CertworkerError: The cause that the CA reports; or it takes too long.
        """
        if self._state.status != "pending":
            return
        replies = [self._respond(proof) for proof in self._proofs if proof.challenge.status == "pending"]
        try:
            self._await_validation(replies[-1] if replies else None)
        except PendingTimeout:
            if reported := self._reported():
                raise reported from None
            raise

    def finalize(self, csr_der: bytes) -> bytes:
        """
        Return the certificate for the signing request *csr_der*: the CA's chain, leaf first, in PEM.

        An order that an earlier attempt has finalized is not finalized again.

        Raises:
            CertworkerError: The CA refuses, gives the order up, or takes too long.
        """
        reply = None if self.is_finalized else self._request(csr_der)
        certificate = self._await_certificate(reply)
        reply = self._world.fetch(certificate)
        root = self._world.preferred_chain
        return chain_from(root, reply, self._world, self.names[0]) if root else reply.body

    def deactivate_authorizations(self) -> None:
        """
        Deactivate the authorizations: the next order is validated again (section 7.5.2).

        Raises:
            CertworkerError: The CA refuses, or does not answer.
        """
        for url in self._state.authorizations:
            self._world.ask(url, {"status": "deactivated"})

    def _proof(self, url: str) -> Proof | None:
        """
        Return what is to be proved for the authorization *url*; None if it is valid.
        """
        authorization = Authorization.read(reply := self._world.fetch(url))
        if authorization.status == "valid":
            return None
        if authorization.failed:
            raise self._failure_of(authorization) or self._failure_reason()
        challenge = authorization.http01
        if challenge is None:
            offered = ", ".join(each.kind for each in authorization.challenges)
            raise NoHttp01(
                authority=self._world.authority, name=authorization.name, offered=offered or "none"
            )
        if not TOKEN.fullmatch(challenge.token):
            raise reply.unusable("no token")
        return Proof(url, authorization.name, challenge)

    def _respond(self, proof: Proof) -> Reply | None:
        """
        Respond to the challenge of *proof* (section 7.5.1); None if the CA is validating it already.
        """
        retry = self._world.retries()
        while True:
            try:
                return self._accepted(proof, self._world.ask(proof.challenge.url, {}))
            except Conflict:
                return None
            except UNKNOWN as refused:
                # The CA does not know the challenge yet, or somebody has responded to it already.
                retry(refused)
                now = self._proof(proof.url)
                if now is None or now.challenge.status != "pending":
                    return None
            except UnknownProblem as refused:
                # Some CAs validate at once, and refuse the response for a name that fails.
                explained = self._explained(Problem.read(refused.problem), proof.name)
                raise self._reported() or explained from refused

    def _accepted(self, proof: Proof, reply: Reply) -> Reply:
        status = reply.document.get("status")
        if status is None:
            # The page of a proxy: the CA has not seen the response, and would never decide.
            raise reply.unusable("no status")
        if status == "invalid":
            read = Challenge.read({"type": "http-01", "url": proof.challenge.url, **reply.document}, reply)
            authorization = Authorization(proof.name, "invalid", (read,) if read else (), None)
            raise self._failure_of(authorization) or self._failure_reason()
        return reply

    def _request(self, csr_der: bytes) -> Reply:
        retry = self._world.retries()
        while True:
            try:
                reply = self._world.ask(self._state.finalize, {"csr": encode_b64jose(csr_der)})
            except Conflict:
                return self._poll()
            except (OrderNotReady, *UNKNOWN) as refused:
                # Another of its servers has not heard of the validation, or an earlier request has arrived.
                retry(refused)
                reply = self._poll()
                if self.is_finalized:
                    return reply
            else:
                self._state = OrderState.read(reply)
                return reply

    def _await_validation(self, reply: Reply | None) -> None:
        deadline = self._world.clock() + PATIENCE
        for pause in intervals(VALIDATION_POLL_SECONDS, self._world.random):
            self._wait(reply, pause, deadline)
            reply = self._poll()
            if self._state.status != "pending":
                return
            if pause >= INSPECTED_FROM_SECONDS:
                self._inspect()

    def _await_certificate(self, reply: Reply | None) -> str:
        """
        Poll the order until it names the URL of its certificate; *reply* is the CA's last answer.
        """
        deadline = self._world.clock() + PATIENCE
        for pause in intervals(ISSUANCE_POLL_SECONDS, self._world.random):
            if self._state.status == "invalid":
                raise self._failure_reason()
            if self._state.status == "valid" and self._state.certificate:
                return self._state.certificate
            self._wait(reply, pause, deadline)
            reply = self._poll()
        raise AssertionError("pauses never end")

    def _poll(self) -> Reply:
        reply = self._world.fetch(self.url)
        self._state = OrderState.read(reply)
        if self._state.status == "invalid":
            raise self._failure_reason()
        return reply

    def _inspect(self) -> None:
        """
        Poll some of the authorizations: a CA may leave the order of a failed one unfinished.
        """
        count = -(-len(self._proofs) // INSPECTION_TURNS)
        some, others = self._proofs[:count], self._proofs[count:]
        self._proofs = others + [proof for proof in some if not self._is_valid(proof)]

    def _is_valid(self, proof: Proof) -> bool:
        authorization = Authorization.read(self._world.fetch(proof.url))
        if authorization.failed:
            raise self._failure_of(authorization) or self._failure_reason()
        if authorization.status == "valid":
            return True
        challenge, now = authorization.http01, self._world.clock()
        if challenge is None or challenge.status != "pending" or challenge.error is None:
            proof.failing_since = None
            return False
        proof.failing_since = proof.failing_since or now
        failure = self._failure_of(authorization)
        if failure and now - proof.failing_since >= PATIENCE_AFTER_AN_ERROR:
            raise failure
        return False

    def _wait(self, reply: Reply | None, pause: float, deadline: datetime) -> None:
        now = self._world.clock()
        wanted = retry_after(reply.headers, now) if reply else None
        moment = max(now + timedelta(seconds=pause), wanted or now)
        if moment <= deadline:
            self._world.sleep((moment - now).total_seconds())
            return
        if self._state.status == "valid":
            raise NotAcme(host=self._world.authority, found="a valid order without a certificate")
        raise PendingTimeout(
            until=wanted,
            name=", ".join(self.names),
            status=self._state.status,
            authority=self._world.authority,
            seconds=round(PATIENCE.total_seconds()),
        )

    def _failure_reason(self) -> CertworkerError:
        """
        Return why the CA gave the order up: the error of a challenge, else that of the order.
        """
        if reported := self._reported():
            return reported
        if self._state.error is not None:
            return self._explained(Problem.read(self._state.error), self.names[0])
        return OrderInvalid(authority=self._world.authority, name=", ".join(self.names))

    def _reported(self) -> CertworkerError | None:
        """
        Return the first error that an authorization of the order reports; None if none does.
        """
        for url in self._state.authorizations:
            # An authorization that cannot be read leaves the others, and the order's own error.
            with suppress(CertworkerError):
                authorization = Authorization.read(self._world.ask(url, None))
                if authorization.status != "valid" and (failure := self._failure_of(authorization)):
                    return failure
        return None

    def _explained(self, problem: Problem, name: str) -> CertworkerError:
        return order_failure(problem, name, self._world.authority)

    def _failure_of(self, authorization: Authorization) -> CertworkerError | None:
        """
        Return the failure that *authorization* or its challenge reports; None if neither has failed.
        """
        if reported := authorization_failure(authorization, self._world.authority):
            return reported
        challenge = authorization.http01
        if challenge is None or challenge.status != "invalid" or authorization.status not in OPEN_OR_INVALID:
            return None
        return unexplained_failure(authorization.name)
