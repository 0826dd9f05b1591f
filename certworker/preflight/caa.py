"""
Whether the CAA records of a name allow a configured CA (RFC 8659, RFC 8657; Boulder's `va/caa.go`).

The records of the name itself apply. If it has none, those of the closest parent with records apply. Without
any records, every CA may issue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from certworker.dns.query import SILENT
from certworker.dns.records import Caa, CaaSet, DnsRecords
from certworker.domains.wildcard import is_wildcard
from certworker.errors import CertworkerError
from certworker.errors.caa import (
    CaaAccount,
    CaaBeforeAccount,
    CaaDenyAll,
    CaaLookupFailed,
    CaaMethod,
    CaaNotListed,
    CaaSyntax,
    CaaUnknownCritical,
    CaaViaAlias,
)
from certworker.preflight.result import CheckContext, CheckResult, Outcome

#: The known tags, which may have the critical flag (RFC 8659, section 4.1; RFC 9495).
TAGS = frozenset({"issue", "issuewild", "iodef", "issuemail"})
CRITICAL = 128


@dataclass(frozen=True)
class CaaIssuer:
    """
    A CA that CAA records may allow.
    """

    #: The name of the CA in messages.
    title: str
    #: The names of the CA in CAA records: `caaIdentities` of its directory (RFC 8555, section 7.1.1). If they
    #: are unknown, the list is empty, and the check cannot compare the records.
    identities: Sequence[str]
    #: The URL of the account; None if it is unknown before the first order.
    account: str | None


@dataclass(frozen=True)
class Permission:
    """
    The value of an `issue` or `issuewild` record: a CA, and its conditions. Without a CA, it allows none.
    """

    domain: str
    conditions: Mapping[str, str]

    @classmethod
    def parse(cls, value: str) -> Permission:
        """
        Return the permission in *value*, for example "ca.example.net; validationmethods=http-01".

        Raises:
            ValueError: The domain or a condition has a syntax error.
        """
        domain, *conditions = (part.strip() for part in value.split(";"))
        pairs = [condition.partition("=") for condition in conditions if condition]
        if not all(name.strip() and equals for name, equals, _ in pairs) or " " in domain:
            raise ValueError("not a permission")
        return cls(domain.lower(), {name.strip().lower(): value.strip() for name, _, value in pairs})


def check_caa(context: CheckContext, issuers: Callable[[], Sequence[CaaIssuer]]) -> CheckResult:
    """
    Check whether the CAA records of the name in *context* allow one of the CAs.

    Args:
        issuers: Returns the CAs, starting with the preferred one; called only to compare records with them.
    """
    if _is_unreachable(context.records):
        return CheckResult.skipped("CAA records could not be queried")
    found = decisive_set(context.records)
    if found is None:
        return CheckResult.passed("CAA open" if context.records.caa else "")
    if found.error:
        return CheckResult.fail(
            CaaLookupFailed(name=context.name, owner=found.name, detail=f"CAA {found.name}: {found.error}")
        )
    results = [_check_issuer(context, found, issuer) for issuer in issuers()]
    allowed = (result for result in results if result.outcome is Outcome.PASS)
    return next(allowed, results[0])


def compares_only(context: CheckContext) -> bool:
    """
    Return whether the check of the name in *context* does not need the names of the CAs.
    """
    found = decisive_set(context.records)
    return found is None or bool(found.error)


def decisive_set(records: DnsRecords) -> CaaSet | None:
    """
    Return the CAA records that apply to a name with these *records*, or the error that hides them.

    Return None if the name and its parents have no CAA records.
    """
    return next((each for each in records.caa if each.error or each.records), None)


def tag_for(found: CaaSet, name: str) -> str:
    """
    Return the tag of the records in *found* that apply to *name*.
    """
    return _applicable(found, name)[0]


def is_unknown_critical(record: Caa) -> bool:
    """
    Return whether *record* has the critical flag and an unknown property, so that no CA may issue.
    """
    return bool(record.flags & CRITICAL) and record.tag.lower() not in TAGS


def _is_unreachable(records: DnsRecords) -> bool:
    # The resolvers did not answer, so the name servers of the domain are unknown. Another check reports that.
    return (
        bool(records.resolvers)
        and not records.authoritative
        and all(view.error == SILENT for view in records.resolvers)
    )


def _check_issuer(context: CheckContext, found: CaaSet, issuer: CaaIssuer) -> CheckResult:
    name = context.name
    for record in found.records:
        if is_unknown_critical(record):
            unknown = f'{record.tag} "{record.value}"'
            return CheckResult.fail(CaaUnknownCritical(name=name, owner=found.owner, record=unknown))
    tag, values = _applicable(found, name)
    if not values:
        return CheckResult.passed("CAA open")
    if not issuer.identities:
        return CheckResult.skipped("CAA not checked: the directory of the CA has no caaIdentities")
    identity = issuer.identities[0]
    permissions, invalid = _parsed(values)
    warnings = [
        CaaSyntax(owner=found.owner, record=f'{tag} "{value}"', tag=tag, identity=identity)
        for value in invalid
    ]
    matching = [permission for permission in permissions if permission.domain in issuer.identities]
    failures = [_failed_condition(context, found.owner, tag, permission, issuer) for permission in matching]
    if None in failures:
        return CheckResult.passed(f"CAA allows {identity}", *warnings)
    failure = next(filter(None, failures), None) or _not_allowed(name, found.owner, tag, permissions, issuer)
    if found.owner != found.name:
        failure = CaaViaAlias(
            name=found.name,
            owner=found.owner,
            authority=issuer.title,
            detail=failure.message,
            tag=tag,
            identity=identity,
        )
    return CheckResult.fail(failure, *warnings)


def _applicable(found: CaaSet, name: str) -> tuple[str, list[str]]:
    """
    Return the tag and the values of the records that apply to *name*.

    For a wildcard, records with `issuewild` have priority over those with `issue` (RFC 8659, section 4.3).
    """
    by_tag = {
        tag: [record.value for record in found.records if record.tag.lower() == tag]
        for tag in ("issue", "issuewild")
    }
    tag = "issuewild" if is_wildcard(name) and by_tag["issuewild"] else "issue"
    return tag, by_tag[tag]


def _parsed(values: Sequence[str]) -> tuple[list[Permission], list[str]]:
    permissions, invalid = [], []
    for value in values:
        try:
            permissions.append(Permission.parse(value))
        except ValueError:
            invalid.append(value)
    return permissions, invalid


def _failed_condition(
    context: CheckContext, owner: str, tag: str, permission: Permission, issuer: CaaIssuer
) -> CertworkerError | None:
    """
    Return the failure of a condition of *permission*, which names the CA, or None if all conditions are met.
    """
    name, method = context.name, context.challenge_type
    methods = permission.conditions.get("validationmethods")
    if methods is not None and method not in [method.strip() for method in methods.split(",")]:
        return CaaMethod(
            name=name,
            owner=owner,
            authority=issuer.title,
            methods=methods,
            method=method,
            tag=tag,
            identity=permission.domain,
        )
    account = permission.conditions.get("accounturi")
    if account is not None and account != issuer.account:
        identity = permission.domain
        if issuer.account is None:
            return CaaBeforeAccount(name=name, owner=owner, found=account, tag=tag, identity=identity)
        return CaaAccount(
            name=name, owner=owner, found=account, ours=issuer.account, tag=tag, identity=identity
        )
    return None


def _not_allowed(
    name: str, owner: str, tag: str, permissions: Sequence[Permission], issuer: CaaIssuer
) -> CertworkerError:
    allowed = list(dict.fromkeys(permission.domain for permission in permissions if permission.domain))
    if not allowed:
        return CaaDenyAll(name=name, owner=owner, tag=tag, identity=issuer.identities[0])
    return CaaNotListed(
        name=name,
        owner=owner,
        allowed=", ".join(allowed),
        authority=issuer.title,
        tag=tag,
        identity=issuer.identities[0],
    )
