"""
The rate limits of a CA, as values, and the file with the limits that a CA has granted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from certworker.settings.ca import CaChoice
from certworker.storage import durable

_WRITTEN = re.compile(r"(?:([1-9][0-9]{0,8}) of )?([1-9][0-9]{0,8})/([1-9][0-9]{0,3})([mhd])")
#: Limits for ten thousand domains take a tenth of this.
LARGEST_FILE_BYTES = 4 * 1024 * 1024
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Limit:
    """
    A token bucket of *count* tokens, which refills evenly within *period*.
    """

    count: int
    period: timedelta
    #: The maximum number of tokens that certworker takes automatically; the others need `--use-full-quota`.
    #: None: all.
    ours: int | None = None

    @classmethod
    def parse(cls, text: str) -> Limit:
        """
        Return the limit in *text*, such as `300/3h`, `50/7d`, or `3 of 5/60m`.

        Raises:
            ValueError: The text is not a limit.
        """
        written = _WRITTEN.fullmatch(text)
        if written is None:
            raise ValueError("not a limit")
        period = timedelta(**{_UNITS[written[4]]: int(written[3])})
        return cls(int(written[2]), period, ours=int(written[1]) if written[1] else None)

    @property
    def interval(self) -> timedelta:
        """
        Return the time after which the bucket has another token.
        """
        return self.period / self.count

    @property
    def period_in_words(self) -> str:
        """
        Return the exact period in its largest unit: `7 days`, `3 h` or `30 min`.
        """
        minutes = self.period // timedelta(minutes=1)
        if minutes % 60:
            return f"{minutes} min"
        hours = minutes // 60
        if hours % 24:
            return f"{hours} h"
        return "1 day" if hours == 24 else f"{hours // 24} days"

    def taken(self, use_full_quota: bool) -> int:
        """
        Return how many tokens certworker may take: all of them only with *use_full_quota*.
        """
        return self.count if use_full_quota or self.ours is None else min(self.ours, self.count)


@dataclass(frozen=True)
class Limits:
    """
    The token buckets of one CA. None means that the CA has no such limit, or that the limit is unknown.
    """

    orders_per_account: Limit | None = None
    #: All accounts of the CA share this limit.
    certificates_per_domain: Limit | None = None
    #: Certificates for exactly the same names. All accounts of the CA also share this limit.
    certificates_per_set: Limit | None = None
    failures_per_name: Limit | None = None
    #: How many consecutive failures of a name the CA accepts before it pauses the name.
    failures_until_pause: Limit | None = None
    #: The limits of the registered domains that have a limit of their own.
    domains: Mapping[str, Limit] = field(default_factory=dict)

    def of_domain(self, domain: str) -> Limit | None:
        """
        Return the limit of certificates for the registered *domain*.
        """
        return self.domains.get(domain, self.certificates_per_domain)


def grants_in(file: Path) -> Mapping[str, Mapping[str, Any]]:
    """
    Return the fields of :class:`Limits` that *file* sets, by the label of the CA.

    Raises:
        OSError: The file cannot be read.
        ValueError: Its content is not valid for CERTWORKER_LIMITS_FILE.
    """
    granted: dict[str, dict[str, Any]] = {}
    try:
        for name, limits in json.loads(durable.read(file, LARGEST_FILE_BYTES)).items():
            # A file may name a CA twice: by its label and by its URL.
            known = granted.setdefault(CaChoice.named(name).label, {})
            known.update({key: _read(key, value) for key, value in limits.items()})
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError("not an object of objects with limits") from error
    return granted


def _read(key: str, value: Any) -> object:
    if key not in {field.name for field in fields(Limits)}:
        raise ValueError("no such limit")
    if key == "domains":
        return {domain.lower(): Limit.parse(text) for domain, text in dict(value).items()}
    return None if value is None else Limit.parse(value)
