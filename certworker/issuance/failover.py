"""
The order in which the issuers are tried, and the failures after which the next one is tried.
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

#: If a limit of a CA resets within this time, the request waits for the reset instead of trying another CA.
PREFERRED_WAIT = timedelta(hours=1)


class Failover:
    """
    One pass over the issuers for one request.

    An issuer with a pending order for *names* comes first. The next one is tried after an outage, a long
    limit or a refusal by policy. A failed validation ends the pass, because it would fail at other CAs, too.

    Args:
        validity: The validity of the certificate in service; None: there is none. The closer its expiry,
            the shorter the wait for a limit.
    """

    def __init__(
        self, issuers: Sequence[Issuer], names: tuple[str, ...], now: datetime, validity: Validity | None
    ) -> None:
        self._remaining = deque(_in_order(issuers, names))
        self._names = names
        self._now = now
        self._latest = now + shortened(PREFERRED_WAIT, validity, now, least=timedelta(0))
        self._failures: list[CertworkerError] = []

    def __iter__(self) -> Iterator[Issuer]:
        while self._remaining:
            yield self._remaining.popleft()

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """
        If the next issuer may succeed, log the failure of the block, so that the pass continues.

        Raises:
            CertworkerError: No other issuer may succeed. This is the failure with the earliest next attempt
                among all failures of the pass.
        """
        try:
            yield
        except CertworkerError as failure:
            self._failures.append(failure)
            first = len(self._failures) == 1
            if not self._remaining or not _concerns_only_this_ca(failure, self._latest, first=first):
                raise min(self._failures, key=lambda failure: _ends_at(failure, self._now)) from None
            logger.warning(
                "trying the next CA: [%s] %s",
                failure.code,
                failure.message,
                extra={"domain": self._names[0], "code": failure.code},
            )


def _in_order(issuers: Sequence[Issuer], names: tuple[str, ...]) -> Sequence[Issuer]:
    # A single issuer needs no sorting, so no command is sent to Redis.
    return (
        issuers
        if len(issuers) == 1
        else sorted(issuers, key=lambda issuer: issuer.pending_orders.find(names) is None)
    )


def _concerns_only_this_ca(failure: CertworkerError, latest: datetime, *, first: bool) -> bool:
    """
    Return whether *failure* concerns this CA and not the names, so that another CA may issue.

    Args:
        latest: If a limit resets before this time, the request waits for the reset.
        first: Whether the CA is the first one of the pass.
    """
    if failure.retry is Retry.UNTIL:
        return failure.other_ca_may_issue and failure.until is not None and failure.until > latest
    # Invalid settings of the first CA are reported. Invalid settings of another CA only exclude that CA.
    return failure.other_ca_may_issue or (failure.retry is Retry.CONFIG and not first)


def _ends_at(failure: CertworkerError, now: datetime) -> datetime:
    return next_attempt(failure, 1, now, Random(0))


@contextmanager
def explained_by(findings: Sequence[CertworkerError]) -> Iterator[None]:
    """
    Add one of the preflight *findings* to a failure that the CA reports within the block.
    """
    try:
        yield
    except CertworkerError as failure:
        if failure.problem:
            failure.add_finding(findings)
        raise
