"""
The mapping from the error of a validation to a failure of certworker.

The error of the challenge contains the reason; the error of the order often does not (RFC 8555, section 8).
The patterns match the texts of Boulder (Let's Encrypt), Pebble, the development CA, step-ca (and Caddy, which
uses its library), acme2certifier and serles.
"""

from __future__ import annotations

from certworker.acme.problems import Problem, to_failure
from certworker.acme.resources import WILDCARD, Authorization
from certworker.challenges.challenge import DNS01, DNS01_LABEL
from certworker.domains import delegated_domain
from certworker.errors import CertworkerError
from certworker.errors.acme import TlsProblem
from certworker.errors.caa import CaaForbidden, CaaLookupFailed
from certworker.errors.dns import (
    DnssecBroken,
    Ipv6Unreachable,
    NameServersFail,
    NameServersTimeout,
    NoAddress,
)
from certworker.errors.dns01 import NotVisible
from certworker.errors.http import (
    HttpBasicAuth,
    HttpNotFound,
    HttpNotValidated,
    HttpOn443,
    HttpRedirectBad,
    HttpRedirectClosed,
    HttpRedirectLoop,
    HttpRefused,
    HttpReset,
    HttpSecondary,
    HttpSlow,
    HttpsOn80,
    HttpTimeout,
    HttpWrongBody,
)

#: Pattern of the type, pattern of the text, failure. The first matching row applies.
Causes = tuple[tuple[str, str, type[CertworkerError]], ...]

OF_CAA: Causes = (
    ("dns|caa", r"(SERVFAIL|REFUSED|NOTIMP|timed out|truncated|networking error).*\bCAA\b", CaaLookupFailed),
    ("dns|caa", r"\bCAA\b.*(SERVFAIL|REFUSED|NOTIMP|timed out|truncated)", CaaLookupFailed),
    ("caa", "", CaaForbidden),
)

CAUSES: Causes = (
    *OF_CAA,
    ("connection|unauthorized|dns|tls|malformed", "^During secondary validation", HttpSecondary),
    ("dnssec", "", DnssecBroken),
    ("dns", "DNSSEC", DnssecBroken),
    ("dns", "NXDOMAIN|no valid A+ records|no such host", NoAddress),
    ("dns", "timed out|timeout", NameServersTimeout),
    ("dns", "", NameServersFail),
    ("unknownHost", "", NoAddress),
    ("connection", "no such host|could not resolve|failed to resolve|getaddrinfo", NoAddress),
    (".*", "redirect loop|too many redirects", HttpRedirectLoop),
    (".*", "redirect target|invalid protocol scheme|disallowed redirect", HttpRedirectBad),
    (".*", "server only speaks HTTP|HTTP response to HTTPS client", HttpOn443),
    ("connection|malformed", r"HTTP/2 over HTTP|malformed HTTP response", HttpsOn80),
    ("connection", r"fetching https://.*(refused|time-?out|deadline)", HttpRedirectClosed),
    ("connection", "refused", HttpRefused),
    ("connection", r"timeout (after connect|during read)|read timed out", HttpSlow),
    ("connection", "reset by peer|EOF", HttpReset),
    ("connection", "time-?out|timed out|deadline exceeded|unreachable|no route", HttpTimeout),
    ("unauthorized|connection", r"(: |returned |status )404\b", HttpNotFound),
    ("unauthorized|connection", r"(: |returned |status )401\b", HttpBasicAuth),
    ("connection", "", HttpNotValidated),
    ("unauthorized|incorrectResponse", "", HttpWrongBody),
    # The text of step-ca for a wrong key authorization. In the response to an order, the type means a refusal
    # by policy.
    (
        "rejectedIdentifier",
        "will not issue certificates for the identifier|key ?authorization",
        HttpWrongBody,
    ),
    ("tls", "", TlsProblem),
)

CAUSES_OF_DNS01: Causes = (
    *OF_CAA,
    ("dnssec", "", DnssecBroken),
    ("dns", "DNSSEC", DnssecBroken),
    ("dns", "SERVFAIL|REFUSED|NOTIMP|networking error", NameServersFail),
    ("dns", "timed out|timeout", NameServersTimeout),
    ("dns|unauthorized|incorrectResponse|unknownHost|connection", "", NotVisible),
    (
        "rejectedIdentifier",
        "will not issue certificates for the identifier|key ?authorization",
        NotVisible,
    ),
)

#: The problem types that occur only in a validation (RFC 8555, section 6.7).
OF_VALIDATIONS = ("connection", "dns", "dnssec", "incorrectResponse", "tls", "unknownHost")

#: The failures that may occur because the address belongs to another machine.
ELSEWHERE = (HttpTimeout, HttpRefused, HttpReset, HttpSlow, HttpNotFound, HttpNotValidated, HttpWrongBody)

#: The failures of a DNS query: with DNS-01, the CA queries the name of the TXT record.
OF_NAME_SERVERS = (DnssecBroken, NameServersFail, NameServersTimeout)


def validation_failure(
    problem: Problem, name: str, challenge_type: str, address: str | None, ca_title: str
) -> CertworkerError:
    """
    Return the failure for *problem*, the error of a validation of *name*.

    Args:
        challenge_type: The type of the challenge: `http-01` or `dns-01`.
        address: The address that the CA connected to; None if unknown.
        ca_title: The name of the CA in messages.
    """
    found = _cause(CAUSES_OF_DNS01 if challenge_type == DNS01 else CAUSES, problem, address)
    if found is None:
        return to_failure(problem, ca_title, name=name)
    base = name.removeprefix(WILDCARD)
    record = f"{DNS01_LABEL}.{base}"
    return found(
        problem=problem.as_json(),
        name=record if challenge_type == DNS01 and found in OF_NAME_SERVERS else name,
        owner=base,
        zone=delegated_domain(base),
        address=address or "no address known",
        detail=problem.detail,
        record=record,
        servers=ca_title,
    )


def authorization_failure(
    authorization: Authorization, challenge_type: str, ca_title: str
) -> CertworkerError | None:
    """
    Return the failure that a challenge of *authorization*, or else the authorization itself, reports.

    Return None if neither reports one.

    Args:
        challenge_type: The type of the challenge that certworker responds to. Its failure has priority.
        ca_title: The name of the CA in messages.
    """
    name = authorization.name
    ordered = sorted(authorization.challenges, key=lambda challenge: challenge.kind != challenge_type)
    for challenge in ordered:
        if challenge.error is not None:
            problem = Problem.read(challenge.error)
            return validation_failure(problem, name, challenge.kind, challenge.address, ca_title)
    if authorization.error is None:
        return None
    return validation_failure(Problem.read(authorization.error), name, challenge_type, None, ca_title)


def unexplained_failure(name: str, challenge_type: str, ca_title: str) -> CertworkerError:
    """
    Return the failure for a failed validation of *name* for which the CA gives no reason.
    """
    reason = "no reason given."
    if challenge_type == DNS01:
        record = f"{DNS01_LABEL}.{name.removeprefix(WILDCARD)}"
        return NotVisible(name=name, record=record, servers=ca_title, detail=reason)
    return HttpNotValidated(name=name, address="no address known", detail=reason)


def order_failure(problem: Problem, name: str, challenge_type: str, ca_title: str) -> CertworkerError:
    """
    Return the failure for *problem*, the error of an order for *name*.
    """
    if problem.kind in OF_VALIDATIONS:
        return validation_failure(problem, problem.name or name, challenge_type, None, ca_title)
    return to_failure(problem, ca_title, name=name)


def _cause(causes: Causes, problem: Problem, address: str | None) -> type[CertworkerError] | None:
    for kind, text, found in causes:
        if problem.matches(kind, text):
            # An outdated AAAA record often makes a site unreachable for the CA, but not for its owner.
            return Ipv6Unreachable if found in ELSEWHERE and _is_ipv6(address) else found
    return None


def _is_ipv6(address: str | None) -> bool:
    return address is not None and ":" in address
