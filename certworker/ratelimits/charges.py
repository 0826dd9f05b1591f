"""
What an order costs at a CA: from which buckets it takes, and what becomes of that when it has ended.

::

    reserved ──► placed ──► validated ──► issued       counted: the order and the certificate
        │           │           └► refused             counted: the order
        │           └► not ours                        counted: the order, and a failure of the name
        └► refused, or no answer                       nothing is counted; all of it is given back
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Literal

from certworker.domains import registered_domain
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
from certworker.settings.limits import Limit, Limits

#: Names and addresses in a text, as long as they can be.
_NAMES = re.compile(r"[0-9a-f]*:[0-9a-f:]*:[0-9a-f]*|[\w-]+(?:\.[\w-]+)*")

Kind = Literal["stop", "pause", "orders", "domain", "set", "failures", "streak"]

#: What Let's Encrypt does not count: anything of an order that replaces a certificate (RFC 9773, section 5)
#: inside the suggested window; of any other renewal the order and the share of the registered domain. The CA
#: ignores the limit of failures for the former, but certworker does not.
REPLACING: frozenset[Kind] = frozenset({"orders", "domain", "set"})
RENEWING: frozenset[Kind] = frozenset({"orders", "domain"})

#: How long a bucket may be shut at most, where that is not the usual: a CA that does not say what it has had
#: enough of may mean one name only, and a pause has no end of its own.
LONGEST: dict[Kind, timedelta | None] = {"stop": timedelta(hours=1), "pause": None}

#: Which bucket a refusal speaks of.
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
    One of the things an order costs.
    """

    kind: Kind
    #: Whose: a name, a registered domain, a set of names.
    subject: str
    bucket: TokenBucket
    limit: Limit | None


def bucket_of(kind: Kind, whose: str, limit: Limit | None, *, use_full_quota: bool = False) -> TokenBucket:
    """
    The bucket of *kind* that belongs to *whose*; without a *limit* it can be shut only.
    """
    name = f"{kind} {whose}".rstrip()
    if limit is None:
        return TokenBucket(name, longest=LONGEST.get(kind, LONGEST_WINDOW))
    most = limit.taken(use_full_quota)
    return TokenBucket(
        name,
        limit.interval,
        most,
        doubtful=kind == "failures",
        reserved_for_new={"orders": limit.count // 10, "domain": 0}.get(kind),
        # Without a word of the CA, a bucket from which a person has taken all is shut the longest.
        longest=max(LONGEST_WINDOW, limit.interval * (limit.count - most + 1)),
    )


def set_of(names: Iterable[str]) -> str:
    """
    What tells the set of these *names* from any other.
    """
    return sha256(" ".join(sorted(names)).encode()).hexdigest()[:32]


def charges_for(names: Sequence[str], limits: Limits, *, use_full_quota: bool) -> list[Charge]:
    """
    Everything that an order for *names* may cost; of a CA with no figures nothing but patience.
    """
    return [
        Charge(kind, whose, bucket_of(kind, whose, limit, use_full_quota=use_full_quota), limit)
        for kind, whose, limit in _charges(names, limits)
    ]


def _charges(names: Sequence[str], limits: Limits) -> Iterator[tuple[Kind, str, Limit | None]]:
    yield "stop", "", None
    yield "orders", "", limits.orders_per_account
    for domain in sorted(set(map(registered_domain, names))):
        yield "domain", domain, limits.of_domain(domain)
    yield "set", set_of(names), limits.certificates_per_set
    for name in names:
        yield "pause", name, None
        yield "failures", name, limits.failures_per_name
        yield "streak", name, limits.failures_until_pause


class Reservation:
    """
    An order, what was reserved for it, and how far it has come.
    """

    def __init__(self, all_charges: Sequence[Charge], *, exempt: bool, renewal: bool) -> None:
        usually: frozenset[Kind] = RENEWING if renewal else frozenset()
        free = REPLACING if exempt else usually
        # A price that this order is exempt from has no limit, but the CA may have refused the exemption.
        self._charges = [_exemption(charge) if charge.kind in free else charge for charge in all_charges]
        #: What is to be taken before the order.
        self.reserved = self._charges
        # What is counted after all, should the CA not take it as a replacement.
        self._late = [charge for charge in all_charges if charge.kind in free - usually]
        self._reached = 0

    def placed(self, *, replaces: bool) -> None:
        """
        The CA has taken the order, as one that *replaces* a certificate or not.
        """
        self._reached = 1
        if replaces:
            self._late = []

    def validated(self) -> None:
        """
        The CA counts all names as ours.
        """
        self._reached = 2

    def ended(self, fault: BaseException | None) -> Iterator[Adjustment]:
        """
        What is to be settled after *fault*; None: the certificate is there.
        """
        counted = self._counted(fault)
        concerned = _affected(
            [charge.subject for charge in self._charges if charge.kind == "failures"], fault
        )
        for charge in filter(_has_figures, self.reserved):
            if charge.kind == "streak" and self._reached == 2:
                yield Adjustment("forget", charge.bucket)
            elif charge.kind not in counted or (
                charge.kind in ("failures", "streak") and charge.subject not in concerned
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
        # Without a refusal there may be a certificate that never arrived.
        return frozenset({"orders"}) if failure and failure.problem else REPLACING

    def _shut(self, fault: BaseException | None) -> Iterator[Adjustment]:
        kind = REFUSALS.get(type(fault)) if isinstance(fault, CertworkerError) else None
        meant = [charge for charge in self._charges if charge.kind == kind]
        concerned = _affected([charge.subject for charge in meant], fault)
        for charge in meant:
            if kind == "pause":
                yield Adjustment("shut", charge.bucket)
            elif charge.subject in concerned:
                yield Adjustment("shut", charge.bucket, getattr(fault, "until", None))


def _exemption(charge: Charge) -> Charge:
    return Charge(charge.kind, charge.subject, TokenBucket(f"exempt {charge.bucket.name}"), None)


def _has_figures(charge: Charge) -> bool:
    return charge.limit is not None


def _affected(whose: Sequence[str], fault: BaseException | None) -> set[str]:
    # One of several names failed; which one, only the text says. www.example.org does not name example.org.
    named = set(_NAMES.findall(str(fault).lower()))
    return {each for each in whose if each in named} or set(whose)
