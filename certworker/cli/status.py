"""
`certworker status`: how each name stands, for people and for machines.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import islice

import click

from certworker.allowance import budget_of
from certworker.cli.output import say, say_json
from certworker.intake.connection import connected
from certworker.ledger.agenda import Agenda
from certworker.ledger.record import Records
from certworker.names import domain_name
from certworker.overview import STATES, Backfill, Standing, backfill, standing, standings
from certworker.serving.volume import Volume
from certworker.settings import load


class Duration(click.ParamType[timedelta]):
    """
    A time span as people write it: 7d, 12h, 30m.
    """

    name = "duration"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """
        The span that *value* stands for.
        """
        if isinstance(value, timedelta):
            return value
        written = re.fullmatch(r"(\d+)([dhm])", value)
        if written is None:
            self.fail(f"{value!r} is not a time span; write 7d, 12h or 30m.", param, ctx)
        unit = {"d": "days", "h": "hours", "m": "minutes"}[written[2]]
        return timedelta(**{unit: int(written[1])})


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--state", type=click.Choice(STATES), help="Only names in this state.")
@click.option(
    "--due", type=Duration(), metavar="SPAN", help="Only what is to be renewed within SPAN, such as 7d."
)
@click.option("--page", type=click.IntRange(1), default=1, show_default=True, help="Which page to show.")
@click.option("--page-size", type=click.IntRange(1), default=50, show_default=True, help="Names on a page.")
@click.option("--all", "everything", is_flag=True, help="No pages.")
@click.option(
    "--summary", is_flag=True, help="How many names are in which state, and how far the backfill is."
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
) -> None:
    """
    Show what is in service, until when, and what went wrong.

    With NAME, everything that is known of it. Exit code 1 if NAME is unknown.

    \b
    Example:
      certworker status --due 7d
    """
    settings = load(os.environ)
    now = datetime.now(UTC)
    with connected(settings) as connection:
        rooms = agenda, _, volume = Agenda(connection), Records(connection), Volume(settings.certificates_dir)
        if name is None and (summary or not as_json):
            progress = backfill(agenda, volume, budget_of(settings, settings.authority, connection, volume))
        if name is None and summary:
            _show_summary(Counter(each.state for each in standings(*rooms, now)), progress, as_json)
            return
        if name is not None:
            # What is there may have come from another CA than today's.
            _show_one(standing(domain_name(name, private=True), *rooms, now), now, as_json)
            return
        chosen = (
            each
            for each in standings(*rooms, now)
            if (state is None or each.state == state)
            and (due is None or (each.renewal is not None and each.renewal <= now + due))
        )
        first = 0 if everything else (page - 1) * page_size
        shown = list(islice(chosen, first, None if everything else first + page_size + 1))
    more = not everything and len(shown) > page_size
    _show_many(shown[:page_size] if more else shown, now, as_json)
    if more and not as_json:
        say(f"… and more: certworker status --page {page + 1}")
    if not as_json:
        _say_progress(progress)


def _show_one(one: Standing, now: datetime, as_json: bool) -> None:
    if one.state == "missing" and one.next_look is None:
        say(f"{one.name} is unknown here. To ask for it: certworker request {one.name}", err=True)
        sys.exit(1)
    if as_json:
        say_json(_json(one, now))
        return
    for label, value in _facts(one, now):
        say(f"{label:<12} {value}")


def _facts(one: Standing, now: datetime) -> Iterator[tuple[str, str]]:
    yield "name", one.name
    yield "state", one.state
    if one.not_after:
        yield "valid until", f"{_moment(one.not_after)} ({_days(one, now)} days left)"
        yield "issuer", one.issuer
        yield "authority", one.authority
        yield "renewal", f"from {_moment(one.renewal)}"
    yield "next look", _moment(one.next_look)
    if one.code:
        yield "attempts", str(one.attempts)
        yield "last error", f"[{one.code}] {one.message}"
        yield "remedy", one.remedy


def _show_many(shown: list[Standing], now: datetime, as_json: bool) -> None:
    if as_json:
        for one in shown:
            say_json(_json(one, now))
        return
    if not shown:
        say("No names. To ask for one: certworker request api.example.org")
        return
    width = max(len(one.name) for one in shown)
    say(f"{'NAME':<{width}}  {'STATE':<8} {'DAYS':>5}  {'NEXT LOOK':<20}  LAST ERROR")
    for one in shown:
        error = f"[{one.code}] {one.remedy}" if one.code else ""
        line = (
            f"{one.name:<{width}}  {one.state:<8} {_days(one, now):>5}  {_moment(one.next_look):<20}  {error}"
        )
        say(line.rstrip())


def _show_summary(states: Mapping[str, int], progress: Backfill, as_json: bool) -> None:
    if as_json:
        told = {name: _iso(value) for name, value in asdict(progress).items()}
        say_json(told | {"states": {state: states[state] for state in STATES}})
        return
    for state in filter(states.get, STATES):
        say(f"{state:<8} {states[state]:>9,}")
    _say_progress(progress)


def _say_progress(progress: Backfill) -> None:
    if progress.missing:
        say(_told(progress))


def _told(progress: Backfill) -> str:
    so_far = f"{progress.missing:,} of {progress.names:,} names have no certificate yet"
    return (
        f"{so_far}; at the CA's rate the last one is ordered at {_moment(progress.ends)}."
        if progress.ends
        else f"{so_far}."
    )


def _json(one: Standing, now: datetime) -> dict[str, object]:
    days = one.days_left(now)
    told = {name: _iso(value) for name, value in asdict(one).items()}
    return told | {"days_left": None if days is None else round(days, 2)}


def _iso(value: object) -> object:
    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "not planned"


def _days(one: Standing, now: datetime) -> str:
    days = one.days_left(now)
    return "-" if days is None else f"{days:.0f}" if abs(days) >= 10 else f"{days:.1f}"
