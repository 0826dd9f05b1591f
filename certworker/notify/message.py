"""
The content of a notification, as text, HTML and JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from html import escape
from typing import Any, Literal

from certworker.errors import printable
from certworker.errors.systemd import for_this_machine

#: `failed`: an attempt failed. `overdue`: a renewal failed, and the certificate expires soon or has expired.
#: `action`: the operator must act. `ending`: an imported certificate needs a successor. `recovered`: a valid
#: certificate is in service again. `test`: a test of the channels.
Kind = Literal["failed", "overdue", "action", "ending", "recovered", "test"]

#: The state of the certificate in service. `unknown`: the volume cannot be read, or it is a test.
InService = Literal["valid", "expired", "none", "unknown"]

HEADLINES: dict[Kind, str] = {
    "failed": "issuance failed",
    "overdue": "the renewal failed, and the certificate expires soon or has expired",
    "action": "action required",
    "ending": "the imported certificate needs a successor",
    "recovered": "recovered",
    "test": "test notification",
}

#: The most urgent kind comes first.
URGENCY: tuple[Kind, ...] = ("action", "overdue", "ending", "failed", "recovered", "test")

#: The string fields of a notification. An earlier version wrote only the fields in `TEXTS`.
TEXTS = ("kind", "name", "code", "message", "remedy", "next_attempt")
LATER_TEXTS = ("in_service", "moment", "id", "instance", "host", "docs")

IN_SERVICE: tuple[InService, ...] = ("valid", "expired", "none", "unknown")

#: The maximum number of characters of a string field. A message or a remedy may end with a link, which must
#: stay complete.
LONGEST_TEXT = 5_000


@dataclass(frozen=True)
class Notification:
    """
    A notification about a name, or a test.
    """

    kind: Kind
    name: str
    code: str
    message: str
    remedy: str
    in_service: InService
    #: The days until the certificate in service expires, rounded down; None unless it is valid.
    days_left: int | None
    #: ISO 8601; empty if no attempt is planned.
    next_attempt: str
    #: The time of the event, ISO 8601.
    moment: str
    #: Unique for each notification, and the same in each delivery by each channel.
    id: str
    #: The installation: its first main domain, or its Redis.
    instance: str
    #: The host name of the worker.
    host: str
    #: The page of `code`: a URL, or the command that prints it; empty without a failure.
    docs: str

    def as_json(self) -> dict[str, Any]:
        """
        Return the notification for the outbox and for a webhook.
        """
        return asdict(self)


def read(text: str) -> Notification | None:
    """
    Return the notification in *text*, which any program may have written to Redis; None if it is invalid.
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    texts = {field: fields.get(field) for field in TEXTS} | {
        field: fields.get(field, "") for field in LATER_TEXTS
    }
    days_left = fields.get("days_left")
    given_kind, given_state = texts.pop("kind"), texts.pop("in_service")
    kind = next((known for known in HEADLINES if known == given_kind), None)
    if kind is None or not all(isinstance(value, str) for value in (given_state, *texts.values())):
        return None
    if isinstance(days_left, bool) or not isinstance(days_left, int | None) or not texts["name"]:
        return None
    in_service: InService = next((known for known in IN_SERVICE if known == given_state), "unknown")
    shown = {field: printable(value, LONGEST_TEXT) for field, value in texts.items()}
    shown["remedy"] = for_this_machine(shown["remedy"])
    return Notification(kind=kind, in_service=in_service, days_left=days_left, **shown)


def sort(notifications: Iterable[Notification]) -> list[Notification]:
    """
    Return *notifications* grouped by name, and for each name in the order of the outbox.

    The name with the most urgent last notification comes first.
    """
    by_name: dict[str, list[Notification]] = {}
    for notification in notifications:
        by_name.setdefault(notification.name, []).append(notification)
    # The times in the notifications do not decide, because the clocks of two workers may differ.
    groups = sorted(by_name.values(), key=lambda group: (URGENCY.index(group[-1].kind), group[-1].name))
    return [notification for group in groups for notification in group]


def subject(notifications: Sequence[Notification]) -> str:
    """
    Return the subject of a mail about the sorted *notifications*.

    It names the last event of the first name.
    """
    last = [notification for notification in notifications if notification.name == notifications[0].name][-1]
    others = len({notification.name for notification in notifications}) - 1
    more = f" and {others} more {'name' if others == 1 else 'names'}" if others else ""
    return f"certworker: {last.name}: {HEADLINES[last.kind]}{more}"


def plain(notifications: Sequence[Notification]) -> str:
    """
    Return the mail about *notifications* as plain text.
    """
    return (
        "\n\n".join("\n".join(_lines(notification)) for notification in notifications)
        + f"\n\n{_origin(notifications)}\n"
    )


def short(notifications: Sequence[Notification], longest: int) -> str:
    """
    Return a chat message about *notifications*, at most *longest* characters long.
    """
    shown = plain(notifications).rstrip()
    if len(shown) <= longest:
        return shown
    end = f"… {_origin(notifications)}"
    headlines = [f"{notification.name}: {HEADLINES[notification.kind]}" for notification in notifications]
    first = "\n".join(_lines(notifications[0]))
    if len(first) + len(end) < longest:
        headlines[0] = first
    text = ""
    for line in headlines:
        if len(text) + len(line) + 1 + len(end) > longest:
            break
        text += f"{line}\n"
    return text + end if text else f"{headlines[0][: longest - 1]}…"


def html(notifications: Sequence[Notification]) -> str:
    """
    Return the mail about *notifications* as simple HTML, with the text of :func:`plain`.
    """
    parts = []
    for notification in notifications:
        headline, *lines = _lines(notification)
        parts.append(f"<h3>{escape(headline)}</h3><p>{'<br>'.join(map(escape, lines))}</p>")
    parts.append(f"<p>{escape(_origin(notifications))}</p>")
    return f"<!doctype html><html><body>{''.join(parts)}</body></html>\n"


def iso(moment: datetime) -> str:
    """
    Return *moment*, which is in UTC, in the format of ISO 8601.
    """
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _lines(notification: Notification) -> list[str]:
    lines = [f"{notification.name}: {HEADLINES[notification.kind]}"]
    if notification.moment:
        lines.append(f"Time: {notification.moment}")
    if notification.kind == "test":
        return [*lines, notification.message, f"Id: {notification.id}"]
    if notification.message:
        lines += [f"Cause: {notification.message} [{notification.code}]", f"Remedy: {notification.remedy}"]
    if notification.docs:
        lines.append(f"More: {notification.docs}")
    if notification.in_service == "valid":
        left = notification.days_left
        days = {0: "less than a day", 1: "1 more day"}.get(left or 0, f"{left} more days")
        lines.append(f"The certificate in service is valid for {days}.")
    elif notification.in_service == "expired":
        lines.append("The certificate in service has expired.")
    elif notification.in_service == "none":
        lines.append("There is no certificate in service.")
    if notification.next_attempt:
        lines.append(f"Next attempt: {notification.next_attempt}")
    if notification.id:
        lines.append(f"Id: {notification.id}")
    return lines


def _origin(notifications: Sequence[Notification]) -> str:
    hosts = ", ".join(dict.fromkeys(notification.host for notification in notifications if notification.host))
    instances = ", ".join(
        dict.fromkeys(notification.instance for notification in notifications if notification.instance)
    )
    return f"certworker of {instances or 'unknown'} on {hosts or 'unknown'}"
