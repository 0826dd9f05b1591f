"""
The rate limits of known CAs, and the file with limits that a CA has granted to the operator.

Let's Encrypt counts with token buckets that refill evenly (its page on rate limits, version of 2026-08-05).
For a CA without an entry, certworker assumes no limits, and follows the refusals from the CA.
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

#: An order for exactly the names of a certificate is a renewal within this time after the issuance of the
#: certificate.
RENEWAL_WITHIN = timedelta(days=120)

#: `ours` stops a loop of failures or forced orders at three. It also stops orders one failure before the CA
#: would pause a name.
LETS_ENCRYPT = Limits(
    orders_per_account=Limit(300, timedelta(hours=3)),
    certificates_per_domain=Limit(50, timedelta(days=7)),
    certificates_per_set=Limit(5, timedelta(days=7), ours=3),
    failures_per_name=Limit(5, timedelta(hours=1), ours=3),
    failures_until_pause=Limit(1_152, timedelta(days=1_152), ours=1_151),
)

#: The limits on Let's Encrypt's page on the staging environment (version of 2025-11-25). Its limit for a
#: registered domain, 30,000 certificates per second, is too high to count.
LETS_ENCRYPT_STAGING = Limits(
    orders_per_account=Limit(1_500, timedelta(hours=3)),
    certificates_per_domain=None,
    certificates_per_set=Limit(30_000, timedelta(days=7)),
    failures_per_name=Limit(200, timedelta(hours=1)),
    failures_until_pause=Limit(3_600, timedelta(hours=6), ours=3_599),
)

#: The limits by the label of the CA.
TABLE: Mapping[str, Limits] = {"letsencrypt": LETS_ENCRYPT, "letsencrypt-staging": LETS_ENCRYPT_STAGING}


def limits_of(label: str, file: Path | None) -> Limits:
    """
    Return the limits of the CA *label*: those in the table, replaced by those in *file*.

    The file has one object for each CA, under its value of CERTWORKER_AUTHORITY, with the fields of
    :class:`Limits`. null means no limit. `domains` contains the limits of individual registered domains::

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
