"""
Do the CAA records of a name allow this CA? (RFC 8659, RFC 8657; Boulder's `va/caa.go`.)

The records of the name itself count; if it has none, those of its parent, and so on up the tree. Without
any, every CA is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from certworker.errors import CertworkerError
from certworker.errors.caa import (
    CaaAccount,
    CaaDenyAll,
    CaaLookupFailed,
    CaaMethod,
    CaaNotListed,
    CaaSyntax,
    CaaUnknownCritical,
    CaaViaAlias,
)
from certworker.preflight.dns.query import SILENT
from certworker.preflight.dns.records import CaaSet, DnsRecords
from certworker.preflight.result import CheckContext, CheckResult, Outcome

#: What is understood, and so may be critical (RFC 8659, section 4.1; RFC 9495).
TAGS = frozenset({"issue", "issuewild", "iodef", "issuemail"})
CRITICAL = 128

METHOD = "http-01"


@dataclass(frozen=True)
class CaaIssuer:
    """
    Who is to be allowed.
    """

    #: The CA for people.
    title: str
    #: What stands for it in CAA records: `caaIdentities` of its directory (RFC 8555, section 7.1.1). None at
    #: all: it does not say, and nothing can be checked.
    identities: Sequence[str]
    #: Our account there; None: it will be made with the first order.
    account: str | None


@dataclass(frozen=True)
class Permission:
    """
    The value of an `issue` record: a CA, and under which conditions.
    """

    domain: str
    conditions: Mapping[str, str]

    @classmethod
    def parse(cls, value: str) -> Permission:
        """
        The permission in *value*, as in "ca.example.net; validationmethods=http-01".

        Raises:
            ValueError: A condition is no pair of a name and a value.
        """
        domain, *conditions = (part.strip() for part in value.split(";"))
        pairs = [condition.partition("=") for condition in conditions if condition]
        if not all(name.strip() and equals for name, equals, _ in pairs) or " " in domain:
            raise ValueError("not a permission")
        return cls(domain.lower(), {name.strip().lower(): said.strip() for name, _, said in pairs})


def check_caa(question: CheckContext, issuers: Callable[[], Sequence[CaaIssuer]]) -> CheckResult:
    """
    Judge the CAA records of the name in *question*.

    Args:
        issuers: The CAs, of which one has to be allowed, the preferred one first; asked for only if there
            are records.
    """
    if _unanswered(question.records):
        return CheckResult.skipped("CAA could not be asked")
    for found in question.records.caa:
        if found.error:
            return CheckResult.fail(
                CaaLookupFailed(name=question.name, detail=f"CAA {found.name}: {found.error}")
            )
        if found.records:
            verdicts = [_judged(question.name, found, issuer) for issuer in issuers()]
            allowed = (verdict for verdict in verdicts if verdict.outcome is Outcome.PASS)
            return next(allowed, verdicts[0])
    return CheckResult.passed("CAA open" if question.records.caa else "")


def _unanswered(records: DnsRecords) -> bool:
    # The servers of the domain were not even found: the fault is on our side, and told by another check.
    return (
        bool(records.resolvers)
        and not records.authoritative
        and all(view.error == SILENT for view in records.resolvers)
    )


def _judged(name: str, found: CaaSet, issuer: CaaIssuer) -> CheckResult:
    for record in found.records:
        if record.flags & CRITICAL and record.tag.lower() not in TAGS:
            unknown = f'{record.tag} "{record.value}"'
            return CheckResult.fail(CaaUnknownCritical(name=name, owner=found.owner, record=unknown))
    issue = [record.value for record in found.records if record.tag.lower() == "issue"]
    if not issue:
        return CheckResult.passed("CAA open")
    if not issuer.identities:
        return CheckResult.skipped("CAA not checked, as the CA does not say what it is called there")
    identity = issuer.identities[0]
    permissions, odd = _read(issue)
    remarks = [CaaSyntax(owner=found.owner, record=f'issue "{value}"', identity=identity) for value in odd]
    meant = [permission for permission in permissions if permission.domain in issuer.identities]
    obstacles = [_obstacle(name, found.owner, permission, issuer) for permission in meant]
    if None in obstacles:
        return CheckResult.passed(f"CAA allows {identity}", *remarks)
    obstacle = next(filter(None, obstacles), None) or _left_out(name, found.owner, permissions, issuer)
    if found.owner != found.name:
        obstacle = CaaViaAlias(
            name=found.name,
            owner=found.owner,
            authority=issuer.title,
            detail=obstacle.message,
            identity=identity,
        )
    return CheckResult.fail(obstacle, *remarks)


def _read(values: Sequence[str]) -> tuple[list[Permission], list[str]]:
    permissions, odd = [], []
    for value in values:
        try:
            permissions.append(Permission.parse(value))
        except ValueError:
            odd.append(value)
    return permissions, odd


def _obstacle(name: str, owner: str, permission: Permission, issuer: CaaIssuer) -> CertworkerError | None:
    """
    What is in the way although our CA is named; None: nothing.
    """
    methods = permission.conditions.get("validationmethods")
    if methods is not None and METHOD not in [method.strip() for method in methods.split(",")]:
        return CaaMethod(
            name=name, owner=owner, authority=issuer.title, methods=methods, identity=permission.domain
        )
    account = permission.conditions.get("accounturi")
    if account is not None and account != issuer.account:
        ours = issuer.account or "not there yet"
        return CaaAccount(name=name, owner=owner, found=account, ours=ours, identity=permission.domain)
    return None


def _left_out(name: str, owner: str, permissions: Sequence[Permission], issuer: CaaIssuer) -> CertworkerError:
    allowed = list(dict.fromkeys(permission.domain for permission in permissions if permission.domain))
    if not allowed:
        return CaaDenyAll(name=name, owner=owner, identity=issuer.identities[0])
    return CaaNotListed(
        name=name,
        owner=owner,
        allowed=", ".join(allowed),
        authority=issuer.title,
        identity=issuer.identities[0],
    )
