"""
What is left of the rate limits of each CA.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from certworker.dashboard.sources import Sources
from certworker.ratelimits.budget import Budget, Remaining


@dataclass(frozen=True)
class AuthorityLimits:
    """
    The limits of one CA.
    """

    #: The label of the CA.
    authority: str
    #: The name of the CA in messages.
    title: str
    #: The limit of orders, and the limits of the most used registered domains; empty without known limits.
    limits: tuple[Remaining, ...]
    #: When the limits for all names permit the next order; the current time if they permit it now.
    next_order: datetime


def limits(sources: Sources) -> tuple[AuthorityLimits, ...]:
    """
    Return the limits of each CA in the settings, in the order of the settings.

    Raises:
        InvalidSettings: The file with the limits is invalid.
        redis.RedisError: Redis failed.
    """
    found = []
    for choice in sources.settings.authorities:
        budget = Budget.for_issuer(
            sources.settings, choice, sources.connection, sources.certificates, sources.clock
        )
        found.append(
            AuthorityLimits(choice.label, choice.title, tuple(budget.remaining()), budget.next_order())
        )
    return tuple(found)
