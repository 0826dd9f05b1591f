"""
Which desk is asked, and when the next one is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import TypeVar

from certworker.desks.desk import Desk
from certworker.errors import CertworkerError, Retry
from certworker.renewal import Life, next_attempt, shortened

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

#: For a limit of a CA that ends sooner, nobody changes the CA.
WORTH_WAITING = timedelta(hours=1)


def first_that_can(
    desks: Sequence[Desk],
    names: tuple[str, ...],
    ask: Callable[[Desk], Answer],
    now: datetime,
    life: Life | None = None,
) -> tuple[Answer, Desk]:
    """
    What the first of *desks* says that can be asked for *names*, and which one it is.

    A desk that has an order for them under way comes first. After an outage or a refusal by policy the next
    one is asked; a validation that failed would fail there, too.

    Args:
        life: Of the certificate in service; None without one. Its end makes patience shorter.

    Raises:
        CertworkerError: Nobody could. Of several reasons the one that passes first.
    """
    reasons: list[CertworkerError] = []
    patience = shortened(WORTH_WAITING, life, now, least=timedelta(0))
    for desk in _in_turn(desks, names):
        try:
            return ask(desk), desk
        except CertworkerError as failure:
            reasons.append(failure)
            if not _is_its_own(failure, now + patience, first=len(reasons) == 1):
                break
            if len(reasons) < len(desks):
                logger.warning(
                    "[%s] %s The next CA is asked.",
                    failure.code,
                    failure.message,
                    extra={"domain": names[0], "code": failure.code},
                )
    raise min(reasons, key=lambda failure: _passes(failure, now))


def _in_turn(desks: Sequence[Desk], names: tuple[str, ...]) -> Sequence[Desk]:
    # A single one, which most have, is first anyway: whether it has an order it sees for itself.
    return desks if len(desks) == 1 else sorted(desks, key=lambda desk: desk.under_way.find(names) is None)


def _is_its_own(failure: CertworkerError, latest: datetime, *, first: bool) -> bool:
    """
    Whether *failure* has to do with this CA, and not with the names.
    """
    if failure.retry is Retry.UNTIL:
        return failure.elsewhere and failure.until is not None and failure.until > latest
    # Of the CA that is preferred an operator has to hear what is wrong; the others are there for need.
    return failure.elsewhere or (failure.retry is Retry.CONFIG and not first)


def _passes(failure: CertworkerError, now: datetime) -> datetime:
    return next_attempt(failure, 1, now, Random(0))
