"""
The appearance of states: a tone, which has a color and a shape, and words.

The tone of a certificate depends on the remaining share of its validity period. A number of days would be
wrong for certificates that are valid for 160 hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from certworker.renewal.domain_status import FAILURES, STATES, DomainStatus
from certworker.renewal.expiry_alerts import CRITICAL_SHARE, OVERDUE_SHARE

Tone = Literal["good", "info", "warn", "bad", "idle"]

#: The words and the tone of each state except `failed`, and of the details of `failed`.
LOOKS: Mapping[str, tuple[str, Tone]] = {
    "no_certificate": ("no certificate", "bad"),
    "expired": ("expired", "bad"),
    "failing": ("failing", "warn"),
    "paused": ("paused", "warn"),
    "moved": ("moved", "warn"),
    "waiting": ("waiting", "info"),
    "issuing": ("issuing", "info"),
    "due": ("renewal due", "info"),
    "missing": ("not issued", "idle"),
    "covered": ("covered", "good"),
    "imported": ("imported", "good"),
    "valid": ("valid", "good"),
}

#: A budget with less than this share left has the tone of a warning.
SCARCE_SHARE = 1 / 10


@dataclass(frozen=True)
class Appearance:
    """
    How a state is shown.

    Attributes:
        state: The state, as a value of the filter of the names.
        label: The state in words.
        tone: Its color and its shape.
    """

    state: str
    label: str
    tone: Tone


def appearance_of(state: str) -> Appearance:
    """
    Return the appearance of *state*, regardless of the certificate.
    """
    label, tone = LOOKS.get(state, (state.replace("_", " "), "idle"))
    return Appearance(state, label, tone)


def appearance(status: DomainStatus, now: datetime) -> Appearance:
    """
    Return the appearance of a name. Its tone also depends on the remaining share of the validity period.
    """
    shown = appearance_of(status.detail)
    left = status.share_left(now)
    if left is None or left >= OVERDUE_SHARE or shown.tone == "bad":
        return shown
    return Appearance(shown.state, shown.label, "bad" if left < CRITICAL_SHARE else "warn")


def appearances() -> tuple[Appearance, ...]:
    """
    Return the appearance of each state, in order of urgency.
    """
    known = [state for state in (*STATES, *FAILURES) if state != "failed"]
    order = list(LOOKS)
    known.sort(key=lambda state: order.index(state) if state in order else len(order))
    return tuple(map(appearance_of, known))


def tone_of_budget(left: int, of: int) -> Tone:
    """
    Return the tone of a limit of a CA: *left* of *of* orders or certificates are left.
    """
    if left <= 0:
        return "bad"
    return "warn" if left < of * SCARCE_SHARE else "good"
