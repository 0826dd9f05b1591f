"""
The problem document of a CA (RFC 7807), and the corresponding failure of certworker.

The type of a problem (RFC 8555, section 6.7) determines the failure, except for a few HTTP statuses. The text
only distinguishes problems of the same type, such as the rate limits of Let's Encrypt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from certworker.acme.polling import rate_limit_end
from certworker.acme.transport import Reply, resolved
from certworker.domains.wildcard import base_name
from certworker.errors import CertworkerError, printable
from certworker.errors.acct import (
    AccountBlocked,
    AccountDeactivated,
    AccountGone,
    ContactRequired,
    ExternalAccountRequired,
    TermsChanged,
    TooManyAccounts,
    UserActionRequired,
)
from certworker.errors.acme import (
    AlreadyReplaced,
    AuthorizationGone,
    BadCsr,
    BadNonce,
    Conflict,
    InvalidProfile,
    Malformed,
    NotOffered,
    OrderNotReady,
    ResourceNotFound,
    UnknownProblem,
)
from certworker.errors.ca import Maintenance, SecondaryRpcFailed, ServerInternal
from certworker.errors.caa import CaaForbidden
from certworker.errors.config import EmailInvalid
from certworker.errors.name import ForbiddenByPolicy
from certworker.errors.rate import (
    CaBusy,
    DuplicateCertificates,
    FailedValidations,
    Paused,
    RegisteredDomainLimit,
    TooManyOrders,
)

#: The prefix of the problem types of ACME (RFC 8555, section 6.7).
ACME = "urn:ietf:params:acme:error:"

#: The maximum number of characters in a detail. Let's Encrypt's details contain long links.
LONGEST_DETAIL = 4000

#: Boulder quotes the name in the detail if there is no identifier.
_QUOTED_NAME = re.compile(r'for "([^"\s]+)"')

#: The HTTP status of a conflict: for example, the CA is already processing the same request.
CONFLICT = 409

#: Pattern of the type, pattern of the text, failure. The first matching row applies.
REFUSALS: tuple[tuple[str, str, type[CertworkerError]], ...] = (
    ("badNonce", "", BadNonce),
    ("rateLimited", "too many failed authorizations", FailedValidations),
    ("rateLimited", "exact set of", DuplicateCertificates),
    ("rateLimited", "already issued for", RegisteredDomainLimit),
    ("rateLimited", "too many new orders", TooManyOrders),
    ("rateLimited", "too many new registrations", TooManyAccounts),
    ("rateLimited", "temporarily prevented from requesting", Paused),
    ("rateLimited", "", CaBusy),
    ("alreadyReplaced", "", AlreadyReplaced),
    ("accountDoesNotExist", "", AccountGone),
    ("externalAccountRequired", "", ExternalAccountRequired),
    ("userActionRequired", "terms", TermsChanged),
    ("userActionRequired", "", UserActionRequired),
    ("malformed", "terms of service", TermsChanged),
    # acme2certifier
    ("malformed", "contact information", ContactRequired),
    ("unauthorized", "eab credentials", ExternalAccountRequired),
    ("malformed", "", Malformed),
    ("unauthorized", "deactivated", AccountDeactivated),
    ("unauthorized", "account blocked", AccountBlocked),
    ("unauthorized", "authoriz", AuthorizationGone),
    ("invalidContact", "", EmailInvalid),
    ("invalidEmail", "", EmailInvalid),
    ("unsupportedContact", "", EmailInvalid),
    ("rejectedIdentifier", "", ForbiddenByPolicy),
    ("unsupportedIdentifier", "", ForbiddenByPolicy),
    ("caa", "", CaaForbidden),
    ("invalidProfile", "", InvalidProfile),
    ("orderNotReady", "", OrderNotReady),
    ("conflict", "", Conflict),
    ("badCSR", "", BadCsr),
    ("serverInternal", "secondary validation rpc", SecondaryRpcFailed),
    ("serverInternal", "maintenance", Maintenance),
    ("serverInternal", "", ServerInternal),
)

#: Failures by HTTP status, for problems without a matching row.
UNTYPED: dict[int, type[CertworkerError]] = {404: ResourceNotFound, 409: Conflict, 429: CaBusy}


@dataclass(frozen=True)
class Problem:
    """
    A problem that a CA reports.
    """

    type: str
    detail: str
    status: int
    #: The name that the problem is about; None if unknown.
    name: str | None = None
    #: The URL of a page about this occurrence (RFC 7807, section 3.1), absolute or relative.
    instance: str | None = None

    @classmethod
    def read(cls, document: object, status: int = 0) -> Problem:
        """
        Return the problem in *document*, which may be any JSON.

        Use the first subproblem, if there are any (RFC 8555, section 6.7.1): the outer text is only a
        summary.

        Args:
            status: The HTTP status of the response; 0 for the status in the document.
        """
        outer = document if isinstance(document, dict) else {}
        inner = outer.get("subproblems")
        first = inner[0] if isinstance(inner, list) and inner else None
        problem = first if isinstance(first, dict) else outer
        detail = _text(problem.get("detail")) or _text(problem.get("title")) or "no reason given"
        return cls(
            type=_text(problem.get("type")) or "about:blank",
            detail=detail[:LONGEST_DETAIL],
            status=status or _number(outer.get("status")),
            name=_name(problem.get("identifier"), detail),
            instance=_text(problem.get("instance")) or _text(outer.get("instance")) or None,
        )

    @property
    def kind(self) -> str:
        """
        Return the type without the prefix of ACME.
        """
        return self.type.removeprefix(ACME)

    def matches(self, kind: str, text: str) -> bool:
        """
        Return whether the kind matches the pattern *kind*, and a part of the detail the pattern *text*.
        """
        return bool(re.fullmatch(kind, self.kind) and re.search(text, self.detail, re.IGNORECASE))

    def as_json(self) -> dict[str, Any]:
        """
        Return the problem for JSON, with printable strings.
        """
        return {"type": printable(self.type), "detail": printable(self.detail), "status": self.status}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _name(identifier: object, detail: str) -> str | None:
    if isinstance(identifier, dict):
        return _text(identifier.get("value")) or None
    quoted = _QUOTED_NAME.search(detail)
    return quoted[1] if quoted else None


def passes(status: int) -> bool:
    """
    Return whether this HTTP *status* describes a temporary state of the CA, not a fault of the request.
    """
    return status == 429 or (status >= 500 and status != 501)


def decides(failure: CertworkerError) -> bool:
    """
    Return whether *failure* is a final decision of the CA: the request will never take effect.
    """
    if failure.problem is None or isinstance(failure, BadNonce):
        return False
    return not passes(failure.problem["status"]) and not was_conflict(failure)


def was_conflict(failure: CertworkerError) -> bool:
    """
    Return whether the CA reports a conflict (409): for example, it is already processing the request.
    """
    return failure.problem is not None and failure.problem["status"] == CONFLICT


def detail_of(failure: CertworkerError) -> str:
    """
    Return the detail of the problem, or else the message of *failure*.

    Add a period unless the text ends with a punctuation mark.
    """
    text = str(failure.problem["detail"]) if failure.problem else failure.message
    return text if text.endswith((".", "!", "?")) else f"{text}."


def failure_from_reply(reply: Reply, ca_title: str, now: datetime) -> CertworkerError:
    """
    Return the failure for a response with an error status. *ca_title* is the name of the CA in messages.
    """
    try:
        problem = Problem.read(reply.document, reply.status)
    except CertworkerError as not_json:
        problem = Problem("about:blank", f"HTTP {reply.status}", reply.status)
        if not passes(reply.status) and reply.status != 501:
            return not_json
    terms = reply.links("terms-of-service")
    return to_failure(
        problem,
        ca_title,
        # The link indicates new terms even if the text does not (section 7.3.3).
        kind=TermsChanged if terms and problem.kind == "userActionRequired" else None,
        url=next(iter((*_instance(problem, reply.url), *terms)), None),
        until=rate_limit_end(reply.headers, problem.detail, now),
    )


def to_failure(
    problem: Problem,
    ca_title: str,
    *,
    name: str | None = None,
    url: str | None = None,
    until: datetime | None = None,
    kind: type[CertworkerError] | None = None,
) -> CertworkerError:
    """
    Return the failure for *problem*.

    Args:
        ca_title: The name of the CA in messages.
        name: The name that the problem is about, for a problem without a name.
        url: The page that the operator must open; None for the first URL in the detail.
        until: When the CA allows the next attempt.
        kind: The class of the failure; None to determine it from status, type and text.
    """
    kind, about = kind or _kind(problem, until), problem.name or name or "the domain"
    return kind(
        until=until,
        problem=problem.as_json(),
        authority=ca_title,
        name=about,
        owner=base_name(about),
        detail=problem.detail,
        reason=problem.detail,
        type=problem.type,
        url=url or _first_url(problem.detail) or "the website of the CA",
    )


def _kind(problem: Problem, until: datetime | None) -> type[CertworkerError]:
    # The status comes first: the load balancer of Let's Encrypt sends 503 with Retry-After, but no problem.
    if problem.status == 503:
        return Maintenance if until is None else CaBusy
    # step-ca and Caddy send 501 with the type `rejectedIdentifier`.
    if problem.status == 501:
        return NotOffered
    for kind, text, found in REFUSALS:
        if problem.matches(kind, text):
            # With status 404, `malformed` is about the resource, not the request (RFC 9110, section 15.5.5).
            return ResourceNotFound if found is Malformed and problem.status == 404 else found
    if problem.status >= 500:
        return ServerInternal
    return UNTYPED.get(problem.status, UnknownProblem)


def _instance(problem: Problem, base: str) -> list[str]:
    """
    Return the URL of the problem's page (RFC 7807, section 3.1); empty if there is no HTTP URL.
    """
    try:
        return [resolved(problem.instance, base)] if problem.instance else []
    except ValueError:
        return []


def _first_url(text: str) -> str | None:
    found = re.search(r"https?://\S+", text)
    return found[0].rstrip(".,") if found else None
