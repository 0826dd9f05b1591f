"""
The CA's refusals, as our failures.

A CA says what is wrong in a problem document (RFC 7807; its types: RFC 8555, section 6.7). The type decides
which failure it is; the text only tells apart what shares a type, such as the limits of Let's Encrypt.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from certworker.acme.problem import Problem
from certworker.acme.transport import Reply
from certworker.acme.waiting import end_of_limit
from certworker.errors import CertworkerError, Retry
from certworker.errors.authority import (
    AccountBlocked,
    AccountDeactivated,
    AccountGone,
    AlreadyReplaced,
    AuthorizationGone,
    BadCsr,
    BadNonce,
    ExternalAccountRequired,
    InvalidProfile,
    Maintenance,
    Malformed,
    OrderNotReady,
    SecondaryRpcFailed,
    ServerInternal,
    TermsChanged,
    TooManyAccounts,
    UnknownProblem,
)
from certworker.errors.configuration import EmailInvalid
from certworker.errors.limits import (
    AuthorityBusy,
    DuplicateCertificates,
    FailedValidations,
    Paused,
    RegisteredDomainLimit,
    TooManyOrders,
)
from certworker.errors.naming import ForbiddenByPolicy
from certworker.errors.reach import CaaForbids

#: How long a limit lasts that names no moment.
UNSAID_WAIT = timedelta(hours=1)

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
    ("alreadyReplaced", "", AlreadyReplaced),
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


def refusal(reply: Reply, authority: str, now: datetime) -> CertworkerError:
    """
    The failure in an answer of *authority* (its title) whose status is an error.
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
    # Whatever else it says: Let's Encrypt's load balancer speaks no ACME, and sends 503 with Retry-After.
    if problem.status == 503:
        return Maintenance if until is None else AuthorityBusy
    for kind, text, found in REFUSALS:
        if problem.says(kind, text):
            return found
    if problem.status == 429:
        return AuthorityBusy
    return ServerInternal if problem.status >= 500 else UnknownProblem


def _first_url(text: str) -> str | None:
    found = re.search(r"https?://\S+", text)
    return found[0].rstrip(".,") if found else None
