"""
One order, from the challenges to the certificate (RFC 8555, section 7.4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from josepy.json_util import encode_b64jose

from certworker.acme.chains import chain_from
from certworker.acme.polling import (
    ISSUANCE_POLL_SECONDS,
    UNKNOWN,
    VALIDATION_POLL_SECONDS,
    OrderContext,
    intervals,
)
from certworker.acme.problems import Problem
from certworker.acme.resources import WILDCARD, Authorization, Challenge, OrderState
from certworker.acme.transport import Reply
from certworker.acme.validation_mapping import authorization_failure, order_failure, unexplained_failure
from certworker.challenges.challenge import DNS01, HTTP01, TOKEN, Dns01Challenge, Http01Challenge
from certworker.challenges.challenge import Challenge as PublishedChallenge
from certworker.errors import CertworkerError
from certworker.errors.acme import (
    Conflict,
    NoDns01,
    NoHttp01,
    OrderInvalid,
    OrderNotReady,
    PendingTimeout,
    UnknownProblem,
)
from certworker.http_dates import retry_after

#: The timeout of the validation, and also of the issuance. A slow CA must not occupy a job slot for long.
TIMEOUT = timedelta(seconds=90)

#: The timeout for a challenge that stays `pending` with an error. The CA validates it again only at the
#: request of the client. A CA that retries leaves the challenge `processing` (RFC 8555, section 8.2).
TIMEOUT_AFTER_AN_ERROR = timedelta(seconds=10)

#: In any other state of the authorization, an invalid challenge is not the reason for a failure.
OPEN_OR_INVALID = ("pending", "invalid")

#: The maximum time for which the first poll waits for the CA to fetch the responses from this worker.
FETCH_SECONDS = 0.03

#: Once the pauses reach this length, the authorizations are also polled. A local CA has decided by then.
INSPECTED_FROM_SECONDS = 0.1
#: Each authorization is polled once within this many polls of the order.
INSPECTION_TURNS = 5


@dataclass
class Proof:
    """
    A pending authorization with the challenge to respond to.

    Attributes:
        url: The URL of the authorization at the CA.
        name: The name of the authorization.
        challenge: The challenge to respond to.
        failing_since: When a poll first showed an error in the pending challenge, if any did.
    """

    url: str
    name: str
    challenge: Challenge
    failing_since: datetime | None = field(default=None)


class Order:
    """
    An order with the CA. Publish its responses before :meth:`validate`.

    Attributes:
        names: The names of the certificate.
        url: The URL of the order at the CA.
        expires: When the order expires; None if unknown.
        replaces: Whether the CA has accepted `replaces` for the order (RFC 9773, section 5).
        responses: The responses to publish. A name with a valid authorization needs none.
    """

    def __init__(self, names: tuple[str, ...], url: str, state: OrderState, context: OrderContext) -> None:
        """
        Read the authorizations of the order at *url* if it is pending.

        Raises:
            NoHttp01, NoDns01: The CA does not offer the required type of challenge for a name.
            NotAcme: An authorization or a token is invalid, or an authorization for DNS-01 has another name.
            CertworkerError: A validation has failed, or the CA refuses, is busy, or does not respond.
        """
        self.names = names
        self.url = url
        self.expires = state.expires
        self.replaces = state.replaces is not None
        self._context = context
        self._state = state
        #: The response to the signing request that :meth:`validate` sent; None if there is none.
        self._finalized: Reply | None = None
        pending = state.authorizations if state.status == "pending" else ()
        self._proofs = list(filter(None, map(self._proof, pending)))
        self.responses = tuple(_published(proof, context.thumbprint) for proof in self._proofs)

    @property
    def is_finalized(self) -> bool:
        """
        Whether the CA already has the signing request. Only the key of that request matches the certificate.
        """
        return self._state.status in ("processing", "valid")

    def validate(
        self,
        await_fetches: Callable[[Sequence[str], float], object] | None = None,
        csr_der: Callable[[], bytes] | None = None,
    ) -> None:
        """
        Respond to each pending challenge, and return when all authorizations are valid.

        Args:
            await_fetches: Waits until the CA has fetched the responses for tokens, at most for a number of
                seconds. None: certworker does not know when the CA fetches them.
            csr_der: Returns the signing request for :meth:`finalize`. With it, the order is finalized without
                a poll if the CA is usually prompt.

        Raises:
            CertworkerError: A validation fails or takes too long, or the CA refuses or does not respond.
        """
        if self._state.status != "pending":
            return
        replies = [self._respond(proof) for proof in self._proofs if proof.challenge.status == "pending"]
        try:
            self._await_validation(replies[-1] if replies else None, await_fetches, csr_der)
        except PendingTimeout:
            if reported := self._reported():
                raise reported from None
            raise

    def finalize(self, csr_der: bytes) -> bytes:
        """
        Return the certificate for the signing request *csr_der*: the chain in PEM, leaf first.

        An order that :meth:`validate` or an earlier attempt has finalized is not finalized again.

        Raises:
            CertworkerError: The CA refuses, invalidates the order, does not respond, or takes too long.
        """
        reply = self._finalized if self.is_finalized else self._request(csr_der)
        certificate = self._await_certificate(reply)
        reply = self._context.fetch(certificate)
        root = self._context.preferred_chain
        return chain_from(root, reply, self._context, self.names[0]) if root else reply.body

    def deactivate_authorizations(self) -> None:
        """
        Deactivate the authorizations, so that the CA validates the next order again (section 7.5.2).

        Raises:
            CertworkerError: The CA refuses, or does not respond.
        """
        for url in self._state.authorizations:
            self._context.request(url, {"status": "deactivated"})

    def _proof(self, url: str) -> Proof | None:
        """
        Return the proof that the authorization *url* requires, or None if it is valid.
        """
        authorization = Authorization.read(reply := self._context.fetch(url))
        if authorization.status == "valid":
            return None
        kind = self._context.challenge_type(authorization.name)
        if authorization.has_failed(kind):
            raise self._failure_of(authorization) or self._failure_reason()
        challenge = authorization.challenge(kind)
        if challenge is None:
            offered = ", ".join(challenge.kind for challenge in authorization.challenges)
            missing = NoDns01 if kind == DNS01 else NoHttp01
            raise missing(
                authority=self._context.ca_title, name=authorization.name, offered=offered or "none"
            )
        if not TOKEN.fullmatch(challenge.token):
            raise reply.unusable("no valid token")
        if kind == DNS01 and not self._contains(authorization.name):
            # The CA must not choose the name of the TXT record.
            raise reply.unusable("an authorization for another name")
        return Proof(url, authorization.name, challenge)

    def _contains(self, name: str) -> bool:
        """
        Return whether *name* is a name of this order, or a parent of such a name (RFC 9444).
        """
        parent = f".{name.removeprefix(WILDCARD)}"
        return any(f".{each.removeprefix(WILDCARD)}".endswith(parent) for each in self.names)

    def _respond(self, proof: Proof) -> Reply | None:
        """
        Respond to the challenge of *proof* (section 7.5.1).

        Return the response of the CA, or None if the CA has already received a response to the challenge.
        """
        retry = self._context.retries()
        while True:
            try:
                return self._accepted(proof, self._context.request(proof.challenge.url, {}))
            except Conflict:
                return None
            except UNKNOWN as refused:
                # The CA does not know the challenge yet, or has already received the response.
                retry(refused)
                current = self._proof(proof.url)
                if current is None or current.challenge.status != "pending":
                    return None
            except UnknownProblem as refused:
                # Some CAs validate immediately, and refuse the response if the validation fails.
                explained = self._explained(Problem.read(refused.problem), proof.name)
                raise self._reported() or explained from refused

    def _accepted(self, proof: Proof, reply: Reply) -> Reply:
        status = reply.document.get("status")
        if status is None:
            # A proxy may have sent this document. The CA has then received nothing, and does not validate.
            raise reply.unusable("no status")
        if status == "invalid":
            challenge = Challenge.read(
                {"type": proof.challenge.kind, "url": proof.challenge.url, **reply.document}, reply
            )
            authorization = Authorization(proof.name, "invalid", (challenge,) if challenge else (), None)
            raise self._failure_of(authorization) or self._failure_reason()
        return reply

    def _request(self, csr_der: bytes) -> Reply:
        retry = self._context.retries()
        while True:
            try:
                return self._send(csr_der)
            except Conflict:
                return self._poll()
            except (OrderNotReady, *UNKNOWN) as refused:
                # Another server of the CA lags behind, or the CA has received an earlier request.
                retry(refused)
                reply = self._poll()
                if self.is_finalized:
                    return reply

    def _send(self, csr_der: bytes) -> Reply:
        reply = self._context.request(self._state.finalize, {"csr": encode_b64jose(csr_der)})
        self._state = OrderState.read(reply)
        return reply

    def _finalize_early(self, csr_der: bytes) -> bool:
        """
        Send the signing request without a poll, and return whether the CA accepted the request.

        The CA refuses it while the order is not ready (section 7.4). After any refusal, the poll decides.
        """
        try:
            self._finalized = self._send(csr_der)
        except CertworkerError as refused:
            if refused.problem is None:
                raise
            return False
        return self.is_finalized

    def _await_validation(
        self,
        reply: Reply | None,
        await_fetches: Callable[[Sequence[str], float], object] | None,
        csr_der: Callable[[], bytes] | None,
    ) -> None:
        deadline = self._context.clock() + TIMEOUT
        tokens = [proof.challenge.token for proof in self._proofs if proof.challenge.kind == HTTP01]
        if await_fetches and tokens and not (reply and "Retry-After" in reply.headers):
            await_fetches(tokens, FETCH_SECONDS)
            promptness = self._context.promptness
            is_early = csr_der is not None and promptness.is_expected
            if csr_der and is_early and self._finalize_early(csr_der()):
                return
            reply = self._poll()
            promptness.note(self._state.status != "pending" and not is_early)
            if self._state.status != "pending":
                return
        for pause in intervals(VALIDATION_POLL_SECONDS, self._context.random):
            self._wait(reply, pause, deadline)
            reply = self._poll()
            if self._state.status != "pending":
                return
            if pause >= INSPECTED_FROM_SECONDS:
                self._inspect()

    def _await_certificate(self, reply: Reply | None) -> str:
        """
        Poll the order until it has the URL of its certificate. *reply* is the CA's last response, if any.
        """
        deadline = self._context.clock() + TIMEOUT
        for pause in intervals(ISSUANCE_POLL_SECONDS, self._context.random):
            if self._state.status == "invalid":
                raise self._failure_reason()
            if self._state.status == "valid" and self._state.certificate:
                return self._state.certificate
            self._wait(reply, pause, deadline)
            reply = self._poll()
        raise AssertionError("the pauses never end")

    def _poll(self) -> Reply:
        reply = self._context.fetch(self.url)
        self._state = OrderState.read(reply)
        if self._state.status == "invalid":
            raise self._failure_reason()
        return reply

    def _inspect(self) -> None:
        """
        Poll some of the authorizations. A CA may leave an order pending after an authorization has failed.
        """
        count = -(-len(self._proofs) // INSPECTION_TURNS)
        polled, others = self._proofs[:count], self._proofs[count:]
        self._proofs = others + [proof for proof in polled if not self._is_valid(proof)]

    def _is_valid(self, proof: Proof) -> bool:
        authorization = Authorization.read(self._context.fetch(proof.url))
        if authorization.has_failed(proof.challenge.kind):
            raise self._failure_of(authorization) or self._failure_reason()
        if authorization.status == "valid":
            return True
        challenge, now = authorization.challenge(proof.challenge.kind), self._context.clock()
        if challenge is None or challenge.status != "pending" or challenge.error is None:
            proof.failing_since = None
            return False
        proof.failing_since = proof.failing_since or now
        failure = self._failure_of(authorization)
        if failure and now - proof.failing_since >= TIMEOUT_AFTER_AN_ERROR:
            raise failure
        return False

    def _wait(self, reply: Reply | None, pause: float, deadline: datetime) -> None:
        now = self._context.clock()
        wanted = retry_after(reply.headers, now) if reply else None
        end = max(now + timedelta(seconds=pause), wanted or now)
        if end <= deadline:
            self._context.sleep((end - now).total_seconds())
            return
        if reply and self._state.status == "valid":
            raise reply.unusable("a valid order without a certificate")
        raise PendingTimeout(
            until=wanted,
            name=", ".join(self.names),
            status=self._state.status,
            authority=self._context.ca_title,
            seconds=round((now - (deadline - TIMEOUT)).total_seconds()),
        )

    def _failure_reason(self) -> CertworkerError:
        """
        Return why the order failed: the error of an authorization or of the order, else OrderInvalid.
        """
        if reported := self._reported():
            return reported
        if self._state.error is not None:
            return self._explained(Problem.read(self._state.error), self.names[0])
        return OrderInvalid(authority=self._context.ca_title, name=", ".join(self.names))

    def _reported(self) -> CertworkerError | None:
        """
        Return the first error that an authorization of the order reports, or None.
        """
        for url in self._state.authorizations:
            # If an authorization cannot be read, another one or the order may have the error.
            with suppress(CertworkerError):
                authorization = Authorization.read(self._context.request(url, None))
                if authorization.status != "valid" and (failure := self._failure_of(authorization)):
                    return failure
        return None

    def _explained(self, problem: Problem, name: str) -> CertworkerError:
        return order_failure(problem, name, self._context.challenge_type(name), self._context.ca_title)

    def _failure_of(self, authorization: Authorization) -> CertworkerError | None:
        """
        Return the failure that *authorization* or its challenge shows, or None if neither shows one.
        """
        kind = self._context.challenge_type(authorization.name)
        if reported := authorization_failure(authorization, kind, self._context.ca_title):
            return reported
        challenge = authorization.challenge(kind)
        if challenge is None or challenge.status != "invalid" or authorization.status not in OPEN_OR_INVALID:
            return None
        return unexplained_failure(authorization.name, kind, self._context.ca_title)


def _published(proof: Proof, thumbprint: str) -> PublishedChallenge:
    token = proof.challenge.token
    if proof.challenge.kind == HTTP01:
        return Http01Challenge(proof.name, token, f"{token}.{thumbprint}")
    return Dns01Challenge(proof.name.removeprefix(WILDCARD), token, f"{token}.{thumbprint}")
