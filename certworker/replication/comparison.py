"""
The comparison of the names of a node with those of a worker on another host, which sends newer bundles.

The node sends its names in portions. Each name has a rank: its fencing token, and whether it is removed. A
worker answers a portion with at most about 1 MB of bundles, and with the name up to which the answer is
complete. So the answers take up little memory in Redis, even if the node lacks many names::

    node    certworker:comparisons      ranks of the names after A, up to Z
    worker  certworker:comparison:ID    bundles …, complete up to M
    node    certworker:comparisons      ranks of the names after M, up to Z
"""

from __future__ import annotations

import json
import logging
import secrets
from bisect import bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

from redis import Redis

from certworker.errors.replication import BundleTooLarge, ReplicationFailure
from certworker.replication.bundle import Fields, opened_entry, sealed_entry
from certworker.replication.follower import Volume
from certworker.replication.stream import BEGINNING, BundleStream
from certworker.storage import replica
from certworker.supervision import beat

logger = logging.getLogger(__name__)

COMPARISONS = "certworker:comparisons"
ANSWERS = "certworker:comparison:"

#: The maximum number of waiting portions of all nodes.
MOST_COMPARISONS = 100

#: The approximate maximum size of the names in a portion, in bytes.
PORTION_BYTES = 32 * 1024

#: The size of an answer in bytes above which it is rejected. It leaves space for the bundles of all accounts.
MOST_ANSWER_BYTES = 8 * 1024 * 1024

#: The approximate size of an entry in memory without its fields, in bytes.
_ENTRY_BYTES = 128

#: How long a node waits for an answer. A worker needs a few seconds to list 100,000 names.
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Portion:
    """
    The names of a node after one name, up to another name.
    """

    #: The id of the portion, which is also in the answer.
    id: str
    #: The id of the node.
    node: str
    #: Whether the node is a worker, which needs the accounts.
    is_worker: bool
    #: The portion begins after this name; empty: it begins with the first name.
    after: str
    #: The last name of the portion; None: there is no further name.
    until: str | None
    #: The rank of each name (see :func:`certworker.storage.replica.rank`).
    ranks: dict[str, int] = field(default_factory=dict)
    #: When it was made, in seconds since 1970 by the clock of Redis: a program may replay it later.
    made: int = 0


@dataclass(frozen=True)
class Comparison:
    """
    Compares the names on a volume with those of other hosts.
    """

    connection: Redis
    volume: Volume
    #: The id of this node.
    node: str
    #: Whether this node is a worker, which needs the accounts.
    is_worker: bool
    #: Ends the wait for an answer.
    stopping: Event
    #: Returns whether another host can answer now.
    is_answered: Callable[[], bool]

    def run(self) -> bool:
        """
        Apply the newer bundles of other hosts; return whether they answered for all names.

        Raises:
            redis.RedisError: Redis failed.
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: The volume is not writable.
        """
        if not self.is_answered():
            return False
        self.volume.skipped.clear()
        names = sorted({*self.volume.store.links.live(), *dict(self.volume.store.links.removed.all())})
        after: str | None = ""
        received = 0
        while after is not None:
            beat()
            portion = self._portion(names, after)
            answer = self._answer(portion)
            if answer is None:
                return False
            bundles, after = answer
            for name in self.volume.apply(bundles):
                if name not in portion.ranks:
                    insort(names, name)
            received += len(bundles)
        if received:
            logger.info("bundles received from another host in a comparison: %d", received)
        return True

    def _portion(self, names: list[str], after: str) -> Portion:
        ranks, size, until = dict[str, int](), 0, None
        made, _ = self.connection.time()
        first = bisect_right(names, after)
        for position in range(first, len(names)):
            name = names[position]
            ranks[name] = replica.rank(self.volume.store, name)
            size += len(name) + 16
            if size > PORTION_BYTES and position + 1 < len(names):
                until = name
                break
        return Portion(secrets.token_hex(8), self.node, self.is_worker, after, until, ranks, made)

    def _answer(self, portion: Portion) -> tuple[list[Fields], str | None] | None:
        """
        Return the bundles of the answer to *portion*, and the name up to which it is complete (None: all).

        Return None if there is no complete answer. Other programs may write to the stream of the answer, so
        the size that is read is bounded.
        """
        keys = self.volume.keys
        BundleStream(self.connection, COMPARISONS).add(
            sealed_entry("comparison", (portion.id,), json.dumps(portion.__dict__).encode(), keys),
            most=MOST_COMPARISONS,
        )
        stream = BundleStream(self.connection, ANSWERS + portion.id)
        bundles, position, waited, size = list[Fields](), BEGINNING, 0.0, 0
        while waited < PATIENCE_SECONDS and size <= MOST_ANSWER_BYTES and not self.stopping.is_set():
            beat()
            entries = stream.read(position).entries
            for entry in entries:
                position = entry.position
                size += entry.size + _ENTRY_BYTES
                try:
                    kind, content = opened_entry(entry.fields, keys)
                    if kind == "answer" and entry.fields.get("names") == json.dumps([portion.id]).encode():
                        stream.remove()
                        return bundles, _end(content)
                except ReplicationFailure as failure:
                    self.volume.reject(failure)
                    continue
                bundles.append(entry.fields)
            if not entries:
                self.stopping.wait(PAUSE_SECONDS)
                waited += PAUSE_SECONDS
        if size > MOST_ANSWER_BYTES:
            stream.remove()
            self.volume.reject(BundleTooLarge(size=size, limit=MOST_ANSWER_BYTES))
        return None


def portion_in(content: bytes) -> Portion | None:
    """
    Return the portion in the *content* of a bundle; None if it is invalid.
    """
    try:
        portion = Portion(**json.loads(content))
        after, until = portion.after, portion.until
        valid = isinstance(after, str) and (until is None or (isinstance(until, str) and until > after))
        ranks = {str(name): int(rank) for name, rank in portion.ranks.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    valid = valid and isinstance(portion.made, int)
    return portion if valid and ranks == portion.ranks else None


def _end(content: bytes) -> str | None:
    end = json.loads(content).get("until")
    return end if isinstance(end, str) else None
