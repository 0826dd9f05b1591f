"""
The cost of the agenda of a large host, and of the locks and limits of one job.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median

from redis import Redis

from bench.certificates import stored
from bench.figures import Figure, progress
from bench.worlds import redis_server
from certworker.ratelimits.budget import BUDGET, Budget
from certworker.ratelimits.limits import LETS_ENCRYPT
from certworker.renewal.agenda import AGENDA, Agenda
from certworker.renewal.due import DueNames
from certworker.renewal.policy import RenewalPolicy
from certworker.settings import CaChoice
from certworker.settings.limits import Limit, Limits
from certworker.state.domain_records import DomainRecords
from certworker.state.locks import DomainLocks
from certworker.state.priority_queues import PriorityQueues
from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.config import TraefikConfig

TITLE = "the ledger"
NOTE = (
    "the ledger: the agenda with 100,000 names over 60 days, of which 1,000 are due. The size is linear in "
    "the number of names. Locks and budget are the cost for a job: it locks and releases its names, and "
    "reserves and settles an order, each in one round trip to Redis. Median of 500 jobs, each for another "
    "name. A check without a renewal reads the files of 1,000 names without renewal information, and "
    "writes the next times."
)

NAMES = 100_000
DUE = 1_000
ROUNDS = 500
WARM_UP = 20
LOOKS = 9

#: Let's Encrypt's buckets, with room for all rounds.
ROOMY = Limits(
    orders_per_account=Limit(1_000_000, timedelta(hours=3)),
    certificates_per_domain=Limit(1_000_000, timedelta(days=7)),
    certificates_per_set=LETS_ENCRYPT.certificates_per_set,
    failures_per_name=LETS_ENCRYPT.failures_per_name,
    failures_until_pause=LETS_ENCRYPT.failures_until_pause,
)


def measure(place: Path) -> list[Figure]:
    """
    Return the figures in bytes and milliseconds.
    """
    with redis_server(place / "redis") as redis, redis.client() as connection:
        agenda, bytes_a_name = _agenda(connection)
        due = _milliseconds(lambda _: agenda.due(datetime.now(UTC), DUE), rounds=50)
        locked = _milliseconds(_guarded(connection, CertificateStore(place / "certificates")))
        checked = _check(connection, place)
        remembered = connection.memory_usage(BUDGET + "letsencrypt", samples=0) or 0
    return [
        Figure(TITLE, f"a name on the agenda, of {NAMES:,}", bytes_a_name, "B", 200),
        Figure(TITLE, f"{DUE:,} names that are due", due, "ms", 50),
        Figure(TITLE, "a due name found, checked and not renewed, processor time", checked, "ms", 1),
        Figure(TITLE, "locks and budget of a job", locked, "ms", 3),
        Figure(TITLE, "the data of the budget for a job", remembered / (ROUNDS + WARM_UP), "B"),
    ]


def _agenda(connection: Redis) -> tuple[Agenda, float]:
    progress(f"{TITLE}: writing {NAMES} names")
    agenda, now, random = Agenda(connection), datetime.now(UTC), Random(3)
    moments = {
        f"shop{number:06}.example.org": now + random.random() * timedelta(days=60) for number in range(NAMES)
    }
    moments |= dict.fromkeys(random.sample(list(moments), DUE), now - timedelta(minutes=1))
    agenda.put_many(moments)
    return agenda, (connection.memory_usage(AGENDA, samples=0) or 0) / NAMES


def _check(connection: Redis, place: Path) -> float:
    """
    Return the milliseconds of processor time for each of 1,000 due names that need no renewal.
    """
    progress(f"{TITLE}: storing {DUE} certificates")
    random, agenda = Random(3), Agenda(connection)
    volume, traefik = CertificateStore(place / "certificates"), TraefikConfig(place / "config")
    names = [f"look{number:04}.example.org" for number in range(DUE)]
    for each in stored(volume, names, datetime.now(UTC)):
        traefik.publish(each)
    due_names = DueNames(
        volume,
        traefik,
        DomainRecords(connection),
        agenda,
        PriorityQueues(connection),
        RenewalPolicy(lambda _facts: None, random).decide,
        covered_until=lambda _names, _metadata: None,
        moved=lambda _names: frozenset(),
        check_request=lambda _names: None,
        clock=lambda: datetime.now(UTC),
        random=random,
    )
    connection.delete(AGENDA)
    took = []
    for _ in range(LOOKS):
        agenda.put_many(dict.fromkeys(names, datetime.now(UTC)))
        began = time.process_time()
        due_names.enqueue()
        took.append(time.process_time() - began)
    return 1000 * median(took) / DUE


def _guarded(connection: Redis, volume: CertificateStore) -> Callable[[int], None]:
    locks = DomainLocks(connection, highest_token=volume.links.highest_token)
    budget = Budget(connection, CaChoice.named("letsencrypt"), ROOMY, issued=list)

    def job(number: int) -> None:
        names = (f"shop{number:06}.example.org",)
        with ExitStack() as stack:
            stack.enter_context(locks.hold(names))
            spending = stack.enter_context(budget.reserve(names, exempt=False, renewal=False))
            spending.placed(replaces=False)
            spending.validated()

    return job


def _milliseconds(work: Callable[[int], object], rounds: int = ROUNDS) -> float:
    took = []
    for number in range(WARM_UP + rounds):
        began = time.perf_counter()
        work(number)
        took.append(time.perf_counter() - began)
    return 1000 * median(took[WARM_UP:])
