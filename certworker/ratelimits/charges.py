"""
The charges of an order: the tokens that it takes from buckets, and their return when the order ends.

::

    reserved ──► placed ──► validated ──► issued       charged: the order and the certificate
        │           │           ├► no response         charged: the order and the certificate
        │           │           └► refused             charged: the order
        │           ├► validation failed               charged: the order, and a failure of the name
        │           └► any other failure               charged: the order
        └► refused, or no response                     charged: nothing; all tokens are returned
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Literal

from certworker.domains import base_name, registered_domain
from certworker.errors import CertworkerError, Retry
from certworker.errors.acct import TooManyAccounts
from certworker.errors.rate import (
    CaBusy,
    DuplicateCertificates,
    FailedValidations,
    Paused,
    RegisteredDomainLimit,
    TooManyOrders,
)
from certworker.ratelimits.token_buckets import LONGEST_WINDOW, Adjustment, TokenBucket
from certworker.redis.codec import LATEST
from certworker.settings.limits import Limit, Limits

#: Names and IP addresses in a message.
_NAMES = re.compile(r"[0-9a-f]*:[0-9a-f:]*:[0-9a-f]*|[\w-]+(?:\.[\w-]+)*")

Kind = Literal["stop", "pause", "orders", "domain", "set", "failures", "streak"]

#: The charges that Let's Encrypt does not count. It counts nothing for an order that replaces a certificate
#: (RFC 9773, section 5) within the suggested window. For other renewals, it does not count the order or the
#: registered domain. certworker still counts the failures of an order that replaces a certificate.
REPLACING: frozenset[Kind] = frozenset({"orders", "domain", "set"})
RENEWING: frozenset[Kind] = frozenset({"orders", "domain"})

#: The longest closure of a bucket, if it differs from :data:`LONGEST_WINDOW`. A refusal without a known limit
#: may concern only one name.
LONGEST: dict[Kind, timedelta] = {"stop": timedelta(hours=1)}

#: The kind of the bucket that each refusal from the CA concerns.
REFUSALS: dict[type[BaseException], Kind] = {
    CaBusy: "stop",
    TooManyAccounts: "stop",
    TooManyOrders: "orders",
    RegisteredDomainLimit: "domain",
    DuplicateCertificates: "set",
    FailedValidations: "failures",
    Paused: "pause",
}


@dataclass(frozen=True)
class Charge:
    """
    One charge of an order.
    """

    kind: Kind
    #: The charged name, registered domain or set of names.
    subject: str
    bucket: TokenBucket
    limit: Limit | None


def bucket_of(kind: Kind, subject: str, limit: Limit | None, *, use_full_quota: bool = False) -> TokenBucket:
    """
    Return the bucket of *kind* for *subject*. A bucket without a *limit* is never empty, but may be closed.
    """
    name = f"{kind} {subject}".rstrip()
    if limit is None:
        return TokenBucket(name, longest=LONGEST.get(kind, LONGEST_WINDOW))
    capacity = limit.taken(use_full_quota)
    return TokenBucket(
        name,
        limit.interval,
        capacity,
        doubtful=kind == "failures",
        reserved_for_new={"orders": limit.count // 10, "domain": 0}.get(kind),
        # A bucket that `use_full_quota` has emptied takes the longest time to refill.
        longest=max(LONGEST_WINDOW, limit.interval * (limit.count - capacity + 1)),
    )


def set_of(names: Iterable[str]) -> str:
    """
    Return the identifier of the set of *names*.
    """
    return sha256(" ".join(sorted(names)).encode()).hexdigest()[:32]


def charges_for(names: Sequence[str], limits: Limits, *, use_full_quota: bool) -> list[Charge]:
    """
    Return all charges of an order for *names*, with or without a known limit.
    """
    return [
        Charge(kind, subject, bucket_of(kind, subject, limit, use_full_quota=use_full_quota), limit)
        for kind, subject, limit in _charges(names, limits)
    ]


def _charges(names: Sequence[str], limits: Limits) -> Iterator[tuple[Kind, str, Limit | None]]:
    yield "stop", "", None
    yield "orders", "", limits.orders_per_account
    for domain in sorted(set(map(registered_domain, names))):
        yield "domain", domain, limits.of_domain(domain)
    yield "set", set_of(names), limits.certificates_per_set
    for name in names:
        yield "pause", name, None
    # The CA validates the base name of a wildcard.
    for name in dict.fromkeys(map(base_name, names)):
        yield "failures", name, limits.failures_per_name
        yield "streak", name, limits.failures_until_pause


class Reservation:
    """
    The charges of one order, and its progress.
    """

    def __init__(self, all_charges: Sequence[Charge], *, exempt: bool, renewal: bool) -> None:
        usually: frozenset[Kind] = RENEWING if renewal else frozenset()
        free = REPLACING if exempt else usually
        # An exempt charge has no limit. It remains, because a refusal from the CA closes its bucket.
        self._charges = [_exemption(charge) if charge.kind in free else charge for charge in all_charges]
        #: The charges to take before the order.
        self.reserved = self._charges
        # The charges that apply if the CA does not accept the order as a replacement.
        self._late = [charge for charge in all_charges if charge.kind in free - usually]
        self._reached = 0

    def placed(self, *, replaces: bool) -> None:
        """
        Record that the CA accepted the order, and whether it *replaces* a certificate.
        """
        self._reached = 1
        if replaces:
            self._late = []

    def validated(self) -> None:
        """
        Record that the CA validated all names.
        """
        self._reached = 2

    def ended(self, fault: BaseException | None) -> Iterator[Adjustment]:
        """
        Yield the adjustments after *fault*, or after the issuance if *fault* is None.
        """
        counted = self._counted(fault)
        affected = _affected([charge.subject for charge in self._charges if charge.kind == "failures"], fault)
        for charge in filter(_has_figures, self.reserved):
            if charge.kind == "streak" and self._reached == 2:
                yield Adjustment("forget", charge.bucket)
            elif charge.kind not in counted or (
                charge.kind in ("failures", "streak") and charge.subject not in affected
            ):
                yield Adjustment("give back", charge.bucket)
        for charge in filter(_has_figures, self._late):
            if charge.kind in counted:
                yield Adjustment("take", charge.bucket)
        yield from self._shut(fault)

    def _counted(self, fault: BaseException | None) -> frozenset[Kind]:
        if fault is None:
            return REPLACING
        if self._reached == 0:
            return frozenset()
        failure = fault if isinstance(fault, CertworkerError) else None
        if self._reached == 1:
            not_ours = failure is not None and failure.retry is Retry.CA
            return frozenset({"orders", "failures", "streak"} if not_ours else {"orders"})
        # Without a refusal, the CA may have issued a certificate that never arrived.
        return frozenset({"orders"}) if failure and failure.problem else REPLACING

    def _shut(self, fault: BaseException | None) -> Iterator[Adjustment]:
        kind = REFUSALS.get(type(fault)) if isinstance(fault, CertworkerError) else None
        closed = [charge for charge in self._charges if charge.kind == kind]
        affected = _affected([charge.subject for charge in closed], fault)
        for charge in closed:
            if kind == "pause":
                # A pause has no known end, so the budget closes the bucket for as long as possible. Only the
                # CA knows whether the operator has ended the pause.
                yield Adjustment("shut", charge.bucket, LATEST)
            elif charge.subject in affected:
                yield Adjustment("shut", charge.bucket, getattr(fault, "until", None))


def _exemption(charge: Charge) -> Charge:
    return Charge(charge.kind, charge.subject, TokenBucket(f"exempt {charge.bucket.name}"), None)


def _has_figures(charge: Charge) -> bool:
    return charge.limit is not None


def _affected(subject: Sequence[str], fault: BaseException | None) -> set[str]:
    # Only the text shows which of several names failed. "www.example.org" does not mean example.org.
    named = set(_NAMES.findall(str(fault).lower()))
    return {each for each in subject if each in named} or set(subject)
