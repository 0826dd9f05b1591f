"""
Whose request it is: those of one tenant share the slots among themselves, not with the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from certworker.domains.suffixes import registered_domain
from certworker.errors.payload import PayloadType

#: As long as a name may be.
LONGEST = 253


def tenant_of(given: object, names: Sequence[str]) -> str:
    """
    The tenant that a job for *names* belongs to: the one it names, else the registered domain of the first.

    Raises:
        PayloadType: *given* is no text of 1 to 253 characters.
    """
    if given is None:
        return registered_domain(names[0])
    if not isinstance(given, str) or not 1 <= len(given) <= LONGEST:
        raise PayloadType(field="tenant", wanted=f"a text of at most {LONGEST} characters")
    return given
