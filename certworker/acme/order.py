"""
One order, from the challenges to the certificate (RFC 8555, section 7.4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from josepy.json_util import encode_b64jose

from certworker.acme.chains import chain_from
from certworker.acme.problem import Problem
from certworker.acme.refusals import failure
from certworker.acme.resources import Authorization, Challenge, OrderState
from certworker.acme.transport import Reply
from certworker.acme.validations import validation_failure
from certworker.acme.waiting import LOOKING_SECONDS, SIGNING_SECONDS, pauses, retry_after
from certworker.answer import TOKEN, Answer
from certworker.errors import CertworkerError
from certworker.errors.authority import NoHttp01, NotAcme, OrderInvalid, OrderNotReady, PendingTimeout

#: For the validation, and again for the certificate: a slot does not wait longer for a CA.
PATIENCE = timedelta(seconds=90)


@dataclass(frozen=True)
class World:
    """
    What an order needs of the world: somebody to ask, and time that passes.
    """

    #: The CA's name for people.
    authority: str
    #: Sends a payload (None: POST-as-GET) to a URL, signed by the account that ordered.
    ask: Callable[[str, dict[str, Any] | None], Reply]
    #: The fingerprint of the key of that account.
    thumbprint: str
    #: The common name of the root whose chain is taken if the CA offers it; None: the CA's default.
    preferred_chain: str | None
    clock: Callable[[], datetime]
    #: Waits for so many seconds.
    sleep: Callable[[float], None]
    random: Random


class Order:
    """
    An order under way. Its answers must stand at their names before :meth:`validate`.

    Attributes:
        names: What the certificate is for.
        url: The order at the CA.
        expires: Until when the CA keeps it; None: it does not say.
        replaces: Whether the CA takes it as one that replaces a certificate (RFC 9773, section 5).
        answers: What the CA will look for; none for a name that it counts as ours already.
    """

    def __init__(self, names: tuple[str, ...], url: str, state: OrderState, world: World) -> None:
        """
        Read what the CA wants to see for the order at *url*.

        Raises:
            NoHttp01: It wants a proof that certworker cannot give.
            CertworkerError: The order is void already, or the CA does not answer.
        """
        self.names = names
        self.url = url
        self.expires = state.expires
        self.replaces = state.replaces is not None
        self._world = world
        self._state = state
        asked_for = state.authorizations if state.status == "pending" else ()
        wanted = [self._wanted(url) for url in asked_for]
        self._challenges = [challenge.url for _, challenge in filter(None, wanted)]
        self.answers = tuple(
            Answer(name, challenge.token, f"{challenge.token}.{world.thumbprint}")
            for name, challenge in filter(None, wanted)
        )

    @property
    def has_its_key(self) -> bool:
        """
        Whether the CA has the signing request already: only the key of that one fits the certificate.
        """
        return self._state.status in ("processing", "valid")

    def validate(self) -> None:
        """
        Let the CA look for the answers, and return once it counts all names as ours.

        Raises:
            CertworkerError: It does not, for the cause that it found; or it takes too long.
        """
        if self._state.status != "pending":
            return
        for url in self._challenges:
            told = self._world.ask(url, {})
            if "status" not in told.document:
                # The page of a proxy: the CA has not been told to look, and would never decide.
                raise told.unusable("no status")
        self._settle(told if self._challenges else None, LOOKING_SECONDS, unsettled=("pending",))

    def finalize(self, csr_der: bytes) -> bytes:
        """
        The certificate for the signing request *csr_der*: the chain as the CA sends it, leaf first, in PEM.

        An order that an earlier attempt has finalized is not finalized again.

        Raises:
            CertworkerError: The CA refuses, gives the order up, or takes too long.
        """
        reply = None if self.has_its_key else self._request(csr_der)
        if self._state.status != "valid":
            reply = self._settle(reply, SIGNING_SECONDS, unsettled=("processing", "ready"))
        if self._state.certificate is None:
            raise NotAcme(host=self._world.authority, found="a valid order without a certificate")
        reply = self._world.ask(self._state.certificate, None)
        root = self._world.preferred_chain
        return chain_from(root, reply, self._world.ask, self.names[0]) if root else reply.body

    def give_up(self) -> None:
        """
        Give the names back at the CA: the next order has to show anew that they are ours (section 7.5.2).

        Raises:
            CertworkerError: The CA refuses, or does not answer.
        """
        for url in self._state.authorizations:
            self._world.ask(url, {"status": "deactivated"})

    def _request(self, csr_der: bytes) -> Reply:
        request = {"csr": encode_b64jose(csr_der)}
        try:
            reply = self._world.ask(self._state.finalize, request)
        except OrderNotReady:
            # Another of its servers has not heard of the validation yet: once more, a little later.
            self._settle(None, LOOKING_SECONDS, unsettled=("pending",))
            reply = self._world.ask(self._state.finalize, request)
        self._state = OrderState.read(reply)
        return reply

    def _wanted(self, url: str) -> tuple[str, Challenge] | None:
        """
        What the CA wants to see for the authorization *url*; None: nothing.
        """
        authorization = Authorization.read(reply := self._world.ask(url, None))
        if authorization.status == "valid":
            return None
        if authorization.status != "pending":
            raise self._cause()
        offered = {challenge.kind: challenge for challenge in authorization.challenges}
        if "http-01" not in offered:
            raise NoHttp01(
                authority=self._world.authority, name=authorization.name, offered=", ".join(offered) or "none"
            )
        if not TOKEN.fullmatch(offered["http-01"].token):
            raise reply.unusable("no token")
        return authorization.name, offered["http-01"]

    def _settle(self, told: Reply | None, first_seconds: float, unsettled: tuple[str, ...]) -> Reply:
        """
        Ask for the order until its status is none of *unsettled*; *told* is what the CA said before.
        """
        deadline = self._world.clock() + PATIENCE
        for pause in pauses(first_seconds, self._world.random):
            self._wait(told, pause, deadline)
            told = self._world.ask(self.url, None)
            self._state = OrderState.read(told)
            if self._state.status == "invalid":
                raise self._cause()
            if self._state.status not in unsettled:
                return told
        raise AssertionError("pauses never end")

    def _wait(self, told: Reply | None, pause: float, deadline: datetime) -> None:
        now = self._world.clock()
        wanted = retry_after(told.headers, now) if told else None
        moment = max(now + timedelta(seconds=pause), wanted or now)
        if moment > deadline:
            raise PendingTimeout(
                until=wanted,
                name=", ".join(self.names),
                status=self._state.status,
                authority=self._world.authority,
                seconds=round(PATIENCE.total_seconds()),
            )
        self._world.sleep((moment - now).total_seconds())

    def _cause(self) -> CertworkerError:
        """
        Why the CA gave the order up: the error of a challenge, else that of the order.
        """
        world, now = self._world, self._world.clock()
        for url in self._state.authorizations:
            authorization = Authorization.read(world.ask(url, None))
            for challenge in authorization.challenges:
                if challenge.error is not None:
                    problem = Problem.read(challenge.error)
                    return validation_failure(
                        problem, authorization.name, challenge.address, world.authority, now
                    )
        if self._state.error is not None:
            return failure(Problem.read(self._state.error), world.authority, now=now, name=self.names[0])
        return OrderInvalid(authority=world.authority, name=", ".join(self.names))
