"""
The status of one name, and an index for searches among all names.

Reading the state of 50,000 names takes seconds. The index has the fields of each name that a search or a sort
order needs. A thread rebuilds the index, and pauses for most of the time. The result of a search is a page of
names. Only the state of these names is read at the time of the search.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nsmallest
from itertools import islice
from json import dumps, loads
from sys import intern
from threading import Event, Lock
from typing import Any, Literal, get_args

from certworker.dashboard.own_names import own_statuses
from certworker.dashboard.sources import Sources
from certworker.domains import normalize
from certworker.errors import CertworkerError
from certworker.redis.failures import explainer
from certworker.renewal.domain_status import (
    ADOPTED,
    FAILURES,
    STATES,
    URGENT,
    DomainState,
    DomainStatus,
    list_states,
    status_of,
    statuses_of,
)
from certworker.state.recorded_states import RecordedStates
from certworker.supervision import Faults, Loop
from certworker.worker.producer import is_requested

Sort = Literal["urgency", "expiry", "name"]
SORTS: tuple[Sort, ...] = get_args(Sort)

MOST_NAMES_PER_PAGE = 500

#: The maximum number of characters of a cursor. It contains one name.
LONGEST_CURSOR = 1_000

#: The share of the time of its thread that a rebuild may use, unless a search waits for the new content.
SHARE_OF_TIME = 1 / 10
#: The number of names after which a rebuild pauses.
NAMES_PER_STEP = 250
#: The seconds between two rebuilds: while the index is in use, and after a minute without any search.
PAUSE_SECONDS = 1.0
IDLE_PAUSE_SECONDS = 300.0
IDLE_AFTER_SECONDS = 60.0

#: A search that finds an old index of at most this many names waits for a new one.
SMALL_INDEX = 500

#: The first search among at most this many names builds the index. Among more names, a thread builds the
#: index, and the search waits at most :data:`PATIENCE_SECONDS` for the thread.
MOST_NAMES_AT_ONCE = 2_000
PATIENCE_SECONDS = 2.0

#: The time of a name without a certificate or a renewal, after all real times.
NEVER = 10.0**12

Key = tuple[float, str]


@dataclass(frozen=True)
class NameQuery:
    """
    A search among all names.
    """

    #: A part of the name.
    text: str = ""
    #: A state or a detail of :class:`DomainStatus`; empty for all.
    state: str = ""
    #: None for the names of all tenants.
    tenant: str | None = None
    #: The `issuer` or the `authority` of :class:`DomainStatus`; empty for all.
    issuer: str = ""
    #: Only certificates whose renewal is due within this time; None for all.
    due: timedelta | None = None
    sort: Sort = "urgency"
    #: The `next_cursor` of the previous page; empty for the first page.
    cursor: str = ""
    #: The maximum number of names on the page.
    limit: int = 50


@dataclass(frozen=True)
class NamePage:
    """
    One page of the result of a search.
    """

    names: tuple[DomainStatus, ...]
    #: Empty on the last page.
    next_cursor: str
    #: The number of names on all pages.
    total: int


@dataclass(frozen=True, slots=True)
class _Row:
    """
    The fields of a name that a search needs. Fifty thousand of them take about 10 MB.
    """

    name: str
    state: str
    detail: str
    tenant: str
    issuer: str
    authority: str
    not_after: float
    #: The time of its renewal; :data:`NEVER` without one, for a moved name, and for a name that a wildcard
    #: covers.
    renewal: float


@dataclass(frozen=True)
class _Content:
    """
    The names at one time, in each sort order.
    """

    orders: Mapping[Sort, tuple[_Row, ...]]
    #: By tenant, the number of names by state and detail.
    counts: Mapping[str, Counter[str]]
    built: float

    @property
    def is_small(self) -> bool:
        """
        Return whether a search may wait for new content.
        """
        return len(self.orders["name"]) <= SMALL_INDEX

    def is_old(self, now: float) -> bool:
        """
        Return whether new content should replace this content.
        """
        return now - self.built > PAUSE_SECONDS


class NotReady(Exception):
    """
    The index is being built for the first time, which takes longer than a search waits.
    """


class NameIndex:
    """
    All names of an installation. Several threads may call the methods at the same time.

    Args:
        sources: The state of the names.
        monotonic: Returns monotonic seconds.

    Attributes:
        loop: The loop that rebuilds the index, and its heartbeat. Without :meth:`start`, the first search
            starts the loop.
    """

    def __init__(self, sources: Sources, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._sources = sources
        self._states = RecordedStates(sources.connection)
        self._monotonic = monotonic
        self._content: _Content | None = None
        self._building = Lock()
        self._is_built = Event()
        #: Whether a search waits for new content.
        self._hurries = False
        self._searched = monotonic()
        faults = Faults("the index of names", explainer(sources.connection))
        self.loop = Loop("name_index", self._step, faults=faults)

    def start(self) -> None:
        """
        Start the thread that builds the index. Without this call, the first search starts it.
        """
        self.loop.start()

    def stop(self) -> None:
        """
        Stop the thread.
        """
        self.loop.stop()

    def page(self, query: NameQuery) -> NamePage:
        """
        Return the page of *query*.

        Raises:
            ValueError: The sort order or the limit of *query* is invalid, or its cursor is not from an
                earlier page in the same order.
            NotReady: The index of many names is being built for the first time.
            CertworkerError: The volume cannot be read.
            redis.RedisError: Redis failed.
        """
        if query.sort not in SORTS or not 1 <= query.limit <= MOST_NAMES_PER_PAGE:
            raise ValueError(
                f"the order is one of {', '.join(SORTS)}; a page has 1 to {MOST_NAMES_PER_PAGE} names"
            )
        after = _cursor_in(query.cursor, query.sort) if query.cursor else None
        order, key = self._current().orders[query.sort], _KEYS[query.sort]
        first = bisect_right(order, after, key=key) if after else 0
        matches = _filter(query, self._sources.clock())
        # The page, and one more name, which shows whether there is a next page.
        found = list(islice(filter(matches, islice(order, first, None)), query.limit + 1))
        shown = found[: query.limit]
        return NamePage(
            tuple(self._read(shown, query.tenant)),
            _cursor_of(query.sort, key(shown[-1])) if len(found) > query.limit else "",
            sum(map(matches, order)),
        )

    def counts(self, tenant: str | None = None) -> Mapping[str, int]:
        """
        Return the number of names in each state and in each detail of a failure.

        Raises:
            NotReady, CertworkerError, redis.RedisError: As for :meth:`page`.
        """
        counts = self._current().counts
        chosen = counts.values() if tenant is None else [counts.get(tenant, Counter())]
        total = sum(chosen, Counter[str]())
        return {state: total[state] for state in (*STATES, *FAILURES)}

    def next_renewals(self, count: int, tenant: str | None = None) -> tuple[DomainStatus, ...]:
        """
        Return at most *count* names whose certificates are renewed next, the earliest first.

        Raises:
            NotReady, CertworkerError, redis.RedisError: As for :meth:`page`.
        """
        matches = _filter(NameQuery(tenant=tenant, due=timedelta.max), self._sources.clock())
        rows = filter(matches, self._current().orders["name"])
        return tuple(self._read(nsmallest(count, rows, key=lambda row: (row.renewal, row.name)), tenant))

    def find(self, name: str, tenant: str | None = None) -> DomainStatus | None:
        """
        Return the current status of *name*, which is not necessarily normalized.

        Return None for a name that is unknown, invalid, or of another tenant than *tenant*.

        Raises:
            redis.RedisError: Redis failed.
        """
        return find_name(self._sources, name, tenant)

    def _current(self) -> _Content:
        self._searched = self._monotonic()
        if self._content is None and len(self._sources.agenda) > MOST_NAMES_AT_ONCE:
            self._hurries = True
            self.loop.start()
            if not self._is_built.wait(PATIENCE_SECONDS):
                raise NotReady
        content = self._content
        if content is None or (content.is_old(self._searched) and content.is_small):
            self._hurries = True
            with self._building:
                # Another thread may have built the content in the meantime.
                content = self._content
                if content is None or content.is_old(self._searched):
                    content = self._build()
        elif content.is_old(self._searched):
            self.loop.wake()
        self.loop.start()
        return content

    def _step(self) -> float:
        with self._building:
            self._build()
        idle = self._monotonic() - self._searched > IDLE_AFTER_SECONDS
        return IDLE_PAUSE_SECONDS if idle else PAUSE_SECONDS

    def _build(self) -> _Content:
        rows: list[_Row] = []
        sources, began = self._sources, self._monotonic()
        found = list_states(sources.agenda, self._states, sources.certificates, sources.clock())
        while step := list(islice(found, NAMES_PER_STEP)):
            tenants = self._states.tenants([one.name for one in step])
            rows += map(_row_of, step, tenants)
            if not self._hurries:
                self.loop.stopping.wait((self._monotonic() - began) * (1 / SHARE_OF_TIME - 1))
                began = self._monotonic()
        counts: dict[str, Counter[str]] = {}
        for row in rows:
            counts.setdefault(row.tenant, Counter()).update({row.state, row.detail})
        orders = {sort: tuple(sorted(rows, key=key)) for sort, key in _KEYS.items()}
        self._content, self._hurries = _Content(orders, counts, self._monotonic()), False
        self._is_built.set()
        return self._content

    def _read(self, rows: Iterable[_Row], tenant: str | None) -> Iterator[DomainStatus]:
        sources = self._sources
        names = [row.name for row in rows]
        read = statuses_of(names, sources.agenda, sources.records, sources.certificates, sources.clock())
        # Since the index was built, a name may have been removed, or may have been given another tenant.
        known = (one for one in read if _is_known(one) and tenant in (None, one.tenant))
        return known if tenant is None else iter(own_statuses(sources, known, tenant))


def find_name(sources: Sources, name: str, tenant: str | None = None) -> DomainStatus | None:
    """
    Return the current status of *name*, as :meth:`NameIndex.find` does.

    Raises:
        redis.RedisError: Redis failed.
    """
    try:
        # The certificate may be from a private CA of earlier settings.
        name = normalize(name, private=True, wildcards=True)
    except CertworkerError:
        return None
    one = status_of(name, sources.agenda, sources.records, sources.certificates, sources.clock())
    owner = one.tenant or sources.records.tenant_of(name)
    if tenant not in (None, owner):
        return None
    if tenant is not None:
        (one,) = own_statuses(sources, [one], tenant)
    return one if _is_known(one) or owner or is_requested(sources.connection, name) else None


def _is_known(one: DomainStatus) -> bool:
    return one.state != "missing" or one.next_check is not None


def _row_of(one: DomainState, tenant: str) -> _Row:
    certificate, renewal = one.certificate(), one.renewal
    return _Row(
        one.name,
        intern(one.state),
        intern(one.detail),
        intern(tenant),
        intern(certificate.issuer if certificate else ""),
        intern(certificate.authority or ADOPTED if certificate else ""),
        certificate.not_after.timestamp() if certificate else NEVER,
        renewal.timestamp() if renewal and not one.by and one.state != "moved" else NEVER,
    )


def _filter(query: NameQuery, now: datetime) -> Callable[[_Row], bool]:
    text = query.text.strip().lower()
    due = NEVER if query.due is None else min(now.timestamp() + query.due.total_seconds(), NEVER - 1)

    def matches(row: _Row) -> bool:
        return (
            (query.tenant is None or row.tenant == query.tenant)
            and (not query.state or query.state in (row.state, row.detail))
            and (not query.issuer or query.issuer in (row.issuer, row.authority))
            and row.renewal <= due
            and text in row.name
        )

    return matches


def _by_urgency(row: _Row) -> Key:
    return float(URGENT.index(row.detail) if row.detail in URGENT else len(URGENT)), row.name


_KEYS: Mapping[Sort, Callable[[_Row], Key]] = {
    "urgency": _by_urgency,
    "expiry": lambda row: (row.not_after, row.name),
    "name": lambda row: (0.0, row.name),
}


def _cursor_of(sort: Sort, key: Key) -> str:
    return urlsafe_b64encode(dumps([sort, *key]).encode()).decode().rstrip("=")


def _cursor_in(text: str, sort: Sort) -> Key:
    try:
        padded = text[:LONGEST_CURSOR] + "=" * (-len(text) % 4)
        found: Any = loads(urlsafe_b64decode(padded.encode("ascii")))
        its_sort, rank, name = found
        key = float(rank), str(name)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError("the cursor is not from an earlier page") from error
    if its_sort != sort or key[0] != key[0]:
        raise ValueError("the cursor is from a page with another sort order")
    return key
