"""
Each alert for Prometheus fires and ends, with the metrics of a simulated worker (`promtool test rules`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from certworker.observability.metrics.gauges import IssuerBudget
from certworker.observability.metrics.names import Counted
from certworker.observability.metrics.registry import Metrics
from certworker.renewal.domain_status import STATES
from certworker.supervision import Heartbeat, Heartbeats
from tests.contrib.monitoring import ALERTS, alerts
from tests.observability.metrics.scrapes import samples
from tests.servers.prometheus import promtool

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
START = datetime(2026, 11, 23, tzinfo=UTC)
LIFETIMES = {"90 days": 90 * DAY, "45 days": 45 * DAY, "160 hours": timedelta(hours=160)}

#: The number of scrapes in a lifetime.
STEPS = 250

INSTANCE = "certworker:8081"


@dataclass(frozen=True)
class State:
    """
    The state of a worker during a scrape.
    """

    names: tuple[Counted, ...] = (Counted("valid", 0.9),)
    running: bool = True
    redis: bool = True
    #: How long the loop of the jobs has been silent, in seconds. It is stalled after 60 seconds.
    silence: float = 1
    lag: float = 0
    head_age: float = 0
    orders_left: int = 300
    refusals: int = 0
    unserved: float = 0
    notifications: int = 0


HEALTHY = State()

#: The state of a worker in which each alert fires, at a number of minutes after the start of the fault.
FAULTS: dict[str, Callable[[int], State]] = {
    "CertworkerMissing": lambda _: State(running=False),
    "CertworkerRedisAway": lambda _: State(redis=False),
    "CertworkerLoopStalled": lambda minute: State(silence=60 * minute + 61),
    "CertworkerSchedulerSilent": lambda minute: State(lag=60 * minute),
    "CertworkerCertificateMissing": lambda _: State((Counted("failed", None),)),
    "CertworkerCertificateExpired": lambda _: State((Counted("expired", -0.01),)),
    "CertworkerRenewalCritical": lambda _: State((Counted("due", 0.09),)),
    "CertworkerRenewalOverdue": lambda _: State((Counted("due", 0.19),)),
    "CertworkerNamePaused": lambda _: State((Counted("paused", 0.9),)),
    "CertworkerBudgetLow": lambda _: State(orders_left=29),
    "CertworkerRateLimited": lambda minute: State(refusals=minute + 1),
    "CertworkerQueueStuck": lambda minute: State(head_age=60 * minute),
    "CertworkerPublicationNotServed": lambda minute: State(unserved=60 * minute),
    "CertworkerNotificationsUndelivered": lambda _: State(notifications=1),
}

#: After how many minutes an alert fires, and after how many it ends. The default is 0 minutes.
FIRES_AFTER = {
    "CertworkerMissing": 10,
    "CertworkerRedisAway": 10,
    "CertworkerLoopStalled": 5,
    "CertworkerSchedulerSilent": 16,
    "CertworkerCertificateMissing": 15,
    "CertworkerRenewalOverdue": 60,
    "CertworkerQueueStuck": 11,
    "CertworkerPublicationNotServed": 11,
    "CertworkerNotificationsUndelivered": 30,
}
ENDS_AFTER = {"CertworkerRateLimited": 16}

#: The length of each phase: healthy, faulty, healthy again.
HEALTHY_MINUTES, FAULTY_MINUTES = 30, 90


@cache
def scrape(state: State) -> dict[str, float]:
    """
    Return the samples that Prometheus stores for a worker in *state*.
    """
    if not state.running:
        return {}
    metrics, heartbeats, now = Metrics(), Heartbeats(), [0.0]
    jobs, scheduler = (Heartbeat(name, 30, clock=lambda: now[0]) for name in ("jobs", "scheduler"))
    heartbeats.add(jobs, scheduler)
    jobs.beat()
    now[0] = state.silence
    scheduler.beat()
    metrics.watch_loops(heartbeats)
    metrics.expect_requests("letsencrypt")
    for _ in range(state.refusals):
        metrics.acme_request("letsencrypt", "order", 429, 0.1)
    metrics.watch_publications(lambda: state.unserved)
    if state.redis:
        metrics.watch_names(lambda: state.names, STATES, issuers=["letsencrypt"])
        metrics.watch_queue(jobs=lambda: 0, head_age=lambda: state.head_age, scheduler_lag=lambda: state.lag)
        limits = {"orders": (state.orders_left, 300)}
        metrics.watch_budgets(lambda: [IssuerBudget("letsencrypt", limits, 0)])
        metrics.watch_notifications(lambda: {"mail": state.notifications})
    return {
        _selector(name, dict(labels)): value
        for (name, labels), value in samples(metrics).items()
        if "duration" not in name
    }


def _selector(name: str, labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{label}="{value}"' for label, value in {**labels, "instance": INSTANCE}.items())
    return f"{name}{{{pairs}}}"


def series(states: list[State]) -> list[dict[str, str]]:
    """
    Return the input of promtool: the values of each series at each scrape.
    """
    scrapes = [scrape(state) for state in states]
    names = {name for each in scrapes for name in each}
    return [
        {"series": name, "values": " ".join(_values([each.get(name) for each in scrapes]))}
        for name in sorted(names)
    ]


def _values(samples: list[float | None]) -> Iterator[str]:
    # Prometheus marks the end of a series that a scrape no longer has.
    for before, now in pairwise([None, *samples]):
        missing = "_" if before is None else "stale"
        yield missing if now is None else str(now)


def firing(alert: str, minutes: int, count: int) -> dict[str, Any]:
    """
    Return the expectation that *count* alerts of this name fire after *minutes*.
    """
    return {
        "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)',
        "eval_time": f"{minutes}m",
        "exp_samples": [{"labels": "{}", "value": count}],
    }


def check(place: Path, interval: timedelta, states: list[State], expected: list[dict[str, Any]]) -> None:
    """
    Run promtool with these *states*, one for each *interval*.
    """
    file = place / "test.yml"
    step = f"{interval // MINUTE}m"
    test = {"interval": step, "input_series": series(states), "promql_expr_test": expected}
    file.write_text(
        yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": step, "tests": [test]})
    )
    promtool("test", "rules", file)


class TestFaults:
    def test_each_alert_has_a_fault(self) -> None:
        """
        There is a test for each alert.
        """
        assert list(FAULTS) == [rule["alert"] for rule in alerts()]

    @pytest.mark.parametrize("alert", FAULTS)
    def test_the_alert_fires_and_ends(self, alert: str, tmp_path: Path) -> None:
        """
        The alert fires in time after the start of the fault, not before, and ends after the fault.
        """
        fault = FAULTS[alert]
        states = [
            *(HEALTHY for _ in range(HEALTHY_MINUTES)),
            *(fault(minute) for minute in range(FAULTY_MINUTES)),
        ]
        refusals = states[-1].refusals
        states += [replace(HEALTHY, refusals=refusals) for _ in range(HEALTHY_MINUTES)]
        began, ended = HEALTHY_MINUTES, HEALTHY_MINUTES + FAULTY_MINUTES
        fires = began + FIRES_AFTER.get(alert, 0)
        expected = [
            *(firing(alert, minute, 0) for minute in (0, began - 1, fires - 1)),
            *(firing(alert, minute, 1) for minute in (fires, ended - 1)),
            firing(alert, ended + ENDS_AFTER.get(alert, 0), 0),
        ]
        check(tmp_path, MINUTE, states, expected)


class TestLifetimes:
    @pytest.mark.parametrize("lifetime", LIFETIMES.values(), ids=list(LIFETIMES))
    def test_the_alerts_follow_the_share_of_the_lifetime(self, lifetime: timedelta, tmp_path: Path) -> None:
        """
        A certificate that is not renewed causes alerts at a fifth, at a tenth and at its expiry. The same
        shares apply to each lifetime. The renewal ends all of them.
        """
        interval = max(MINUTE, lifetime // STEPS // MINUTE * MINUTE)
        end = START + lifetime
        renewed = end + lifetime / 20

        def state(now: datetime) -> State:
            if now >= renewed:
                return State((Counted("valid", 1 - (now - renewed) / lifetime, renewed + lifetime),))
            left = (end - now) / lifetime
            name = "valid" if left > 1 / 3 else "failed"
            return State((Counted(name, left, end, code="http.404"),))

        moments = [START + interval * step for step in range(int(lifetime * 1.1 / interval))]

        def expect(alert: str, share: float, count: int) -> dict[str, Any]:
            # The first scrape at which less than the share is left, and one that the longest `for` needs.
            step = next(n for n, moment in enumerate(moments) if (end - moment) / lifetime <= share)
            wait = 0 if count == 0 else timedelta(hours=1) // interval + 1
            return firing(alert, (step + wait) * interval // MINUTE, count)

        order = ("CertworkerRenewalOverdue", "CertworkerRenewalCritical", "CertworkerCertificateExpired")
        expected = []
        for alert, share in zip(order, (0.2, 0.1, 0.0), strict=True):
            expected += [expect(alert, share + 0.01, 0), expect(alert, share, 1), expect(alert, -0.03, 1)]
            expected.append(expect(alert, -0.06, 0))
        expected += [
            expect("CertworkerCertificateMissing", 0.01, 0),
            expect("CertworkerCertificateMissing", -0.02, 1),
            expect("CertworkerCertificateMissing", -0.06, 0),
        ]
        check(tmp_path, interval, [state(moment) for moment in moments], expected)
