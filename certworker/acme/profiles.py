"""
Which kind of certificate to order, where a CA has several (draft-ietf-acme-profiles).
"""

from __future__ import annotations

from collections.abc import Mapping

from certworker.domains import is_address
from certworker.errors.acme import InvalidProfile
from certworker.errors.payload import TooManyNames

#: The one in which Let's Encrypt certifies IP addresses.
FOR_ADDRESSES = "shortlived"

#: How many names Let's Encrypt puts into a certificate; of another CA only its refusal tells.
MOST_NAMES = {"classic": 100, "tlsserver": 25, "shortlived": 25}
USUAL = "classic"
LETS_ENCRYPT = ("letsencrypt", "letsencrypt-staging")


def profile_for(
    names: tuple[str, ...], wanted: str | None, offered: Mapping[str, str], *, label: str, title: str
) -> str | None:
    """
    The profile to name in an order for *names*; None: none is named, the CA takes its usual one.

    Args:
        wanted: The one that is set, if any.
        offered: Those of the CA's directory.
        label: The CA's, for files; *title* is for people.

    Raises:
        InvalidProfile: The CA does not offer the one that is set.
        TooManyNames: It is known to take fewer names.
    """
    if wanted is not None and wanted not in offered:
        known = ", ".join(offered) or "one unnamed"
        raise InvalidProfile(authority=title, detail=f"no {wanted}, only {known}.")
    chosen = wanted
    if chosen is None and FOR_ADDRESSES in offered and any(map(is_address, names)):
        chosen = FOR_ADDRESSES
    most = MOST_NAMES.get(chosen or USUAL) if label in LETS_ENCRYPT else None
    if most is not None and len(names) > most:
        raise TooManyNames(count=len(names), limit=most)
    return chosen
