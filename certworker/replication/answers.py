"""
The answers of a worker to the comparisons of other nodes.

One worker of another node answers each portion.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from redis import Redis

from certworker.errors.replication import ReplicationFailure
from certworker.replication.bundle import opened_entry, sealed_entry
from certworker.replication.comparison import ANSWERS, COMPARISONS, Portion, portion_in
from certworker.replication.publisher import Publisher
from certworker.replication.stream import BundleStream
from certworker.storage import replica
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.removed_names import SENT
from certworker.supervision import Faults, Loop, beat
from certworker.validity import now_in_utc

#: The maximum number of bytes of an answer; its last bundle and the accounts may exceed it.
ANSWER_BYTES = 1024 * 1024

#: How long Redis stores an answer for its node, and the age from which a portion gets no answer.
LIFETIME_MS = 60_000

#: The pauses between two reads: while no node compares, and within `BUSY_SECONDS` after an answer.
PAUSE_SECONDS = 0.5
SHORT_PAUSE_SECONDS = 0.02
BUSY_SECONDS = 2.0

#: How long a list of the names is used. With 100,000 names, a new list takes a few seconds.
LISTING_SECONDS = 60.0

CLAIMS = "certworker:answering:"


@dataclass(frozen=True)
class _Listing:
    names: list[str]
    ranks: dict[str, int]
    #: When it was made, in monotonic seconds.
    made: float


class Answers:
    """
    A loop that answers comparisons.

    Args:
        node: The id of this node.
        is_complete: Returns whether this node has all names, so that its answers are complete.
        accounts: Yields the entries of the accounts, for other workers.
        reject: Counts and logs the failure of a bundle.
        clock: Returns monotonic seconds.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self,
        connection: Redis,
        store: CertificateStore,
        publisher: Publisher,
        node: str,
        *,
        is_complete: Callable[[], bool],
        accounts: Callable[[], Iterator[dict[str, bytes]]],
        reject: Callable[[ReplicationFailure], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._store = store
        self._publisher = publisher
        self._node = node
        self._is_complete = is_complete
        self._accounts = accounts
        self._reject = reject
        self._clock = clock
        self._stream = BundleStream(connection, COMPARISONS)
        self._position: str | None = None
        self._listing: _Listing | None = None
        self._busy_until = 0.0
        self.loop = Loop("comparisons", self.step, faults=Faults("the comparisons", publisher.explain))

    def step(self) -> float:
        """
        Answer the waiting portions; return the seconds until the next step.
        """
        if self._position is None:
            self._position = self._stream.end()
        reading = self._stream.read(self._position)
        for entry in reading.entries:
            beat()
            self._answer_entry(dict(entry.fields))
            self._position = entry.position
        if reading.has_gap:
            self._position = reading.last
        return SHORT_PAUSE_SECONDS if self._clock() < self._busy_until else PAUSE_SECONDS

    def _answer_entry(self, fields: dict[str, bytes]) -> None:
        try:
            kind, content = opened_entry(fields, self._publisher.keys)
        except ReplicationFailure as failure:
            self._reject(failure)
            return
        portion = portion_in(content) if kind == "comparison" else None
        if not portion or portion.node == self._node or not self._is_complete() or self._is_old(portion):
            return
        if self._claim(portion):
            self._answer(portion)
            self._busy_until = self._clock() + BUSY_SECONDS

    def _is_old(self, portion: Portion) -> bool:
        """
        Return whether the node no longer waits for an answer. Another program may have added *portion* again.
        """
        now, _ = self._connection.time()
        return abs(now - portion.made) * 1000 >= LIFETIME_MS

    def _claim(self, portion: Portion) -> bool:
        return bool(self._connection.set(CLAIMS + portion.id, "1", nx=True, px=LIFETIME_MS))

    def _answer(self, portion: Portion) -> None:
        key = ANSWERS + portion.id
        entries, size, until = list[dict[str, bytes]](), 0, portion.until
        if portion.is_worker and not portion.after:
            entries += self._accounts()
        for name, entry in self._newer(portion):
            entries.append(entry)
            size += sum(map(len, entry.values()))
            if size >= ANSWER_BYTES:
                until = name
                break
        end = json.dumps({"until": until}).encode()
        entries.append(sealed_entry("answer", (portion.id,), end, self._publisher.keys))
        stream = BundleStream(self._connection, key)
        stream.add_all(entries, LIFETIME_MS)

    def _newer(self, portion: Portion) -> Iterator[tuple[str, dict[str, bytes]]]:
        # For the first portion of a comparison, make a new list, which has the recent changes. Later portions
        # use this list until it is old.
        listing = self._listing
        if listing is None or not portion.after or self._clock() - listing.made >= LISTING_SECONDS:
            listing = self._listing = self._list()
        seen = set[object]()
        for position in range(bisect_right(listing.names, portion.after), len(listing.names)):
            name = listing.names[position]
            if portion.until is not None and name > portion.until:
                return
            if listing.ranks[name] <= portion.ranks.get(name, -1):
                continue
            beat()
            generation = self._store.links.generation(name)
            if generation is None or generation not in seen:
                seen.add(generation or name)
                for entry in self._publisher.entries(self._store, name):
                    yield name, entry

    def _list(self) -> _Listing:
        links, made = self._store.links, self._clock()
        now = now_in_utc()
        removed = {name for name, _ in links.removed.all() if links.removed.is_younger(name, SENT, now)}
        names = sorted({*links.live(), *removed})
        ranks = {name: replica.rank(self._store, name) for name in names}
        return _Listing(names, ranks, made)
