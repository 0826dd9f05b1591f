"""
The CA's refusals, as our failures.

A CA says what is wrong in a problem document (RFC 7807; its types: RFC 8555, section 6.7). The type decides
which failure it is; the text only tells apart what shares a type, such as the limits of Let's Encrypt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from certworker.acme.transport import Reply
from certworker.acme.waiting import end_of_limit
from certworker.errors import CertworkerError, Retry, printable
from certworker.errors.authority import (
    AccountBlocked,
    AccountDeactivated,
    AccountGone,
    AuthorityBusy,
    AuthorizationGone,
    BadCsr,
    BadNonce,
    DuplicateCertificates,
    ExternalAccountRequired,
    FailedValidations,
    InvalidProfile,
    Maintenance,
    Malformed,
    OrderNotReady,
    Paused,
    RegisteredDomainLimit,
    SecondaryRpcFailed,
    ServerInternal,
    TermsChanged,
    TooManyAccounts,
    TooManyOrders,
    UnknownProblem,
)
from certworker.errors.configuration import EmailInvalid
from certworker.errors.naming import ForbiddenByPolicy
from certworker.errors.reach import CaaForbids

ACME = "urn:ietf:params:acme:error:"

#: How long a limit lasts that names no moment.
UNSAID_WAIT = timedelta(hours=1)
#: Longer than any that a CA means for people; the links of Let's Encrypt in them are long.
LONGEST_DETAIL = 4000

#: Type, what the text must contain, failure; the first row that fits.
REFUSALS: tuple[tuple[str, str, type[CertworkerError]], ...] = (
    ("badNonce", "", BadNonce),
    ("rateLimited", "too many failed authorizations", FailedValidations),
    ("rateLimited", "exact set of", DuplicateCertificates),
    ("rateLimited", "already issued for", RegisteredDomainLimit),
    ("rateLimited", "too many new orders", TooManyOrders),
    ("rateLimited", "too many new registrations", TooManyAccounts),
    ("rateLimited", "temporarily prevented from requesting", Paused),
    ("rateLimited", "", AuthorityBusy),
    ("accountDoesNotExist", "", AccountGone),
    ("externalAccountRequired", "", ExternalAccountRequired),
    ("userActionRequired", "", TermsChanged),
    ("malformed", "terms of service", TermsChanged),
    ("malformed", "", Malformed),
    ("unauthorized", "deactivated", AccountDeactivated),
    ("unauthorized", "account blocked", AccountBlocked),
    ("unauthorized", "authoriz", AuthorizationGone),
    ("invalidContact", "", EmailInvalid),
    ("invalidEmail", "", EmailInvalid),
    ("unsupportedContact", "", EmailInvalid),
    ("rejectedIdentifier", "", ForbiddenByPolicy),
    ("unsupportedIdentifier", "", ForbiddenByPolicy),
    ("caa", "", CaaForbids),
    ("invalidProfile", "", InvalidProfile),
    ("orderNotReady", "", OrderNotReady),
    ("badCSR", "", BadCsr),
    ("serverInternal", "secondary validation rpc", SecondaryRpcFailed),
    ("serverInternal", "maintenance", Maintenance),
    ("serverInternal", "", ServerInternal),
)


@dataclass(frozen=True)
class Problem:
    """
    What a CA said went wrong.
    """

    type: str
    detail: str
    status: int
    #: The name it speaks of, where it says that.
    name: str | None = None

    @classmethod
    def read(cls, document: object, status: int = 0) -> Problem:
        """
        The problem in *document*, whatever that is.

        Of several (RFC 8555, section 6.7.1) the first one speaks: the text above them only sums up.
        """
        outer = document if isinstance(document, dict) else {}
        inner = outer.get("subproblems")
        first = inner[0] if isinstance(inner, list) and inner else None
        told = first if isinstance(first, dict) else outer
        identifier = told.get("identifier")
        return cls(
            type=_text(told.get("type")) or "about:blank",
            detail=(_text(told.get("detail")) or _text(told.get("title")) or "no reason given")[
                :LONGEST_DETAIL
            ],
            status=status or _number(outer.get("status")),
            name=_text(identifier.get("value")) if isinstance(identifier, dict) else None,
        )

    @property
    def kind(self) -> str:
        """
        The type without ACME's prefix.
        """
        return self.type.removeprefix(ACME)

    def says(self, kind: str, text: str) -> bool:
        """
        Whether its kind is, and its detail contains, what these patterns say.
        """
        return bool(re.fullmatch(kind, self.kind) and re.search(text, self.detail, re.IGNORECASE))

    def as_json(self) -> dict[str, Any]:
        """
        The CA's own words, fit to be printed.
        """
        return {"type": printable(self.type), "detail": printable(self.detail), "status": self.status}


def refusal(reply: Reply, authority: str, now: datetime, name: str | None = None) -> CertworkerError:
    """
    The failure in an answer of *authority* (its title) whose status is an error.

    *name* is what was asked for, where the problem does not name it itself.
    """
    try:
        problem = Problem.read(reply.document, reply.status)
    except CertworkerError as not_json:
        problem = Problem("about:blank", f"HTTP {reply.status}", reply.status)
        if reply.status < 500 and reply.status != 429:
            return not_json
    terms = reply.links("terms-of-service")
    return failure(
        problem,
        authority,
        name=name,
        url=terms[0] if terms else None,
        until=end_of_limit(reply.headers, problem.detail, now),
        now=now,
    )


def failure(
    problem: Problem,
    authority: str,
    *,
    now: datetime,
    name: str | None = None,
    url: str | None = None,
    until: datetime | None = None,
) -> CertworkerError:
    """
    The failure that *problem* is; *url* is a page the CA wants a person to open.
    """
    kind = _kind(problem, until)
    if kind.retry is Retry.UNTIL and until is None:
        until = now + UNSAID_WAIT
    return kind(
        until=until,
        problem=problem.as_json(),
        authority=authority,
        name=problem.name or name or "the domain",
        detail=problem.detail,
        reason=problem.detail,
        type=problem.type,
        url=url or _first_url(problem.detail) or "the web site of the CA",
    )


def _kind(problem: Problem, until: datetime | None) -> type[CertworkerError]:
    for kind, text, found in REFUSALS:
        if problem.says(kind, text):
            return found
    # A load balancer speaks no ACME: Let's Encrypt's sends 503 and Retry-After.
    if problem.status == 429 or (problem.status == 503 and until is not None):
        return AuthorityBusy
    if problem.status == 503:
        return Maintenance
    return ServerInternal if problem.status >= 500 else UnknownProblem


def _first_url(text: str) -> str | None:
    found = re.search(r"https?://\S+", text)
    return found[0].rstrip(".,") if found else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
