"""
How often a CA may be asked: one table of figures, and the file with what a CA has granted beyond them.

Let's Encrypt counts by token buckets that refill evenly (its page on rate limits, of 2026-08-05). Of a CA
without an entry nothing is assumed: it says itself when it has had enough.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from certworker.errors.configuration import InvalidSettings
from certworker.settings import AuthorityChoice

SETTING = "CERTWORKER_LIMITS_FILE"

ALLOWED = 'the path of a JSON file such as {"letsencrypt": {"orders_per_account": "3000/3h"}}'

_WRITTEN = re.compile(r"(?:([1-9][0-9]{0,8}) of )?([1-9][0-9]{0,8})/([1-9][0-9]{0,3})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Limit:
    """
    A bucket: *count* at once, refilled evenly within *period*.
    """

    count: int
    period: timedelta
    #: How many of them certworker takes by itself, where it leaves the rest to a person who insists.
    ours: int | None = None

    @classmethod
    def parse(cls, text: str) -> Limit:
        """
        The limit in *text*, such as `300/3h`, `50/7d`, or `3 of 5/60m`.

        Raises:
            ValueError: It is none.
        """
        written = _WRITTEN.fullmatch(text)
        if written is None:
            raise ValueError("not a limit")
        period = timedelta(**{_UNITS[written[4]]: int(written[3])})
        return cls(int(written[2]), period, ours=int(written[1]) if written[1] else None)

    @property
    def interval(self) -> timedelta:
        """
        After how long one more is there.
        """
        return self.period / self.count

    def taken(self, insisting: bool) -> int:
        """
        How many may be taken at once: all of them only by a person who is *insisting*.
        """
        return self.count if insisting or self.ours is None else min(self.ours, self.count)


@dataclass(frozen=True)
class Limits:
    """
    The buckets of one CA; None: it has no such limit, or none that is known.
    """

    orders_per_account: Limit | None = None
    #: All accounts of the CA share it.
    certificates_per_domain: Limit | None = None
    #: The very same names; all accounts share it, too.
    certificates_per_set: Limit | None = None
    failures_per_name: Limit | None = None
    #: Failures of a name without a success in between, after which the CA pauses it.
    failures_until_pause: Limit | None = None
    #: Registered domains to which the CA grants another figure than to all.
    domains: Mapping[str, Limit] = field(default_factory=dict)

    def of_domain(self, domain: str) -> Limit | None:
        """
        How many certificates the registered *domain* may have.
        """
        return self.domains.get(domain, self.certificates_per_domain)


#: An order for the very names of a certificate is a renewal so long after that certificate was issued.
RENEWAL_WITHIN = timedelta(days=120)

#: A restart loop with a name that fails, or a job that forces in a loop, stops at three; the last failure
#: before the pause is never ours.
LETS_ENCRYPT = Limits(
    orders_per_account=Limit(300, timedelta(hours=3)),
    certificates_per_domain=Limit(50, timedelta(days=7)),
    certificates_per_set=Limit(5, timedelta(days=7), ours=3),
    failures_per_name=Limit(5, timedelta(hours=1), ours=3),
    failures_until_pause=Limit(1_152, timedelta(days=1_152), ours=1_151),
)

#: As production, with the exceptions of its page on the staging environment.
LETS_ENCRYPT_STAGING = replace(
    LETS_ENCRYPT,
    orders_per_account=Limit(1_500, timedelta(hours=3)),
    certificates_per_domain=Limit(30_000, timedelta(days=7)),
    certificates_per_set=Limit(30_000, timedelta(days=7)),
    failures_per_name=Limit(200, timedelta(hours=1)),
)

#: By the label of the CA.
TABLE: Mapping[str, Limits] = {"letsencrypt": LETS_ENCRYPT, "letsencrypt-staging": LETS_ENCRYPT_STAGING}


def limits_of(label: str, file: Path | None) -> Limits:
    """
    The limits of the CA *label*: those of the table, as far as *file* does not say otherwise.

    The file has one object per CA, under what CERTWORKER_AUTHORITY calls it, with the fields of
    :class:`Limits`. null is "no limit"; `domains` has registered domains with limits of their own::

        {"letsencrypt": {"orders_per_account": "3000/3h", "domains": {"example.org": "500/7d"}}}

    Raises:
        InvalidSettings: The file cannot be read, or does not say such things.
    """
    known = TABLE.get(label, Limits())
    if file is None:
        return known
    try:
        granted = json.loads(file.read_bytes())
        ours = [told for name, told in granted.items() if AuthorityChoice.named(name).label == label]
        changes: dict[str, Any] = {key: _read(key, value) for told in ours for key, value in told.items()}
        return replace(known, **changes)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidSettings([f"{SETTING} must be {ALLOWED}"]) from error


def _read(key: str, value: Any) -> object:
    if key == "domains":
        return {domain.lower(): Limit.parse(text) for domain, text in dict(value).items()}
    return None if value is None else Limit.parse(value)
