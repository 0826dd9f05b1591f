"""
When a certificate is renewed, and when it is looked at next: the CA's advice and our own arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random

from certworker.acme.renewal_info import Suggestion
from certworker.renewal import due_moment, next_look
from certworker.serving.generation import Facts


@dataclass(frozen=True)
class Plan:
    """
    What to do about a certificate.
    """

    due: bool
    next_look: datetime
    #: Whether the CA named the window in which it is renewed.
    advised: bool
    #: Whether that window is open. Only then Let's Encrypt exempts an order that replaces the certificate.
    window_open: bool = False


@dataclass(frozen=True)
class Schedule:
    """
    Plans by what the CA suggests for a certificate, asked at each look.
    """

    #: What the CA that issued a certificate says about it; None if it says nothing, or is not ours any more.
    advice: Callable[[Facts], Suggestion | None]
    random: Random

    def plan(self, facts: Facts, now: datetime) -> Plan:
        """
        The plan, at *now*, for the certificate with these *facts*.
        """
        # Of an expired certificate the CA must not be asked (RFC 9773, section 4.3).
        suggestion = self.advice(facts) if now < facts.not_after else None
        window = suggestion.window if suggestion else None
        due = due_moment(facts.life, window)
        look = next_look(facts.life, due, now, self.random)
        if suggestion:
            look = min(look, max(suggestion.ask_again, now))
        is_open = window is not None and window.contains(now)
        return Plan(due=now >= due, next_look=look, advised=window is not None, window_open=is_open)
