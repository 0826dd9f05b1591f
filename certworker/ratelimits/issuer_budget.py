"""
What a CA still allows: its limits, those of the operator's file, and what the volume knows of the past.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from redis import Redis

from certworker.ratelimits.budget import Budget
from certworker.ratelimits.limits import limits_of
from certworker.settings import CaChoice, Settings
from certworker.storage.certificate_store import CertificateStore


def budget_for(
    settings: Settings,
    choice: CaChoice,
    connection: Redis,
    volume: CertificateStore,
    clock: Callable[[], datetime] | None = None,
) -> Budget:
    """
    What may still be ordered from the CA *choice*.

    Args:
        clock: Whose time counts; None: that of Redis, which is the same for all workers.

    Raises:
        InvalidSettings: The file of CERTWORKER_LIMITS_FILE is not understood.
    """
    return Budget(
        connection,
        choice,
        limits_of(choice.label, settings.limits_file),
        issued=partial(volume.issued, choice.label),
        clock=clock,
    )
