"""
When a certificate is renewed, and when it is looked at next: the CA's advice and our own arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random

from certworker.acme.renewal_info import RenewalSuggestion
from certworker.renewal.timing import next_check, renewal_time
from certworker.storage.metadata import CertificateMetadata


@dataclass(frozen=True)
class RenewalDecision:
    """
    What to do about a certificate.
    """

    due: bool
    next_check: datetime
    #: Whether the CA named the window in which it is renewed.
    ca_requested: bool
    #: Whether that window is open. Only then Let's Encrypt exempts an order that replaces the certificate.
    window_open: bool = False


@dataclass(frozen=True)
class RenewalPolicy:
    """
    Plans by what the CA suggests for a certificate, asked at each look.
    """

    #: What the CA that issued a certificate says about it; None if it says nothing, or is not ours any more.
    suggestion: Callable[[CertificateMetadata], RenewalSuggestion | None]
    random: Random

    def decide(self, facts: CertificateMetadata, now: datetime) -> RenewalDecision:
        """
        The plan, at *now*, for the certificate with these *facts*.
        """
        # Of an expired certificate the CA must not be asked (RFC 9773, section 4.3).
        suggestion = self.suggestion(facts) if now < facts.not_after else None
        window = suggestion.window if suggestion else None
        due = renewal_time(facts.validity, window)
        look = next_check(facts.validity, due, now, self.random)
        if suggestion:
            look = min(look, max(suggestion.retry_after, now))
        is_open = window is not None and window.contains(now)
        return RenewalDecision(
            due=now >= due, next_check=look, ca_requested=window is not None, window_open=is_open
        )
