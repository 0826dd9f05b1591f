"""
`certworker status`: the state of each name, and the progress of all.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from shlex import quote

import click
from redis import Redis

from certworker.cli.names_table import COLORS, Files, planned, show_one, show_table, urgency
from certworker.cli.outcome import why_nothing_starts
from certworker.cli.output import numbers, progress_line, reference, say, say_json
from certworker.dashboard.documents import document, status_document
from certworker.domains import normalize
from certworker.ratelimits.budget import Budget
from certworker.redis.client import connected
from certworker.renewal.agenda import Agenda
from certworker.renewal.domain_status import (
    FAILURES,
    STATES,
    BackfillProgress,
    DomainState,
    DomainStatus,
    backfill_progress,
    list_states,
    list_status,
    names_by_urgency,
    status_of,
    statuses_of,
)
from certworker.settings import Settings, load
from certworker.state.domain_records import DomainRecords
from certworker.state.recorded_states import RecordedStates
from certworker.storage import durable
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import PEM_FILES
from certworker.worker.producer import queue_length
from certworker.worker.queue_stats import queued_name, running_workers

Stores = tuple[Agenda, RecordedStates, CertificateStore]

PAUSE_SECONDS = 1.0

#: The maximum share of the time that counting takes. Counting 50,000 names takes about a second.
SHARE_OF_TIME_TO_COUNT = 1 / 10

#: A name without a certificate is not done yet in one of these states.
OPEN = ("missing", "issuing", "waiting")

PAGE_SIZE = 50

#: Bytes. A chain of ten large certificates has a tenth of this.
LARGEST_CHAIN = 1024 * 1024


@dataclass(frozen=True)
class Counts:
    """
    The numbers of all names, of names with a certificate or a failure, and of names with only a failure.
    """

    names: int
    done: int
    failed: int


def watch_names(
    connection: Redis, stores: Stores, *, as_json: bool, sleep: Callable[[float], None] = time.sleep
) -> None:
    """
    Show the progress until each name has a certificate or has failed, or until Ctrl-C.

    If the standard error is a terminal, it shows one line that changes, and the standard output gets the last
    numbers. Otherwise, and with JSON, the standard output gets a line for each change.

    Raises:
        redis.RedisError: Redis does not respond.
    """
    shown: Counts | None = None
    lines = as_json or not sys.stderr.isatty()
    with suppress(KeyboardInterrupt), progress_line() as update:
        while True:
            began, now = time.monotonic(), datetime.now(UTC)
            queued = queue_length(connection)
            counts = _counts(list_states(*stores, now), queued)
            if counts != shown and lines:
                _print(counts, now, as_json)
            update(counts.done, counts.failed, counts.names)
            # The end needs two equal counts: a request is briefly neither in the queue nor recorded.
            if counts.done == counts.names and counts == shown:
                break
            shown = counts
            sleep(max(PAUSE_SECONDS, (time.monotonic() - began) / SHARE_OF_TIME_TO_COUNT))
    if shown and not lines:
        _print(shown, datetime.now(UTC), as_json)


def _counts(names: Iterable[DomainState], queued: int) -> Counts:
    total = open_names = failed = 0
    for one in names:
        total += 1
        open_names += one.not_after is None and one.detail in OPEN
        failed += one.detail == "no_certificate"
    # The names of most queued requests are new, so the count above does not include them.
    return Counts(total + queued, total - open_names, failed)


def _print(counts: Counts, now: datetime, as_json: bool) -> None:
    if as_json:
        say_json(
            {"moment": document(now), "names": counts.names, "done": counts.done, "failed": counts.failed}
        )
    else:
        say(numbers(counts.done, counts.failed, counts.names) + ".")


class Duration(click.ParamType[timedelta]):
    """
    A time span such as 7d, 12h, or 30m.
    """

    name = "duration"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """
        Return the time span of *value*.

        Raises:
            click.BadParameter: *value* is not a time span.
        """
        if isinstance(value, timedelta):
            return value
        # A longer span could end after the last date that Python knows.
        written = re.fullmatch(r"([0-9]{1,6})([dhm])", value)
        if written is None:
            self.fail(f"{value!r} is not a time span such as 7d, 12h, or 30m.", param, ctx)
        unit = {"d": "days", "h": "hours", "m": "minutes"}[written[2]]
        return timedelta(**{unit: int(written[1])})


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option("--state", type=click.Choice([*STATES, *FAILURES]), help="Only names in this state.")
@click.option(
    "--due", type=Duration(), metavar="SPAN", help="Only names whose renewal is due within SPAN, such as 7d."
)
@click.option("--page", type=click.IntRange(1), default=1, show_default=True, help="The page to show.")
@click.option(
    "--page-size", type=click.IntRange(1), default=PAGE_SIZE, show_default=True, help="Names per page."
)
@click.option("--all", "everything", is_flag=True, help="Show all names on one page.")
@click.option(
    "--summary",
    is_flag=True,
    help="Show the number of names in each state, and when the last missing certificate can be ordered.",
)
@click.option("--nodes", is_flag=True, help="Show the hosts with volumes of their own.")
@click.option(
    "--watch", is_flag=True, help="Show the progress until each name has a certificate or has failed."
)
def command(
    name: str | None,
    as_json: bool,
    state: str | None,
    due: timedelta | None,
    page: int,
    page_size: int,
    everything: bool,
    summary: bool,
    nodes: bool,
    watch: bool,
) -> None:
    """
    Show which certificates are in service, when they expire, and what failed.

    Without NAME, show a table, which begins with the names that a user has to fix. With NAME, show the
    details of NAME; the exit code is 1 if NAME is unknown.

    \b
    Example:
      certworker status --due 7d
      certworker status --state no_certificate
    """
    settings = load(os.environ)
    now = datetime.now(UTC)
    with connected(settings.redis) as connection:
        agenda, volume = Agenda(connection), CertificateStore(settings.certificates_dir)
        stores = agenda, RecordedStates(connection), volume
        if nodes:
            # The import of cryptography takes longer than all other imports of this command.
            from certworker.cli.nodes import show_nodes

            show_nodes(connection, as_json=as_json)
            return
        if name is not None:
            # The certificate may be from a private CA of earlier settings.
            _show_name(normalize(name, private=True, wildcards=True), connection, settings, now, as_json)
            return
        _require_directory(settings)
        if watch:
            watch_names(connection, stores, as_json=as_json)
        elif summary:
            _show_summary(connection, settings, stores, now, as_json)
        else:
            size = None if everything else page_size
            start = (page - 1) * page_size if size else 0
            if as_json:
                # JSON is not sorted by urgency, so that a program gets the first line immediately.
                sources = agenda, DomainRecords(connection), volume, now
                chosen = (one for one in list_status(*sources) if _is_chosen(one, state, due, now))
                for one in islice(chosen, start, start + size if size else None):
                    say_json(_json(one, now))
                return
            # Only the names on the page need their details.
            names = _chosen_names(stores, state, due, now)
            shown = names[start : start + size if size else None]
            details = list(statuses_of(shown, agenda, DomainRecords(connection), volume, now))
            _show_page(details, now, is_complete=not start and state is None and due is None)
            if len(names) > start + len(shown):
                say(f"More: certworker status --page {page + 1}{_options(page_size, state, due)}")
            _show_queue(connection)
            _show_backfill(_backfill(connection, settings, stores))


def _require_directory(settings: Settings) -> None:
    if not settings.certificates_dir.is_dir():
        say(
            f"There is no directory {settings.certificates_dir}. Set CERTWORKER_CERTIFICATES_DIR to the "
            "directory of the worker, or start the worker, which creates it: certworker work",
            err=True,
        )
        sys.exit(1)


def _show_name(name: str, connection: Redis, settings: Settings, now: datetime, as_json: bool) -> None:
    volume = CertificateStore(settings.certificates_dir)
    one = status_of(name, Agenda(connection), DomainRecords(connection), volume, now)
    queued = queued_name(connection, name)
    if one.state == "missing" and one.next_check is None and queued.position is None:
        _require_directory(settings)
        say(f"{name} is unknown here. To request it: certworker request {quote(name)}", err=True)
        sys.exit(1)
    files = _files(volume, one.by or name) if one.not_after else None
    if as_json:
        known: dict[str, object] = {"queue_position": queued.position, "workers": queued.workers}
        known |= {"chain": files.issuers if files else [], "files": files.paths if files else {}}
        say_json(_json(one, now) | known)
        return
    show_one(one, files, queued, now)
    if queued.position and (reason := why_nothing_starts(connection)):
        say(reason, err=True)


def _files(volume: CertificateStore, name: str) -> Files:
    # The import of cryptography takes longer than all other imports of this command.
    from certworker.certificates import UNREADABLE, issuers_in

    directory = volume.links.domain_dir(name)
    try:
        issuers = issuers_in(durable.read(directory / "fullchain.pem", LARGEST_CHAIN))
    except (OSError, *UNREADABLE):
        issuers = []
    return Files({file.removesuffix(".pem"): str(directory / file) for file in PEM_FILES}, issuers)


def _is_chosen(
    one: DomainState | DomainStatus, state: str | None, due: timedelta | None, now: datetime
) -> bool:
    return (state is None or state in (one.state, one.detail)) and (
        due is None or (one.renewal is not None and one.renewal <= now + due and not one.by)
    )


def _chosen_names(stores: Stores, state: str | None, due: timedelta | None, now: datetime) -> list[str]:
    if state is None and due is None:
        return names_by_urgency(*stores, now)
    states = (one for one in list_states(*stores, now) if _is_chosen(one, state, due, now))
    return [one.name for one in sorted(states, key=urgency)]


def _options(page_size: int, state: str | None, due: timedelta | None) -> str:
    options = f" --page-size {page_size}" if page_size != PAGE_SIZE else ""
    options += f" --state {state}" if state else ""
    return options + (f" --due {due // timedelta(minutes=1)}m" if due is not None else "")


def _show_page(shown: list[DomainStatus], now: datetime, *, is_complete: bool) -> None:
    if shown:
        show_table(shown, now)
    elif not is_complete:
        say("No names on this page with these options. To see all names: certworker status --all")
    else:
        say("No names. To request one: certworker request api.example.org")


def _backfill(connection: Redis, settings: Settings, stores: Stores) -> BackfillProgress:
    agenda, _, volume = stores
    return backfill_progress(
        agenda, volume, Budget.for_issuer(settings, settings.authority, connection, volume)
    )


def _show_summary(
    connection: Redis, settings: Settings, stores: Stores, now: datetime, as_json: bool
) -> None:
    pairs = [(one.state, one.detail) for one in list_states(*stores, now)]
    states, details = Counter(state for state, _ in pairs), Counter(detail for _, detail in pairs)
    progress = _backfill(connection, settings, stores)
    if as_json:
        shown = document(progress)
        shown |= {"states": {state: states[state] for state in STATES}}
        shown |= {"failures": {detail: details[detail] for detail in FAILURES}}
        say_json(shown | {"queue": queue_length(connection), "workers": running_workers(connection)})
        return
    for detail in [*COLORS, *(state for state in STATES if state not in COLORS)]:
        if details[detail]:
            say(f"{detail.replace('_', ' '):<14} {details[detail]:>9,}", color=COLORS.get(detail))
    _show_queue(connection)
    _show_backfill(progress)


def _show_queue(connection: Redis) -> None:
    if waiting := queue_length(connection):
        say(f"{waiting:,} {'request is' if waiting == 1 else 'requests are'} in the queue.")
    if reason := why_nothing_starts(connection):
        say(reason, err=True)


def _show_backfill(progress: BackfillProgress) -> None:
    if progress.missing:
        missing = f"Names without a certificate: {progress.missing:,} of {progress.names:,}"
        last = f"; at the CA's rate, the last one is ordered at {planned(progress.ends)}"
        say(f"{missing}{last if progress.ends else ''}.")


def _json(one: DomainStatus, now: datetime) -> dict[str, object]:
    return status_document(one, now, reference(one.code))
