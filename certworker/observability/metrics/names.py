"""
The metrics of names: counts by state, condition and remaining lifetime, and the times of single certificates.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nsmallest
from operator import attrgetter
from typing import NamedTuple

from prometheus_client.core import GaugeHistogramMetricFamily, Metric

from certworker.observability.metrics import families
from certworker.observability.metrics.families import REMAINING_RATIO_BUCKETS
from certworker.observability.metrics.label_values import Issuers, code_of
from certworker.observability.metrics.reading import gauge
from certworker.renewal.expiry_alerts import OVERDUE_SHARE

CONDITIONS = ("ready", "failed", "overdue", "paused")


class Counted(NamedTuple):
    """
    The values of one name that the metrics count.
    """

    state: str
    #: The remaining share of the lifetime: 1 is new, 0 or less is expired. None: the name has no certificate,
    #: or has moved. For an imported certificate, the lifetime is at most its last 300 days.
    share_left: float | None
    #: When the certificate expires; None without a certificate, or for a moved name.
    not_after: datetime | None = None
    name: str = ""
    #: The label of the CA; empty without a certificate.
    issuer: str = ""
    #: The code of the last failure; empty without a failure.
    code: str = ""
    not_before: datetime | None = None
    #: When the certificate is due for renewal; None if it is not renewed.
    renewal: datetime | None = None

    @property
    def is_watched(self) -> bool:
        """
        Return whether the certificate has to be replaced before it expires; False for a moved name.
        """
        return self.state != "moved"

    @property
    def conditions(self) -> Iterator[str]:
        """
        Yield the conditions of :data:`CONDITIONS` that the name has.
        """
        if self.share_left is not None and self.share_left > 0:
            yield "ready"
        if self.is_watched and self.share_left is not None and self.share_left <= OVERDUE_SHARE:
            yield "overdue"
        if self.state in ("failed", "paused"):
            yield self.state


@dataclass
class _Counts:
    states: Tally[str]
    conditions: Tally[tuple[str, str, str]]
    failed: Tally[str] = field(default_factory=lambda: Tally(valid=0, none=0))
    shares: list[float] = field(default_factory=list)
    earliest: datetime | None = None

    def add(self, each: Counted, issuer: str) -> None:
        """
        Count *each*, whose certificate has this *issuer*.
        """
        self.states[each.state] += 1
        for condition in each.conditions:
            code = "" if condition == "ready" else code_of(each.code)
            self.conditions[condition, issuer, code] += 1
        if each.state == "failed":
            self.failed["valid" if each.share_left is not None and each.share_left > 0 else "none"] += 1
        if each.is_watched and each.share_left is not None:
            self.shares.append(each.share_left)
        if each.is_watched and each.not_after is not None:
            self.earliest = min(self.earliest or each.not_after, each.not_after)


class NameCounter:
    """
    Counts the names during a scrape.

    Args:
        certificates: Yields every name.
        states: All states of a name. A state without names is 0: an absent series raises no alert.
        issuers: The known issuers.
        per_name: The number of names with certificate times in the metrics: those that expire first.
    """

    def __init__(
        self,
        certificates: Callable[[], Iterable[Counted]],
        states: Sequence[str],
        issuers: Issuers,
        per_name: int,
    ) -> None:
        self._certificates = certificates
        self._states = states
        self._issuers = issuers
        self._per_name = per_name

    def __call__(self) -> list[Metric]:
        """
        Count the names, and return the metrics.
        """
        counts = _Counts(
            Tally(dict.fromkeys(self._states, 0)),
            Tally(dict.fromkeys(((each, i, "") for each in CONDITIONS for i in self._issuers.labels), 0)),
        )

        def counted() -> Iterator[Counted]:
            for each in self._certificates():
                counts.add(each, self._issuers.value_of(each.issuer))
                if each.not_after is not None:
                    yield each

        if not self._per_name:
            deque(counted(), maxlen=0)
            return list(_metrics_of(counts))
        first = nsmallest(self._per_name, counted(), key=attrgetter("not_after", "name"))
        return [*_metrics_of(counts), *self._times(first)]

    def _times(self, names: Sequence[Counted]) -> Iterator[Metric]:
        not_before, not_after, renewal = map(
            gauge, (families.NOT_BEFORE, families.NOT_AFTER, families.RENEWAL)
        )
        for each in names:
            labels = [each.name, self._issuers.value_of(each.issuer)]
            for metric, moment in (
                (not_before, each.not_before),
                (not_after, each.not_after),
                (renewal, each.renewal),
            ):
                if moment is not None:
                    metric.add_metric(labels, moment.timestamp())
        yield from (not_before, not_after, renewal)


def _metrics_of(counts: _Counts) -> Iterator[Metric]:
    by_state = gauge(families.CERTIFICATES)
    for state, count in sorted(counts.states.items()):
        by_state.add_metric([state], count)
    by_condition = gauge(families.NAMES)
    for labels, count in sorted(counts.conditions.items()):
        by_condition.add_metric(labels, count)
    by_certificate = gauge(families.FAILED)
    for certificate, count in counts.failed.items():
        by_certificate.add_metric([certificate], count)
    first_end = gauge(families.EARLIEST)
    if counts.earliest is not None:
        first_end.add_metric([], counts.earliest.timestamp())
    shares = counts.shares
    buckets = [(str(limit), sum(share <= limit for share in shares)) for limit in REMAINING_RATIO_BUCKETS]
    remaining = GaugeHistogramMetricFamily(
        families.REMAINING.name,
        families.REMAINING.meaning,
        buckets=[*buckets, ("+Inf", len(shares))],
        gsum_value=sum(shares),
    )
    yield from (by_state, by_condition, by_certificate, first_end, remaining)
