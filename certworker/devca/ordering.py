"""
Orders, authorizations and challenges (RFC 8555, sections 7.4 and 7.5).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

from certworker.challenges.challenge import DNS01, HTTP01
from certworker.devca.accounts import thumbprint
from certworker.devca.certification import Certification, Signing
from certworker.devca.messages import Call, Problem, Refused, Reply, document
from certworker.devca.policy import Policy
from certworker.devca.resources import Authorization, Issued, Memory, Order, identifier, rfc3339

#: How long an order is valid, as with Let's Encrypt's profile classic. An authorization is valid as long, or
#: longer if the policy allows its reuse for longer.
ORDER_LIFETIME = timedelta(days=7)

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LONGEST_NAME = 253
WILDCARD = "*."

#: The end of the URL of a DNS-01 challenge. The URL of HTTP-01 ends with the id of the authorization.
OF_DNS01 = "-dns-01"


class Ordering:
    """
    The resources of orders, authorizations, and challenges.
    """

    order_type = Order
    authorization_type = Authorization

    def __init__(
        self,
        certification: Certification,
        signing: Signing,
        validate: Callable[[Authorization, str], None],
        policy: Policy,
        memory: Memory,
        clock: Callable[[], datetime],
    ) -> None:
        self._certification = certification
        self._signing = signing
        self._validate = validate
        self._policy = policy
        self._memory = memory
        self._clock = clock

    def order(self, call: Call) -> Reply:
        """
        Create an order (newOrder).
        """
        if call.fields.keys() & {"notBefore", "notAfter"}:
            raise Refused("malformed", "The CA chooses the dates itself.")
        names = requested_names(call.fields, wildcards=self._policy.offers_dns01)
        profile = self._profile(call.fields, names)
        replaced = self._certification.replaceable(call.owner, call.fields.get("replaces"), names)
        now = self._clock()
        order = self.order_type(
            call.owner.id,
            tuple(self._authorization(call.owner.id, name, now) for name in names),
            now + ORDER_LIFETIME,
            profile,
            call.fields.get("replaces"),
        )
        self._memory.orders[order.id] = order
        if replaced is not None:
            self._memory.replaced[replaced] = order
        return self._shown(call, order, status=201)

    def show_order(self, call: Call) -> Reply:
        """
        Return an order, by POST-as-GET.
        """
        return self._shown(call, self._order(call))

    def finalize(self, call: Call) -> Reply:
        """
        Issue the certificate for an order according to the signing request.
        """
        order, now = self._order(call), self._clock()
        if order.status(now) != "ready":
            raise Refused("orderNotReady", f"The order is {order.status(now)}.")
        issued = self._signing.sign(call.owner, order, call.fields.get("csr"))
        self._complete(order, issued)
        return self._shown(call, order)

    def authorization(self, call: Call) -> Reply:
        """
        Return an authorization; `{"status": "deactivated"}` deactivates it (RFC 8555, section 7.5.2).
        """
        authorization = self._own_authorization(call)
        if call.payload and call.payload.get("status") == "deactivated":
            authorization.state = "deactivated"
        content: dict[str, Any] = {
            "identifier": identifier(authorization.name.removeprefix(WILDCARD)),
            "status": authorization.status(self._clock()),
            "expires": rfc3339(authorization.expires),
            "challenges": [
                authorization.challenge_json(each, _challenge_url(call, authorization, each))
                for each in authorization.challenge_types
            ],
        }
        if authorization.name.startswith(WILDCARD):
            content["wildcard"] = True
        return document(content, names=(authorization.name,))

    def challenge(self, call: Call) -> Reply:
        """
        Return a challenge; `{}` starts its validation (RFC 8555, section 7.5.1).
        """
        authorization, challenge_type = self._own_authorization(call), _challenge_type(call)
        if challenge_type not in authorization.challenge_types:
            raise Refused("malformed", "There is no such challenge.", status=404)
        if call.payload is not None:
            self._respond(call, authorization)
        link = {"Link": f'<{call.url("authorization", authorization.id)}>;rel="up"'}
        content = authorization.challenge_json(challenge_type, call.request.url)
        return document(content, headers=link, names=(authorization.name,))

    def decide(self, authorization: Authorization, problem: Problem | None) -> None:
        """
        Record the result of a validation, unless the client has deactivated the authorization.
        """
        if authorization.state != "processing":
            return
        now = self._clock()
        authorization.problem = problem
        authorization.state = "invalid" if problem else "valid"
        if problem is None:
            authorization.validated = now
            authorization.expires = now + max(self._policy.authorization_reuse, ORDER_LIFETIME)

    def _complete(self, order: Order, issued: Issued) -> None:
        order.issued = self._memory.issued[issued.serial] = issued

    def _respond(self, call: Call, authorization: Authorization) -> None:
        if authorization.state != "pending":
            detail = f"Cannot update challenge with status {authorization.state}, only status pending"
            raise Refused("malformed", detail)
        authorization.state, authorization.response_type = "processing", _challenge_type(call)
        self._validate(authorization, f"{authorization.token}.{thumbprint(call.owner.key)}")

    def _authorization(self, account: str, name: str, now: datetime) -> Authorization:
        latest = self._memory.latest.get((account, name))
        reuse = self._policy.authorization_reuse
        if latest and latest.state == "valid" and latest.validated and now - latest.validated < reuse:
            return latest
        authorization = self.authorization_type(account, name, now + ORDER_LIFETIME)
        authorization.challenge_types = self._challenge_types(name)
        if self._policy.trusts_every_name:
            authorization.state = "valid"
        self._memory.authorizations[authorization.id] = self._memory.latest[account, name] = authorization
        return authorization

    def _challenge_types(self, name: str) -> tuple[str, ...]:
        if not self._policy.offers_dns01 or identifier(name)["type"] == "ip":
            return (HTTP01,)
        return (DNS01,) if name.startswith(WILDCARD) else (HTTP01, DNS01)

    def _profile(self, fields: dict[str, Any], names: tuple[str, ...]) -> str:
        name = fields.get("profile", next(iter(self._policy.profiles)))
        profile = self._policy.profiles.get(name) if isinstance(name, str) else None
        if profile is None:
            raise Refused("invalidProfile", f"The profiles are {', '.join(self._policy.profiles)}.")
        if len(names) > profile.most_names:
            raise Refused("malformed", f"The profile {name} allows at most {profile.most_names} names.")
        return str(name)

    def _order(self, call: Call) -> Order:
        order = self._memory.orders.get(call.request.id)
        if order is None:
            raise Refused("malformed", "There is no such order.", status=404)
        if order.account != call.owner.id:
            raise Refused("unauthorized", "The order belongs to another account.")
        return order

    def _own_authorization(self, call: Call) -> Authorization:
        authorization = self._memory.authorizations.get(call.request.id.removesuffix(OF_DNS01))
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
        if order.problem:
            content["error"] = order.problem.as_json()
        if order.issued and state == "valid":
            content["certificate"] = call.url("certificate", f"{order.issued.serial:x}")
        headers = {"Location": call.url("order", order.id)}
        return document(content, status=status, headers=headers, names=order.names)


def requested_names(fields: dict[str, Any], *, wildcards: bool = False) -> tuple[str, ...]:
    """
    Return the names in the identifiers of an order, each once (RFC 8555, section 7.1.3; RFC 8738).

    Args:
        wildcards: Whether the CA issues certificates for wildcards.

    Raises:
        Refused: `malformed`, `unsupportedIdentifier` or `rejectedIdentifier`.
    """
    identifiers = fields.get("identifiers")
    if not isinstance(identifiers, list) or not identifiers:
        raise Refused("malformed", "An order needs identifiers.")
    return tuple(dict.fromkeys(_name(each, wildcards) for each in identifiers))


def _challenge_url(call: Call, authorization: Authorization, challenge_type: str) -> str:
    suffix = OF_DNS01 if challenge_type == DNS01 else ""
    return call.url("challenge", f"{authorization.id}{suffix}")


def _challenge_type(call: Call) -> str:
    return DNS01 if call.request.id.endswith(OF_DNS01) else HTTP01


def _name(identifier: Any, wildcards: bool) -> str:
    if not isinstance(identifier, dict) or not isinstance(identifier.get("value"), str):
        raise Refused("malformed", "An identifier needs a type and a value.")
    value: str = identifier["value"]
    if identifier.get("type") == "ip":
        return _address(value)
    if identifier.get("type") != "dns":
        raise Refused("unsupportedIdentifier", "The types of identifiers are dns and ip.")
    name = value.lower()
    base = name.removeprefix(WILDCARD) if wildcards else name
    if len(name) > LONGEST_NAME or not all(LABEL.fullmatch(label) for label in base.split(".")):
        raise Refused("rejectedIdentifier", f"{value!r} is not a name that this CA can validate.")
    if name.rpartition(".")[2].isdigit():
        raise Refused("rejectedIdentifier", f"{value!r} is an address, not a name.")
    return name


def _address(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError as error:
        raise Refused("rejectedIdentifier", f"{value!r} is not an address.") from error
