"""
`certworker explain`: what happened to a name, as a timeline with the remedy on top.
"""

from __future__ import annotations

import os
import sys

import click

from certworker.cli.output import say, say_json
from certworker.domains import normalize
from certworker.redis.client import connected
from certworker.settings import load
from certworker.state.domain_records import DomainRecord, DomainRecords
from certworker.state.history import History, HistoryEntry


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(name: str, as_json: bool) -> None:
    """
    Show what happened to NAME: what to do first, then its last fifty events.

    Exit code 1 if nothing is known of it.

    \b
    Example:
      certworker explain api.example.org
    """
    settings = load(os.environ)
    wanted = normalize(name, private=True)
    with connected(settings.redis) as connection:
        record, story = DomainRecords(connection).read(wanted), History(connection).read(wanted)
        if record and record.names[0] != wanted and not story:
            story = History(connection).read(record.names[0])
    if record is None and not story:
        say(f"Nothing is known of {wanted}. To ask for it: certworker request {wanted}", err=True)
        sys.exit(1)
    if as_json:
        say_json(_as_json(wanted, record, story))
    else:
        _show(wanted, record, story)


def _show(name: str, record: DomainRecord | None, story: list[HistoryEntry]) -> None:
    if record and record.code:
        say(f"{name}: {record.message} [{record.code}]")
        say(f"→ {record.remedy}")
        if record.next_check:
            attempts = "1 attempt" if record.attempts == 1 else f"{record.attempts} attempts"
            say(f"  {attempts}; the next one is at {record.next_check:%Y-%m-%d %H:%M} UTC")
    elif record and record.not_after:
        say(f"{name}: in service, valid until {record.not_after:%Y-%m-%d %H:%M} UTC")
    say()
    for event in story:
        say(f"{event.moment:%Y-%m-%d %H:%M:%S} {event.level:<5} {event.text}")


def _as_json(name: str, record: DomainRecord | None, story: list[HistoryEntry]) -> dict[str, object]:
    return {
        "name": name,
        "state": record.state if record else "",
        "code": record.code if record else "",
        "message": record.message if record else "",
        "remedy": record.remedy if record else "",
        "events": [
            {"ts": f"{event.moment:%Y-%m-%dT%H:%M:%SZ}", "level": event.level.lower(), "text": event.text}
            for event in story
        ],
    }
