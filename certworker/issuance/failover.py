"""
The order in which the issuers are asked, and the failures after which the next one is.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random

from certworker.errors import CertworkerError, Retry
from certworker.issuance.issuer import Issuer
from certworker.renewal.policy import next_attempt, shortened
from certworker.validity import Validity

logger = logging.getLogger(__name__)

#: For a limit of a CA that ends sooner, nobody changes the CA.
PREFERRED_WAIT = timedelta(hours=1)


class Failover:
    """
    One pass over the issuers for one request: which is asked first, and whether the next one is asked.

    An issuer that has a pending order for *names* comes first. After an outage or a refusal by policy the
    next one is asked. A failed validation ends the pass: it would fail at the next CA, too.

    Args:
        validity: Of the certificate in service; None without one. The less is left, the shorter the wait
            for a limit of the preferred CA.
    """

    def __init__(
        self, issuers: Sequence[Issuer], names: tuple[str, ...], now: datetime, validity: Validity | None
    ) -> None:
        self._left = deque(_in_turn(issuers, names))
        self._names = names
        self._now = now
        self._latest = now + shortened(PREFERRED_WAIT, validity, now, least=timedelta(0))
        self._failures: list[CertworkerError] = []

    def __iter__(self) -> Iterator[Issuer]:
        while self._left:
            yield self._left.popleft()

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """
        Log a failure of the block and continue if the next issuer may succeed.

        Raises:
            CertworkerError: No issuer is left that may succeed; the failure that passes first.
        """
        try:
            yield
        except CertworkerError as failure:
            self._failures.append(failure)
            first = len(self._failures) == 1
            if not self._left or not _is_its_own(failure, self._latest, first=first):
                raise min(self._failures, key=lambda each: _passes(each, self._now)) from None
            logger.warning(
                "[%s] %s Trying the next CA.",
                failure.code,
                failure.message,
                extra={"domain": self._names[0], "code": failure.code},
            )


def _in_turn(issuers: Sequence[Issuer], names: tuple[str, ...]) -> Sequence[Issuer]:
    # A single one, which most have, is first anyway: whether it has an order it sees for itself.
    return (
        issuers
        if len(issuers) == 1
        else sorted(issuers, key=lambda issuer: issuer.pending_orders.find(names) is None)
    )


def _is_its_own(failure: CertworkerError, latest: datetime, *, first: bool) -> bool:
    """
    Whether *failure* has to do with this CA, and not with the names.
    """
    if failure.retry is Retry.UNTIL:
        return failure.other_ca_may_issue and failure.until is not None and failure.until > latest
    # Of the CA that is preferred an operator has to hear what is wrong; the others are there for need.
    return failure.other_ca_may_issue or (failure.retry is Retry.CONFIG and not first)


def _passes(failure: CertworkerError, now: datetime) -> datetime:
    return next_attempt(failure, 1, now, Random(0))
