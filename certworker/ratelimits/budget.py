"""
The remaining orders under the rate limits of a CA, for all workers together.

This module never waits. If a limit is used up, the failure contains the time of the next order. A refusal
from the CA has priority over the count of the tokens: its Retry-After closes the bucket of that limit.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from math import ceil

from redis import Redis
from redis.exceptions import RedisError

from certworker.domains import registered_domain
from certworker.errors import CertworkerError, printable
from certworker.errors.failure import MAX_URL
from certworker.errors.rate import LocalGuard, Paused
from certworker.minutes import not_before
from certworker.ratelimits.charges import Charge, Kind, Reservation, bucket_of, charges_for, set_of
from certworker.ratelimits.limits import limits_of
from certworker.ratelimits.token_buckets import Adjustment, Exhausted, TokenBucket, TokenBuckets
from certworker.redis.codec import name_in, shown_in
from certworker.redis.shared_trips import send_with_next
from certworker.settings import CaChoice, Settings
from certworker.settings.limits import Limit, Limits
from certworker.storage.certificate_store import CertificateStore

logger = logging.getLogger(__name__)

BUDGET = "certworker:budget:"
#: The paused names, each with the URL of the page that ends its pause.
PAUSES = "certworker:paused:"

#: How long a refusal without a known end closes its bucket. The refused name waits longer, but the
#: certificates of other names may expire within minutes.
STOP_WITHOUT_END = timedelta(minutes=1)

#: The maximum number of registered domains in :meth:`Budget.remaining`.
MOST_DOMAINS = 10

#: The maximum number of paused names that are read after a loss. For other names, the CA reports the pause
#: again.
MOST_PAUSED = 10_000
#: The maximum number of bytes of a name.
LONGEST_NAME = 253

# KEYS: the paused names with their pages. ARGV: the maximum number of names, the maximum bytes of a name.
# Removes longer names. Returns other names up to the maximum, and the number of removed names.
_PAUSED = """
local names, removed = {}, 0
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
    if #name > tonumber(ARGV[2]) then
        removed = removed + redis.call('HDEL', KEYS[1], name)
    elseif #names < tonumber(ARGV[1]) then
        names[#names + 1] = name
    end
end
return {names, removed}
"""

REASONS = {
    "orders": "the limit of {most} orders within {period} is used up",
    "domain": "the limit of {most} certificates within {period} for {whose} is used up",
    "set": "the limit of {most} certificates for exactly these names is used up",
    "failures": "the limit of {most} failed validations of {whose} is used up",
    "streak": "{most} validations of {whose} failed in a row, and the CA would pause it",
}


@dataclass(frozen=True)
class Remaining:
    """
    What is left of one limit.
    """

    #: `orders` of the account, or certificates of one `domain`.
    kind: Kind
    #: The registered domain; empty for a limit of the account.
    subject: str
    #: How many tokens are left, without those that need `--use-full-quota`.
    left: int
    #: The maximum number of tokens, without those that need `--use-full-quota`.
    of: int
    period: timedelta
    #: When this limit permits the next order.
    next_order: datetime


class Budget:
    """
    The budget for one CA.

    Args:
        connection: The connection to Redis, which all workers share.
        authority: The CA.
        limits: The limits of the CA.
        issued: Returns the names and the time of issuance of each certificate on the volume that is from the
            CA. It is called when Redis has lost the buckets.
        clock: The clock to use; None for the clock of Redis, which is the same for all workers.
    """

    def __init__(
        self,
        connection: Redis,
        authority: CaChoice,
        limits: Limits,
        *,
        issued: Callable[[], Iterable[tuple[tuple[str, ...], datetime]]],
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._connection = connection
        self._authority = authority
        self._limits = limits
        self._issued = issued
        self._pauses = PAUSES + authority.label
        self._read_paused = connection.register_script(_PAUSED)
        failures = limits.failures_per_name
        self._buckets = TokenBuckets(
            connection,
            BUDGET + authority.label,
            known=self._known,
            doubt=failures.period if failures else timedelta(0),
            clock=clock,
        )

    @classmethod
    def for_issuer(
        cls,
        settings: Settings,
        choice: CaChoice,
        connection: Redis,
        store: CertificateStore,
        clock: Callable[[], datetime] | None = None,
    ) -> Budget:
        """
        Return the budget for the CA *choice*, with its documented limits and those in the operator's file.

        Args:
            store: The certificates from which to restore lost buckets.
            clock: The clock to use; None for the clock of Redis, which is the same for all workers.

        Raises:
            InvalidSettings: The file in CERTWORKER_LIMITS_FILE is invalid.
        """
        limits = limits_of(choice.label, settings.limits_file)
        return cls(connection, choice, limits, issued=partial(store.issued, choice.label), clock=clock)

    @contextmanager
    def reserve(
        self,
        names: Sequence[str],
        *,
        exempt: bool,
        renewal: bool,
        use_full_quota: bool = False,
        reserved: bool = False,
    ) -> Iterator[Reservation]:
        """
        Reserve the charges of an order for *names*, and settle them when the block ends.

        Args:
            exempt: Whether the order replaces a certificate within the CA's suggested window. certworker then
                counts only failed validations, unless the CA does not accept the replacement.
            renewal: Whether the CA counts the order as a renewal.
            use_full_quota: Whether to apply the limits of the CA without certworker's own reserve.
            reserved: Whether a crashed worker has already reserved the charges of the same order.

        Raises:
            LocalGuard: A limit is used up, or the CA requests a pause, until the time in the failure. Nothing
                is reserved.
            Paused: The CA has paused one of the names, before the order or during it.
            redis.RedisError: Redis failed before the order.
        """
        charges = charges_for(names, self._limits, use_full_quota=use_full_quota)
        reservation = Reservation(charges, exempt=exempt, renewal=renewal)
        wanted = [] if reserved else [charge.bucket for charge in reservation.reserved]
        if full := self._buckets.take(wanted, who="" if use_full_quota else set_of(names)):
            raise self._refusal(names, full, reservation.reserved)
        try:
            yield reservation
        except Paused as pause:
            self._settle(names, reservation.ended(pause), pause)
            # The text of the CA does not list the paused names in a reliable form.
            raise Paused(
                authority=self._authority.title, name=names[0], url=pause.url, problem=pause.problem
            ) from pause
        except BaseException as fault:
            self._settle(names, reservation.ended(fault), fault)
            raise
        self._settle(names, reservation.ended(None), None)

    def resume(self, names: Sequence[str]) -> bool:
        """
        Allow orders for *names* again after a pause. Return whether any of the names was paused.
        """
        paused = [bucket_of("pause", name, None) for name in names]
        is_closed = any(self._buckets.full_again(paused))
        self._buckets.settle(Adjustment("forget", bucket) for bucket in paused)
        return bool(self._connection.hdel(self._pauses, *names)) or is_closed

    @property
    def has_limits(self) -> bool:
        """
        Return whether a limit of orders, or of certificates for a registered domain, is known.
        """
        return bool(
            self._limits.orders_per_account or self._limits.certificates_per_domain or self._limits.domains
        )

    def available_at(self, names: Sequence[str]) -> datetime | None:
        """
        Return when certworker may order the last of *names*, which have no certificate yet.

        Each name needs an order. Only the limits of orders and of registered domains count. Return None if no
        such limit is known.
        """
        counts: dict[TokenBucket, int] = {}
        if names and (orders := self._limits.orders_per_account):
            counts[bucket_of("orders", "", orders)] = len(names)
        for domain, count in Counter(map(registered_domain, names)).items():
            if limit := self._limits.of_domain(domain):
                counts[bucket_of("domain", domain, limit)] = count
        now, full_again = self._buckets.now(), self._buckets.full_again(list(counts))
        moments = [
            max(now, max(full or now, now) + bucket.interval * (count - bucket.capacity))
            for (bucket, count), full in zip(counts.items(), full_again, strict=True)
        ]
        return max(moments, default=None)

    def remaining(self) -> list[Remaining]:
        """
        Return what is left of the limit of orders, and of the limits of the most used registered domains.
        """
        limits: list[tuple[Kind, str, Limit | None]] = [("orders", "", self._limits.orders_per_account)]
        for name in self._buckets.fullest("domain ", MOST_DOMAINS):
            domain = printable(name.removeprefix("domain "), LONGEST_NAME)
            limits.append(("domain", domain, self._limits.of_domain(domain)))
        known = [
            (kind, subject, limit, bucket_of(kind, subject, limit))
            for kind, subject, limit in limits
            if limit
        ]
        now = self._buckets.now()
        full_again = self._buckets.full_again([bucket for *_, bucket in known])
        return [
            Remaining(
                kind,
                subject,
                left=max(0, bucket.capacity - ceil(max((full or now) - now, timedelta(0)) / limit.interval)),
                of=bucket.capacity,
                period=limit.period,
                next_order=max(now, (full or now) - limit.interval * (bucket.capacity - 1)),
            )
            for (kind, subject, limit, bucket), full in zip(known, full_again, strict=True)
        ]

    def next_order(self) -> datetime:
        """
        Return when the limits that concern all names permit the next order.
        """
        orders = self._limits.orders_per_account
        buckets = [bucket_of("stop", "", None), bucket_of("orders", "", orders)]
        now = self._buckets.now()
        return max(
            max(now, full - bucket.interval * (bucket.capacity - 1)) if full else now
            for bucket, full in zip(buckets, self._buckets.full_again(buckets), strict=True)
        )

    def usage(self, names: Sequence[str]) -> Iterator[tuple[Charge, int]]:
        """
        Yield each charge that concerns *names* and has a limit, with the number of used tokens.
        """
        charges = [charge for charge in charges_for(names, self._limits, use_full_quota=True) if charge.limit]
        now = self._buckets.now()
        moments = self._buckets.full_again([charge.bucket for charge in charges])
        for charge, full in zip(charges, moments, strict=True):
            if charge.limit:
                yield charge, ceil(max(full - now, timedelta(0)) / charge.limit.interval) if full else 0

    def _refusal(self, names: Sequence[str], full: Exhausted, asked: Sequence[Charge]) -> CertworkerError:
        charge = next(charge for charge in asked if charge.bucket == full.bucket)
        if charge.kind == "pause":
            url = self._page(charge.subject) or "the website of the CA"
            return Paused(authority=self._authority.title, name=charge.subject, url=url)
        reason = "the CA requests a pause"
        if charge.limit:
            reason = REASONS[charge.kind].format(
                period=charge.limit.period_in_words, most=charge.bucket.capacity, whose=charge.subject
            )
        return LocalGuard(
            until=full.until,
            authority=self._authority.title,
            name=names[0],
            moment=not_before(full.until),
            reason=reason,
        )

    def _settle(
        self, names: Sequence[str], changes: Iterable[Adjustment], fault: BaseException | None
    ) -> None:
        try:
            if isinstance(fault, Paused):
                self._connection.hset(self._pauses, mapping=dict.fromkeys(names, fault.url))
            self._buckets.settle(map(self._bounded, changes))
            if fault is None:
                # The operator may have ended a pause at the CA, without `certworker resume`.
                send_with_next(self._connection, "HDEL", self._pauses, *names)
        except RedisError as error:
            # The buckets refill even without this adjustment, but later.
            logger.debug("could not settle the budget: %s", error, extra={"domain": names[0]})

    def _bounded(self, change: Adjustment) -> Adjustment:
        if change.kind != "shut":
            return change
        now = self._buckets.now()
        return Adjustment(
            "shut", change.bucket, min(change.until or now + STOP_WITHOUT_END, now + change.bucket.longest)
        )

    def _known(self, now: datetime) -> Mapping[str, datetime]:
        """
        Return when the buckets are full again, from the certificates on the volume and the paused names.

        Orders are not on the volume, so half of their tokens count as used.
        """
        paused = [bucket_of("pause", name, None) for name in self._paused_names()]
        known = {bucket.name: now + bucket.longest for bucket in paused}
        orders, moments = self._limits.orders_per_account, defaultdict[str, list[datetime]](list)
        if orders:
            known["orders"] = now + orders.period / 2
        for names, moment in sorted(self._issued(), key=lambda each: each[1]):
            its_set = f"set {set_of(names)}"
            if its_set not in moments:
                # Later certificates of a set are renewals, which the limit of the domain does not count.
                for domain in set(map(registered_domain, names)):
                    moments[f"domain {domain}"].append(moment)
            moments[its_set].append(moment)
        for bucket, issued in moments.items():
            kind, _, whose = bucket.partition(" ")
            limit = self._limits.of_domain(whose) if kind == "domain" else self._limits.certificates_per_set
            if limit and (full := _full_again(limit, issued, now)) > now:
                known[bucket] = full
        return known

    def _paused_names(self) -> list[str]:
        members, count = self._read_paused([self._pauses], [MOST_PAUSED, LONGEST_NAME])
        names = [name for member in members if (name := name_in(member))]
        others = [member for member in members if not name_in(member)]
        if others:
            self._connection.hdel(self._pauses, *others)
        if removed := count + len(others):
            logger.warning("removed invalid entries from the Redis key %s: %d", self._pauses, removed)
        return names

    def _page(self, name: str) -> str:
        if self._connection.hstrlen(self._pauses, name) > MAX_URL:
            return ""
        page = shown_in(self._connection.hget(self._pauses, name), MAX_URL)
        return page if page.startswith(("https://", "http://")) else ""


def _full_again(limit: Limit, taken: Iterable[datetime], now: datetime) -> datetime:
    full = now - limit.period
    for moment in taken:
        full = max(full, moment) + limit.interval
    return min(full, now + limit.period)
