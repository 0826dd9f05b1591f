"""
The rate limits of known CAs, and the file with the limits that a CA has granted.

Let's Encrypt counts by token buckets that refill evenly (its page on rate limits, of 2026-08-05). For a CA
without an entry no limit is assumed: its refusals are obeyed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from certworker.errors.config import InvalidSettings
from certworker.settings import variables
from certworker.settings.limits import Limit, Limits, grants_in

SETTING = "CERTWORKER_LIMITS_FILE"

#: An order for exactly the names of a certificate counts as a renewal within this time.
RENEWAL_WITHIN = timedelta(days=120)

#: `ours` stops a loop of failures or forced orders at three, and leaves one failure before the CA pauses a
#: name.
LETS_ENCRYPT = Limits(
    orders_per_account=Limit(300, timedelta(hours=3)),
    certificates_per_domain=Limit(50, timedelta(days=7)),
    certificates_per_set=Limit(5, timedelta(days=7), ours=3),
    failures_per_name=Limit(5, timedelta(hours=1), ours=3),
    failures_until_pause=Limit(1_152, timedelta(days=1_152), ours=1_151),
)

#: As in production, with the exceptions of its page on the staging environment.
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
    Return the limits of the CA *label*: those of the table, replaced by those of *file*.

    The file has one object per CA, under what CERTWORKER_AUTHORITY calls it, with the fields of
    :class:`Limits`. null is "no limit"; `domains` has registered domains with limits of their own::

        {"letsencrypt": {"orders_per_account": "3000/3h", "domains": {"example.org": "500/7d"}}}

    Raises:
        InvalidSettings: The file cannot be read or is invalid.
    """
    known = TABLE.get(label, Limits())
    if file is None:
        return known
    try:
        return replace(known, **grants_in(file).get(label, {}))
    except (OSError, ValueError) as error:
        raise InvalidSettings([f"{SETTING} must be {variables()[SETTING]}"]) from error
