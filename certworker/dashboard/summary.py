"""
The overview: the number of names by state, problems, the next renewals, the queue, the jobs and the proxy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from certworker.dashboard.names import NameIndex, NameQuery
from certworker.dashboard.sources import Sources
from certworker.dashboard.workers import RunningJob, running_jobs
from certworker.errors import CertworkerError
from certworker.renewal.domain_status import URGENT, DomainStatus
from certworker.state.priority_queues import PriorityQueues
from certworker.traefik.config import TraefikConfig
from certworker.worker.health import reports
from certworker.worker.queue_stats import queue_stats

#: The maximum number of problems and of renewals in the overview.
MOST_PROBLEMS = 20
MOST_RENEWALS = 10


@dataclass(frozen=True)
class Queue:
    """
    The waiting requests, and the workers that process them.
    """

    #: The number of jobs on the queue.
    waiting: int
    #: The number of requests that are waiting in the priority queues for a free slot.
    deferred: int
    #: The number of registered workers.
    workers: int
    #: Whether a scheduler is running, which moves delayed jobs, such as checks of due names, to the queue.
    scheduler: bool
    #: Whether all workers are suspended.
    suspended: bool


@dataclass(frozen=True)
class Proxy:
    """
    The files of Traefik, and its load during the last day as the running workers measure it.
    """

    #: The directory of the files of Traefik.
    directory: str
    #: The number of certificates in the files of Traefik.
    files: int
    #: A warning about too many certificates, with figures and a remedy; null if Traefik has fewer.
    warning: str | None
    #: The number of changes to the files, each of which makes Traefik reload; null if no worker reports.
    reloads: int | None
    #: The number of new certificates whose time from publication to service was measured.
    measured: int
    #: The mean of the measured times; null if none was measured.
    mean_seconds: float | None
    #: The longest of the measured times; null if none was measured.
    slowest_seconds: float | None


@dataclass(frozen=True)
class Summary:
    """
    The overview. A tenant sees only its own names: for a tenant, the fields from `queue` on are None.
    """

    total: int
    #: The number of names by state, and of failures by detail.
    counts: Mapping[str, int]
    #: At most :data:`MOST_PROBLEMS` names that a user has to fix, the most urgent first.
    problems: tuple[DomainStatus, ...]
    next_renewals: tuple[DomainStatus, ...]
    queue: Queue | None
    running: tuple[RunningJob, ...] | None
    #: None also if the files of Traefik cannot be read.
    proxy: Proxy | None


def summary(sources: Sources, index: NameIndex, tenant: str | None = None) -> Summary:
    """
    Return the overview of all names, or of those of *tenant*.

    Raises:
        NotReady, CertworkerError, redis.RedisError: As for :meth:`NameIndex.page`.
    """
    page = index.page(NameQuery(tenant=tenant, limit=MOST_PROBLEMS))
    whole = tenant is None
    return Summary(
        total=page.total,
        counts=index.counts(tenant),
        problems=tuple(one for one in page.names if one.detail in URGENT),
        next_renewals=index.next_renewals(MOST_RENEWALS, tenant),
        queue=_queue(sources) if whole else None,
        running=tuple(running_jobs(sources.connection)) if whole else None,
        proxy=_proxy(sources) if whole else None,
    )


def _queue(sources: Sources) -> Queue:
    stats = queue_stats(sources.connection)
    deferred = len(PriorityQueues(sources.connection))
    return Queue(stats.waiting, deferred, stats.workers, stats.scheduler, stats.suspended)


def _proxy(sources: Sources) -> Proxy | None:
    directory = sources.settings.config_dir
    try:
        traefik = TraefikConfig(directory)
        files, many = traefik.size().certificates, traefik.many_certificates()
    except CertworkerError:
        return None
    loads = [report.proxy for report in reports(sources.connection)]
    measured = sum(load.served for load in loads)
    return Proxy(
        directory=str(directory),
        files=files,
        warning=f"{many.message} {many.remedy}" if many else None,
        reloads=sum(load.reloads for load in loads) if loads else None,
        measured=measured,
        mean_seconds=sum(load.served * load.seconds for load in loads) / measured if measured else None,
        slowest_seconds=max(load.slowest for load in loads) if measured else None,
    )
