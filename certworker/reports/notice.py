"""
What a human is told: once when something begins, once when it is over, never once per attempt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any, Literal

from certworker.errors import printable

#: `failed`: for the first time. `overdue`: it is getting late. `action`: nothing goes on without a human.
#: `recovered`: it is over.
Kind = Literal["failed", "overdue", "action", "recovered"]

HEADLINES: dict[Kind, str] = {
    "failed": "no certificate could be issued",
    "overdue": "its certificate ends soon, and every renewal has failed so far",
    "action": "somebody has to do something",
    "recovered": "all is well again",
}

#: In this order, worst first.
URGENCY: tuple[Kind, ...] = ("action", "overdue", "failed", "recovered")

#: The fields of a notice that are texts.
TEXTS = ("kind", "name", "code", "message", "remedy", "next_attempt")

#: Characters. A message or a remedy may end with a link, which is of use as a whole only.
LONGEST_TEXT = 5_000


@dataclass(frozen=True)
class Notice:
    """
    One thing to know about one name.
    """

    kind: Kind
    name: str
    code: str
    message: str
    remedy: str
    #: Of the certificate in service, rounded down; None without one.
    days_left: int | None
    #: ISO 8601; empty if no attempt is planned.
    next_attempt: str

    def as_json(self) -> dict[str, Any]:
        """
        The notice for the outbox and for a hook.
        """
        return asdict(self)


def read(text: str) -> Notice | None:
    """
    Return the notice in *text*, which anyone who can write to Redis may have written; None: it is none.
    """
    try:
        letter = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(letter, dict):
        return None
    texts = {field: letter.get(field) for field in TEXTS}
    days_left = letter.get("days_left")
    if not all(isinstance(each, str) for each in texts.values()) or texts["kind"] not in HEADLINES:
        return None
    if isinstance(days_left, bool) or not isinstance(days_left, int | None) or not texts["name"]:
        return None
    shown = {field: printable(each, LONGEST_TEXT) for field, each in texts.items()}
    return Notice(**shown, days_left=days_left)  # type: ignore[arg-type]


def sort(notices: Iterable[Notice]) -> list[Notice]:
    """
    Return *notices*, the worst first.
    """
    return sorted(notices, key=lambda notice: (URGENCY.index(notice.kind), notice.name))


def subject(notices: Sequence[Notice]) -> str:
    """
    The subject of a mail about *notices*.
    """
    worst = notices[0]
    others = f" (and {len(notices) - 1} others)" if len(notices) > 1 else ""
    return f"certworker: {worst.name}{others}: {HEADLINES[worst.kind]}"


def plain(notices: Sequence[Notice]) -> str:
    """
    The mail as plain text.
    """
    return "\n\n".join("\n".join(_lines(notice)) for notice in notices) + "\n"


def html(notices: Sequence[Notice]) -> str:
    """
    The mail as simple HTML, with the same words.
    """
    parts = []
    for notice in notices:
        headline, *lines = _lines(notice)
        parts.append(f"<h3>{escape(headline)}</h3><p>{'<br>'.join(map(escape, lines))}</p>")
    return f"<!doctype html><html><body>{''.join(parts)}</body></html>\n"


def _lines(notice: Notice) -> list[str]:
    lines = [f"{notice.name}: {HEADLINES[notice.kind]}"]
    if notice.message:
        lines += [f"Cause: {notice.message} [{notice.code}]", f"What to do: {notice.remedy}"]
    if notice.days_left is None:
        lines.append("There is no certificate in service.")
    else:
        lines.append(f"The certificate in service is valid for {notice.days_left} more days.")
    if notice.next_attempt:
        lines.append(f"certworker tries again by itself: {notice.next_attempt}")
    return lines
