"""
Orders, authorizations and challenges (RFC 8555, sections 7.4 and 7.5).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from certworker.devca.accounts import thumbprint
from certworker.devca.certification import Certification
from certworker.devca.faults import Aftermath, FaultInjection
from certworker.devca.identifiers import requested_names
from certworker.devca.messages import Call, Reply, document
from certworker.devca.policy import Policy
from certworker.devca.problems import Problem, Refused
from certworker.devca.resources import Authorization, Memory, Order, identifier, rfc3339
from certworker.devca.signing import Signing

#: Let's Encrypt's, for the profile classic.
ORDER_LIFE = timedelta(days=7)


class Ordering:
    """
    The desk for orders.
    """

    def __init__(
        self,
        certification: Certification,
        signing: Signing,
        validate: Callable[[Authorization, str], None],
        look: Callable[[Authorization, str], Problem | None],
        policy: Policy,
        misbehaviour: FaultInjection,
        memory: Memory,
        clock: Callable[[], datetime],
    ) -> None:
        self._certification = certification
        self._signing = signing
        self._validate = validate
        self._look = look
        self._policy = policy
        self._misbehaviour = misbehaviour
        self._memory = memory
        self._clock = clock

    def order(self, call: Call) -> Reply:
        """
        newOrder.
        """
        if call.fields.keys() & {"notBefore", "notAfter"}:
            raise Refused("malformed", "The CA chooses the dates itself.")
        names = requested_names(call.fields)
        profile = self._profile(call.fields, names)
        replaced = self._certification.replaceable(call.owner, call.fields.get("replaces"), names)
        now = self._clock()
        order = Order(
            call.owner.id,
            tuple(self._authorization(call.owner.id, name, now) for name in names),
            now + ORDER_LIFE,
            profile,
            call.fields.get("replaces"),
        )
        self._memory.orders[order.id] = order
        if replaced is not None:
            self._memory.replaced[replaced] = order
        return self._shown(call, order, status=201)

    def show_order(self, call: Call) -> Reply:
        """
        An order, by POST-as-GET.
        """
        order = self._order(call)
        reply = self._shown(call, order)
        if order.polls_left > 0:
            order.polls_left -= 1
        elif order.issued:
            order.certificate_polls_left -= 1
        return reply

    def finalize(self, call: Call) -> Reply:
        """
        The end of an order: a signing request becomes a certificate.
        """
        order, now = self._order(call), self._clock()
        if order.status(now) != "ready":
            raise Refused("orderNotReady", f"The order is {order.status(now)}.")
        issued = self._signing.sign(call.owner, order, call.fields.get("csr"))
        if self._misbehaviour.order_failure:
            order.problem = self._misbehaviour.order_failure
        else:
            order.issued = self._memory.issued[issued.serial] = issued
            order.polls_left = self._misbehaviour.processing_polls
            order.certificate_polls_left = self._misbehaviour.certificate_polls
            order.ready = now + timedelta(seconds=self._misbehaviour.processing_seconds)
        return self._shown(call, order)

    def authorization(self, call: Call) -> Reply:
        """
        An authorization; ``{"status": "deactivated"}`` gives it up (RFC 8555, section 7.5.2).
        """
        authorization = self._own_authorization(call)
        if call.payload and call.payload.get("status") == "deactivated":
            authorization.state = "deactivated"
        status = authorization.status(self._clock())
        challenge = self._challenge(authorization, call.url("challenge", authorization.id))
        if self._misbehaviour.stale_authorizations > 0:
            self._misbehaviour.stale_authorizations -= 1
            status = challenge["status"] = "pending"
        content = {
            "identifier": identifier(authorization.name),
            "status": status,
            "expires": rfc3339(authorization.expires),
            "challenges": [*self._misbehaviour.more_challenges, challenge],
        }
        headers = self._poll_after(status == "pending")
        return document(content, headers=headers, names=(authorization.name,))

    def challenge(self, call: Call) -> Reply:
        """
        A challenge; ``{}`` says that its answer is in place (RFC 8555, section 7.5.1).
        """
        authorization = self._own_authorization(call)
        if call.payload is not None:
            self._respond(call, authorization)
        link = {"Link": f'<{call.url("authorization", authorization.id)}>;rel="up"'}
        content = self._challenge(authorization, call.request.url)
        headers = link | self._poll_after(authorization.state == "processing")
        return document(content, headers=headers, names=(authorization.name,))

    def decide(self, authorization: Authorization, problem: Problem | None) -> None:
        """
        Note how a validation ended, unless the client gave the authorization up in the meantime.
        """
        if authorization.state != "processing":
            return
        now = self._clock()
        authorization.problem = problem
        authorization.aftermath = self._misbehaviour.aftermath
        authorization.state = self._state_after(problem)
        if problem is None:
            authorization.validated = now
            authorization.expires = now + max(self._policy.authorization_reuse, ORDER_LIFE)

    def _state_after(self, problem: Problem | None) -> str:
        if problem is None:
            return "valid"
        if self._misbehaviour.aftermath is not Aftermath.CHALLENGE_PENDING:
            return "invalid"
        return "processing" if self._misbehaviour.processing_after_an_error else "pending"

    def _respond(self, call: Call, authorization: Authorization) -> None:
        if authorization.state != "pending":
            detail = f"Cannot update challenge with status {authorization.state}, only status pending"
            raise Refused(self._misbehaviour.repeated_response, detail)
        authorization.state = "processing"
        key_authorization = f"{authorization.token}.{thumbprint(call.owner.key)}"
        if self._misbehaviour.aftermath is not Aftermath.RESPONSE_REFUSED:
            self._validate(authorization, key_authorization)
            return
        problem = self._look(authorization, key_authorization)
        self.decide(authorization, problem)
        if problem:
            raise Refused(problem.kind, problem.detail, status=400)

    def _authorization(self, account: str, name: str, now: datetime) -> Authorization:
        latest = self._memory.latest.get((account, name))
        reuse = self._policy.authorization_reuse
        if latest and latest.state == "valid" and latest.validated and now - latest.validated < reuse:
            return latest
        authorization = Authorization(account, name, now + ORDER_LIFE)
        if self._policy.trusts_every_name:
            authorization.state = "valid"
        self._memory.authorizations[authorization.id] = self._memory.latest[account, name] = authorization
        return authorization

    def _profile(self, fields: dict[str, Any], names: tuple[str, ...]) -> str:
        name = fields.get("profile", next(iter(self._policy.profiles)))
        profile = self._policy.profiles.get(name) if isinstance(name, str) else None
        if profile is None:
            raise Refused("invalidProfile", f"The profiles are {', '.join(self._policy.profiles)}.")
        if len(names) > profile.most_names:
            raise Refused("malformed", f"The profile {name} allows {profile.most_names} names.")
        return str(name)

    def _order(self, call: Call) -> Order:
        order = self._memory.orders.get(call.request.id)
        if order is None:
            raise Refused("malformed", "There is no such order.", status=404)
        if order.account != call.owner.id:
            raise Refused("unauthorized", "The order belongs to another account.")
        return order

    def _own_authorization(self, call: Call) -> Authorization:
        authorization = self._memory.authorizations.get(call.request.id)
        if authorization is None:
            raise Refused("malformed", "There is no such authorization.", status=404)
        if authorization.account != call.owner.id:
            raise Refused("unauthorized", "The authorization belongs to another account.")
        return authorization

    def _shown(self, call: Call, order: Order, *, status: int = 200) -> Reply:
        state = order.status(self._clock())
        content: dict[str, Any] = {
            "status": state,
            "expires": rfc3339(order.expires),
            "identifiers": [identifier(name) for name in order.names],
            "profile": order.profile,
            "authorizations": [call.url("authorization", each.id) for each in order.authorizations],
            "finalize": call.url("finalize", order.id),
        }
        if order.replaces:
            content["replaces"] = order.replaces
        if order.problem and self._misbehaviour.tells_why:
            content["error"] = order.problem.as_json()
        if order.issued and state == "valid" and order.certificate_polls_left <= 0:
            content["certificate"] = call.url("certificate", f"{order.issued.serial:x}")
        headers = {"Location": call.url("order", order.id)} | self._poll_after(state == "processing")
        return document(content, status=status, headers=headers, names=order.names)

    def _challenge(self, authorization: Authorization, url: str) -> dict[str, Any]:
        content = authorization.challenge_json(url) | {"type": self._misbehaviour.challenge}
        if not self._misbehaviour.tells_why:
            content.pop("error", None)
        return content

    def _poll_after(self, waiting: bool) -> dict[str, str]:
        seconds = self._misbehaviour.poll_after_seconds
        return {"Retry-After": str(seconds)} if waiting and seconds is not None else {}
