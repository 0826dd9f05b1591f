"""
`certworker explain`: the history of a name, or the page of an error code.
"""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from shlex import quote

import click

from certworker.cli.output import reference, say, say_json
from certworker.cli.timings import show_timings, timings_json
from certworker.domains import covering_wildcard, normalize
from certworker.errors import CertworkerError
from certworker.errors.pages import codes, page_of
from certworker.errors.systemd import for_this_machine
from certworker.minutes import not_before
from certworker.observability.history import History, HistoryEntry
from certworker.redis.client import connected
from certworker.settings import Settings, load
from certworker.state.domain_records import DomainRecord, DomainRecords

#: The minimum similarity of a suggested code, from 0 to 1.
LEAST_LIKENESS = 0.75
#: The maximum number of suggested codes if none is that similar.
MOST_RELATED = 5


@click.command()
@click.argument("subject", metavar="NAME|CODE")
@click.option("--timings", is_flag=True, help="Show how long each step of the last attempts took.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(subject: str, timings: bool, as_json: bool) -> None:
    """
    Show the history of NAME: first its state, with the remedy for a failure, then the last fifty events.

    With CODE, show the page of an error code: its cause, how to check it, the remedy, and the retries.

    The exit code is 1 if NAME or CODE is unknown.

    \b
    Example:
      certworker explain api.example.org
      certworker explain api.example.org --timings
      certworker explain http.404
    """
    code = subject.strip("[]").lower()
    if code in codes():
        if timings:
            raise click.UsageError("An error code has no timings. Pass a NAME.")
        _show_page(code, as_json)
        return
    settings = load(os.environ)
    _check_code(code, subject, settings)
    name = normalize(subject, private=True, wildcards=True)
    with connected(settings.redis) as connection:
        record, history = DomainRecords(connection).read(name), History(connection).read(name)
        if record and record.names[0] != name and not history:
            history = History(connection).read(record.names[0])
    if record is None and not history:
        say(f"{name} has no history. To request it: certworker request {quote(name)}", err=True)
        sys.exit(1)
    if timings:
        say_json(timings_json(name, history)) if as_json else show_timings(name, history)
    elif as_json:
        say_json(_as_json(name, record, history))
    else:
        _show(name, record, history)


def _show_page(code: str, as_json: bool) -> None:
    page = page_of(code, for_this_machine)
    if as_json:
        say_json({"code": code, "docs": reference(code), "page": page})
        return
    for line in page.splitlines():
        say(line)


def _check_code(code: str, subject: str, settings: Settings) -> None:
    """
    End with exit code 1 if *subject* resembles a code, and is not a name that can have a certificate.
    """
    try:
        normalize(subject, private=settings.authority.private_names, wildcards=settings.dns01.is_set)
    except CertworkerError:
        known = sorted(codes())
    else:
        return
    if similar := get_close_matches(code, known, n=1, cutoff=LEAST_LIKENESS):
        more = f"Did you mean {similar[0]}? certworker explain {quote(similar[0])}"
    elif related := [each for each in known if each.startswith(f"{code.partition('.')[0]}.")]:
        nearest = get_close_matches(code, related, n=MOST_RELATED, cutoff=0)
        more = f"Similar codes: {', '.join(nearest)}"
    else:
        return
    say(f"No error has the code {code}. {more}", err=True)
    sys.exit(1)


def _show(name: str, record: DomainRecord | None, history: list[HistoryEntry]) -> None:
    _show_state(name, record)
    if record and history:
        say()
    for event in history:
        say(f"{event.moment:%Y-%m-%d %H:%M:%S} {event.level:<5} {event.text}")


def _show_state(name: str, record: DomainRecord | None) -> None:
    if not record:
        return
    if record.code:
        say(f"{name}: {record.message} [{record.code}]")
        say(f"→ {record.remedy}")
        if record.next_check:
            moment = not_before(record.next_check)
            say(f"  failed attempts: {record.attempts}; the next check is at {moment}")
        if more := reference(record.code):
            say(f"  more: {more}")
    elif record.not_after:
        state = f"covered by {wildcard}" if (wildcard := _covered_by(name, record)) else "in service"
        say(f"{name}: {state}, valid until {record.not_after:%Y-%m-%d %H:%M} UTC")
    else:
        say(f"{name}: no certificate yet")
    if record.forced and (since := record.forced.pending_since):
        by = f" by {record.forced.by}" if record.forced.by else ""
        moment = f"{since:%Y-%m-%d %H:%M} UTC"
        remedy = f"to end it and remove the name: certworker remove {quote(name)}"
        say(f"  pending: a forced request, made{by} at {moment}; {remedy}")


def _covered_by(name: str, record: DomainRecord | None) -> str:
    """
    Return the wildcard that covers *name* according to *record*; empty if the name is not covered.
    """
    return (covering_wildcard(name) or "") if record and record.state == "covered" else ""


def _as_json(name: str, record: DomainRecord | None, history: list[HistoryEntry]) -> dict[str, object]:
    code = record.code if record else ""
    forced = record.forced.pending_since if record and record.forced else None
    return {
        "name": name,
        "state": record.state if record else "",
        "by": _covered_by(name, record),
        "code": code,
        "message": record.message if record else "",
        "remedy": record.remedy if record else "",
        "docs": reference(code),
        "forced_at": f"{forced:%Y-%m-%dT%H:%M:%SZ}" if forced else None,
        "events": [
            {"ts": f"{event.moment:%Y-%m-%dT%H:%M:%SZ}", "level": event.level.lower(), "text": event.text}
            for event in history
        ],
    }
