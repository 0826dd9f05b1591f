"""
The loops of one node: they follow the stream, compare its names with those of other nodes, and report its
state.

A worker also answers the comparisons of other nodes, and shares its accounts at the CAs.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event

from redis import Redis
from redis.exceptions import RedisError

from certworker.errors import CertworkerError
from certworker.redis.failures import explainer
from certworker.replication.accounts import Accounts
from certworker.replication.answers import Answers
from certworker.replication.comparison import Comparison
from certworker.replication.follower import Follower, Volume
from certworker.replication.nodes import REPORT_EVERY_SECONDS, Node, Nodes, Role, node_id
from certworker.replication.publisher import Publisher
from certworker.replication.sealing import ReplicationKeys
from certworker.replication.stream import BundleStream, order_of
from certworker.storage.certificate_store import CertificateStore
from certworker.supervision import Faults, Loop, beat, optional, stop_all
from certworker.traefik.config import TraefikConfig
from certworker.version import __version__

logger = logging.getLogger(__name__)

#: The interval of comparisons, which find the certificates and removals of lost entries.
COMPARE_EVERY_SECONDS = timedelta(hours=1).total_seconds()
#: The pause while no other node answers: for a node that is not complete, and for a complete one.
FIRST_RETRY_SECONDS = 2.0
RETRY_SECONDS = 60.0

#: How long a worker with a new volume waits for the report of another worker. After a loss of Redis, all
#: hosts report again within :data:`REPORT_EVERY_SECONDS`.
REPORTS_SECONDS = 15.0
REPORTS_PAUSE_SECONDS = 0.1

#: The maximum time that a job waits until this host has the certificates of the others.
WAIT_SECONDS = 5.0
WAIT_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Host:
    """
    The parts of a host that its node uses.
    """

    connection: Redis
    store: CertificateStore
    traefik: TraefikConfig
    #: Counts the outcome of a bundle.
    observe: Callable[[str], object]
    #: Called with the names of each new certificate of another host that is now in service.
    published: Callable[[tuple[str, ...]], object]
    #: Called with each name that another host has removed, after it is no longer in service.
    removed: Callable[[str], object]


class Membership:
    """
    The part of this host in the replication.

    Args:
        keys: The keys of the operator.
        accounts_dir: The directory of the accounts at the CAs; None for a mirror.
        clock: Returns monotonic seconds.

    Attributes:
        loops: The loops and their heartbeats.
    """

    def __init__(
        self,
        host: Host,
        keys: ReplicationKeys,
        accounts_dir: Path | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._clock = clock
        self._role: Role = "worker" if accounts_dir else "mirror"
        self._explain = explain = explainer(host.connection)
        self._stream = BundleStream(host.connection)
        self._accounts = Accounts(accounts_dir, keys) if accounts_dir else None
        receive = self._accounts.receive if self._accounts else None
        self.volume = Volume(
            host.store,
            host.traefik,
            keys,
            host.observe,
            host.published,
            host.removed,
            receive_account=receive,
        )
        self.follower = Follower(
            self._stream, self.volume, self._compare_soon, Faults("the replication", explain)
        )
        self._id = node_id(host.store.directory)
        self._nodes = Nodes(host.connection)
        self._is_complete = False
        self._is_new = _is_empty(host.store) and not self.follower.has_followed
        #: Since when this worker has found no other complete worker, in monotonic seconds.
        self._alone_since: float | None = None
        self._comparing = Loop("comparison", self._compare, faults=Faults("the comparison", explain))
        self._reporting = Loop("node", self._report, faults=Faults("the report of this node", explain))
        self.follower.on_progress = self._reporting.wake
        self.loops = [self.follower.loop, self._comparing, self._reporting]
        self._answers: Answers | None = None
        if self._accounts:
            self._answers = Answers(
                host.connection,
                host.store,
                Publisher(self._stream, keys, explain),
                self._id,
                is_complete=lambda: self._is_complete,
                accounts=self._accounts.entries,
                reject=self.volume.reject,
            )
            self.loops.append(self._answers.loop)

    def start(self) -> None:
        """
        Start the loops. A worker begins to read the portions before its first report, so that it misses none.
        """
        if self._answers:
            optional("the start of the comparisons", self._answers.step, 0.0, self._explain)
        for loop in self.loops:
            loop.start()

    def stop(self) -> None:
        """
        Stop the loops, and report that this node no longer answers.
        """
        stop_all(self.loops)
        self._is_complete = False
        with suppress(RedisError, CertworkerError):  # the report becomes old
            self._nodes.report(self._node())

    def catch_up(self, stop: Event) -> None:
        """
        Put newer certificates of other hosts into service before the first job.

        A failure is logged, even one of Redis: the loops try the comparison again.
        """

        def compare() -> bool:
            if self._is_new:
                self._wait_for_reports(stop)
            return self._comparison(stop).run() or self._is_first()

        self._is_complete = optional("the first comparison with another host", compare, False, self._explain)

    def wait_until_current(self) -> None:
        """
        Wait until this host has applied the current entries of the stream, but at most :data:`WAIT_SECONDS`.

        A job that has locked a name calls this method: another host may have a new certificate for the name.

        Raises:
            redis.RedisError: Redis failed.
        """
        end, until = order_of(self._stream.end()), time.monotonic() + WAIT_SECONDS
        while order_of(self.follower.position) < end and time.monotonic() < until:
            self.follower.hurry()
            beat()
            time.sleep(WAIT_PAUSE_SECONDS)

    def lag_seconds(self) -> float:
        """
        Return the age in seconds of the oldest entry of the stream that this host has not applied; 0: none.

        Raises:
            redis.RedisError: Redis failed.
        """
        return self._nodes.lag_seconds(self.follower.position)

    def missing_names(self) -> int:
        """
        Return how many fewer names this host has than the worker with the most names.

        Raises:
            redis.RedisError: Redis failed.
        """
        return self._nodes.missing(self._host.store.links.count())

    def _compare_soon(self) -> None:
        self._is_complete = False
        self._reporting.wake()
        self._comparing.wake()

    def _wait_for_reports(self, stop: Event) -> None:
        if not (self._nodes.others(self._id) or self._is_first()):
            text = (
                "waiting up to %.0f s for the report of a worker on another host, because this volume is new"
            )
            logger.info(text, REPORTS_SECONDS)
        while not (stop.is_set() or self._nodes.others(self._id) or self._is_first()):
            beat()
            stop.wait(REPORTS_PAUSE_SECONDS)

    def _is_first(self) -> bool:
        """
        Return whether this worker has all names that exist, because no other worker is complete.
        """
        if self._role != "worker" or self._nodes.others(self._id):
            self._alone_since = None
            return False
        if self._alone_since is None:
            self._alone_since = self._clock()
        return not self._is_new or self._clock() - self._alone_since >= REPORTS_SECONDS

    def _comparison(self, stopping: Event) -> Comparison:
        return Comparison(
            self._host.connection,
            self.volume,
            self._id,
            self._role == "worker",
            stopping,
            is_answered=lambda: bool(self._nodes.others(self._id)),
        )

    def _compare(self) -> float:
        was_complete, has_compared = self._is_complete, self._comparison(self._comparing.stopping).run()
        if has_compared or (not was_complete and self._is_first()):
            self._is_complete = True
        if has_compared or self._is_complete != was_complete:
            # The report contains the number of names, which the comparison may have changed.
            self._reporting.wake()
        if has_compared:
            return COMPARE_EVERY_SECONDS
        return RETRY_SECONDS if was_complete else FIRST_RETRY_SECONDS

    def _report(self) -> float:
        if self._accounts:
            for entry in self._accounts.changed_entries():
                self._stream.add(entry)
        self._nodes.report(self._node())
        return REPORT_EVERY_SECONDS

    def _node(self) -> Node:
        return Node(
            id=self._id,
            host=socket.gethostname(),
            role=self._role,
            version=__version__,
            seen=self._nodes.now(),
            names=self._host.store.links.count(),
            position=self.follower.position,
            is_complete=self._is_complete,
            code=min([*self.volume.logged, *self.volume.skipped.values()], default=""),
        )


def _is_empty(store: CertificateStore) -> bool:
    return not store.links.count() and next(store.links.removed.all(), None) is None
