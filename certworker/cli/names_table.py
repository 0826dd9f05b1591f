"""
The states of names as text: the details of one name, or a table that fits the terminal.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from certworker.cli.outcome import ordinal
from certworker.cli.output import reference, say
from certworker.minutes import not_before
from certworker.renewal.domain_status import URGENT, DomainState, DomainStatus
from certworker.renewal.policy import in_words
from certworker.worker.queue_stats import Queued

#: The colors of the states that a user has to fix, on a terminal.
COLORS = dict(zip(URGENT, ("red", "red", "yellow", "yellow", "yellow"), strict=True))

#: Descriptions of the states whose names are not clear.
MEANINGS = {
    "failing": "failing; the certificate in service is still valid",
    "no_certificate": "no certificate; the last attempt failed",
    "missing": "no certificate yet",
    "covered": "covered by a wildcard",
    "moved": "moved; it points to another server and is not renewed",
    "imported": "imported; certworker does not renew it",
}

#: Columns. A table does not shorten names below this width.
LEAST_WIDTH = 12


@dataclass(frozen=True)
class Files:
    """
    The files of the certificate of a name.
    """

    #: The paths of the four files, by `cert`, `chain`, `fullchain` and `privkey`.
    paths: dict[str, str]
    #: The issuers in the chain, from the issuer of the certificate upward.
    issuers: list[str]


def urgency(one: DomainState | DomainStatus) -> tuple[int, str]:
    """
    Return the sort key of *one* in a table: the most urgent names come first, equally urgent ones by name.
    """
    return URGENT.index(one.detail) if one.detail in URGENT else len(URGENT), one.name


def show_one(one: DomainStatus, files: Files | None, queued: Queued, now: datetime) -> None:
    """
    Print the fields of *one*, each on its own line.
    """
    for label, value in _fields(one, files, queued, now):
        say(f"{label:<12} {value}", color=COLORS.get(one.detail) if label == "state" else None)


def _fields(
    one: DomainStatus, files: Files | None, queued: Queued, now: datetime
) -> Iterator[tuple[str, str]]:
    position = f"requested, {ordinal(queued.position)} in the queue" if queued.position else ""
    yield "name", one.name
    yield "state", position if position and one.detail == "missing" else MEANINGS.get(one.detail, one.detail)
    if one.by:
        yield "covered by", one.by
    if one.not_after:
        yield "names", ", ".join(one.names)
        yield "valid until", f"{moment(one.not_after)} ({_left(one, now)})"
        yield "issuer", one.issuer
        if files and len(files.issuers) > 1:
            yield "chain", " < ".join(files.issuers)
        yield "serial", one.serial
        yield "authority", one.authority
        yield "renewal", f"from {planned(one.renewal)}" if one.renewal else "none"
    if one.forced_at:
        yield "forced", f"pending since {moment(one.forced_at)}; each attempt is forced until one succeeds"
    yield "next check", planned(one.next_check)
    if position and one.detail != "missing":
        yield "queue", position
    if one.code:
        yield "attempts", str(one.attempts)
        yield "last error", f"[{one.code}] {one.message}"
        yield "remedy", one.remedy
        if more := reference(one.code):
            yield "more", more
    if files:
        yield from files.paths.items()


def show_table(shown: Sequence[DomainStatus], now: datetime) -> None:
    """
    Print a header, and a line for each of *shown*. On a terminal, cut each line to the width of the terminal.
    """
    lines = [("NAME", "STATE", "VALID FOR", "NEXT CHECK", "LAST ERROR"), *(_cells(one, now) for one in shown)]
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if columns:
        widths[0] = min(widths[0], max(LEAST_WIDTH, columns // 3))
    colors = [None, *(COLORS.get(one.detail) for one in shown)]
    for cells, color in zip(lines, colors, strict=True):
        padded = (f"{_cut(cell, width):<{width}}" for cell, width in zip(cells, widths, strict=True))
        say(_cut("  ".join(padded).rstrip(), columns), color=color)


def moment(when: datetime | None) -> str:
    """
    Return *when*, in UTC, to the minute; "not planned" for None.
    """
    return f"{when:%Y-%m-%d %H:%M} UTC" if when else "not planned"


def planned(when: datetime | None) -> str:
    """
    Return the minute of a step that is planned for *when*, rounded up; "not planned" for None.
    """
    return not_before(when) if when else "not planned"


def _cells(one: DomainStatus, now: datetime) -> tuple[str, ...]:
    error = f"[{one.code}] {one.message}" if one.code else ""
    state = one.detail.replace("_", " ")
    return one.name, state, _left(one, now).removesuffix(" left"), planned(one.next_check), error


def _left(one: DomainStatus, now: datetime) -> str:
    if one.not_after is None:
        return "-"
    left = one.not_after - now
    return f"{in_words(left)} left" if one.not_after > now else f"expired {in_words(-left)} ago"


def _cut(text: str, width: int | None) -> str:
    return text if width is None or len(text) <= width else text[: width - 1] + "…"
