"""
The first page of 50,000 names, and the index behind it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from unittest.mock import patch

from bench.certificates import stored
from bench.figures import Figure, progress
from bench.worlds import redis_server
from certworker.dashboard.names import MOST_NAMES_PER_PAGE, NameIndex, NameQuery, NotReady
from certworker.dashboard.sources import Sources
from certworker.settings import load
from certworker.storage.metadata import build, new_directory
from tests.app_fixture import environment

TITLE = "the page"
NOTE = (
    "the page: 50,000 names with certificates, in the index that answers the page and the API. A page has "
    "50 names. The median of 20. The index is built once at the start. While the page is in use, a thread "
    "rebuilds it with at most a tenth of its time."
)

NAMES = 50_000
ROUNDS = 20
DAY = timedelta(days=1)


def measure(place: Path) -> list[Figure]:
    """
    Return the milliseconds of pages, and the seconds of the first index.
    """
    with redis_server(place / "redis") as redis, redis.client() as connection:
        settings = load(environment(place, "http://localhost:9/directory", 9))
        sources = Sources.of(settings, connection)
        fill(sources)
        index = NameIndex(sources)
        progress(f"{TITLE}: building the index of {NAMES} names")
        began = time.perf_counter()
        index.start()
        while True:
            with suppress(NotReady):
                index.counts()
                break
        built = time.perf_counter() - began
        index.stop()
        plain = _milliseconds(lambda: index.page(NameQuery()))
        search = _milliseconds(lambda: index.page(NameQuery(text="49", state="valid", sort="expiry")))
        cursor = ""
        for _ in range(NAMES // MOST_NAMES_PER_PAGE // 2):
            cursor = index.page(NameQuery(cursor=cursor, limit=MOST_NAMES_PER_PAGE)).next_cursor
        later = _milliseconds(lambda: index.page(NameQuery(cursor=cursor)))
        counts = _milliseconds(index.counts)
    return [
        Figure(TITLE, f"the first page of {NAMES:,} names", plain, "ms", 300),
        Figure(TITLE, "a page in the middle", later, "ms", 300),
        Figure(TITLE, "a search among them", search, "ms", 300),
        Figure(TITLE, "the counts by state", counts, "ms", 300),
        Figure(TITLE, "the first index", built, "s"),
    ]


def fill(sources: Sources, count: int = NAMES) -> None:
    """
    Store certificates for *count* names and one more, and plan their checks.
    """
    progress(f"{TITLE}: storing {count} certificates")
    now = datetime.now(UTC)
    store, links = sources.certificates, sources.certificates.links
    (first,) = stored(store, ["first.example.org"], now)
    names = [f"shop{number:05}.example.org" for number in range(count)]
    # The index reads the links and the metadata. Writing them with fsync would take half an hour.
    with patch("os.fsync"):
        for number, name in enumerate(names, start=2):
            metadata = replace(first.metadata, names=(name,), generation=number)
            directory = new_directory(links.generations, number)
            build(directory, first.certificate, metadata)
            links.create_links(name)
            links.activate([name], directory)
            sources.records.record_issued([name], metadata, next_check=now + DAY, now=now)
    sources.agenda.put_many(dict.fromkeys(names, now + DAY))


def _milliseconds(action: Callable[[], object]) -> float:
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        action()
        took.append(time.perf_counter() - began)
    return 1000 * median(took)
