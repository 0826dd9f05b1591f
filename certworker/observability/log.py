"""
The log: one line per step of a job, in the format `human` or `json`.

A `human` line contains the time in UTC, the level, the name (so that `grep` finds all of its lines), the
message, and then the fields as `key=value`::

    2026-11-23T10:15:09Z INFO  api.shop.org: certificate issued duration_s=4.1 serial=04ab…
    2026-11-23T10:15:31Z WARN  api.shop.org: certificate not issued: [http.404] Another server … attempt=1 …

The last field of a failure is `docs`: the command that prints its page, or the URL of the page.

A `json` line is one JSON object. It begins with those of these fields that have a value, in this order: ts,
level, event, code, docs, domain, job, trace_id, attempt, message, remedy, next_attempt, problem. A caller
passes `extra` with any of `domain`, `event`, `code` and `fields`.

Text from a job or a CA never starts another line. Each value of a failure is bounded separately, so the
remedy is always complete. A line of a library ends after 500 characters. The traceback of an unexpected error
follows its message at every level, in its own lines. In JSON, it is the field `trace`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from certworker.errors import LONGEST_SENTENCE, MAX_TEXT, printable
from certworker.errors.pages import reference_of
from certworker.errors.systemd import for_this_machine
from certworker.tracing.steps import current_trace_id

LEVELS = {
    logging.DEBUG: "DEBUG",
    logging.INFO: "INFO",
    logging.WARNING: "WARN",
    logging.ERROR: "ERROR",
    logging.CRITICAL: "FATAL",
}
FIXED_FIELDS = (
    *("ts", "level", "event", "code", "docs", "domain", "job", "trace_id", "attempt"),
    *("message", "remedy", "next_attempt", "problem"),
)
#: Each value in these fields is bounded separately.
SENTENCES = ("message", "remedy")

#: The message of a `human` line contains the values of these fields, or the fields are for programs.
NOT_SHOWN = {*SENTENCES, "code", "problem", "timings_ms"}

#: ECMA-48, "select graphic rendition": yellow, red, red.
COLORS = {"WARN": "\x1b[33m", "ERROR": "\x1b[31m", "FATAL": "\x1b[31m"}
NO_COLOR = "\x1b[0m"

#: Only a traceback of many chained errors or of very deep calls has more lines.
MOST_TRACE_LINES = 200

_job: ContextVar[str | None] = ContextVar("job", default=None)


def configure(
    form: Literal["human", "json"], level: str, stream: TextIO, docs_url: str | None = None
) -> None:
    """
    Write the log to *stream*: certworker's own lines from *level* on, those of libraries from WARNING on.

    Args:
        form: The format of the lines.
        level: `debug`, `info`, `warning` or `error`, in upper or lower case; `error` applies to libraries,
            too.
        stream: Colored if it is a terminal and NO_COLOR (https://no-color.org) is not set.
        docs_url: The site with the page of each failure; None: lines name the command that prints it.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler(stream)
    if form == "json":
        handler.setFormatter(JsonLines(docs_url))
    else:
        color = stream.isatty() and not os.environ.get("NO_COLOR")
        handler.setFormatter(HumanLines(docs_url, color=color))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(threshold, logging.WARNING))
    logging.getLogger("certworker").setLevel(threshold)
    # Under overload, this logger would write a line for each request.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    logging.captureWarnings(True)


@contextmanager
def job(job_id: str) -> Iterator[None]:
    """
    Mark the lines of this thread as those of the job *job_id*.
    """
    before = _job.set(job_id)
    try:
        yield
    finally:
        _job.reset(before)


class HumanLines(logging.Formatter):
    """
    Formats `human` lines.
    """

    def __init__(self, docs_url: str | None = None, *, color: bool) -> None:
        super().__init__()
        self.docs_url = docs_url
        self.color = color

    def format(self, record: logging.LogRecord) -> str:
        """
        Return the line of *record*, followed by the lines of its traceback.
        """
        level, subject = LEVELS.get(record.levelno, record.levelname), _subject(record)
        reference = _reference(record, self.docs_url)
        more = f" docs={_value(reference)}" if reference else ""
        first = " ".join([sentence(record), *_shown_fields(record)])
        lines = [printable(first + _fault(record), _longest(record)) + more, *_trace(record)]
        return "\n".join(self._line(record.created, level, subject, line) for line in lines)

    def _line(self, created: float, level: str, subject: str, text: str) -> str:
        shown = f"{level:5}"
        if self.color and level in COLORS:
            shown = f"{COLORS[level]}{shown}{NO_COLOR}"
        return f"{_moment(created):%Y-%m-%dT%H:%M:%SZ} {shown} {printable(subject)}{text}"


class JsonLines(logging.Formatter):
    """
    Formats `json` lines: one JSON object per line.
    """

    def __init__(self, docs_url: str | None = None) -> None:
        super().__init__()
        self.docs_url = docs_url

    def format(self, record: logging.LogRecord) -> str:
        """
        Return the object of *record*.
        """
        line: dict[str, object] = {
            "message": record.getMessage() + _fault(record),
            "event": getattr(record, "event", None),
            "code": getattr(record, "code", None),
            "docs": _reference(record, self.docs_url) or None,
            "domain": getattr(record, "domain", None),
            "job": _job.get(),
            "trace_id": current_trace_id() or None,
            **_fields(record),
            "ts": f"{_moment(record.created):%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03}Z",
            "level": LEVELS.get(record.levelno, record.levelname).lower(),
        }
        if not record.name.startswith("certworker"):
            line["logger"] = record.name
        if trace := _trace(record):
            line["trace"] = trace
        ordered = [name for name in FIXED_FIELDS if line.get(name) is not None]
        ordered += [name for name in line if name not in FIXED_FIELDS]
        shown = {name: _json(line[name], _longest(record, name)) for name in ordered}
        return json.dumps(shown, ensure_ascii=False)


def _moment(created: float) -> datetime:
    return datetime.fromtimestamp(created, UTC)


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = getattr(record, "fields", None) or {}
    remedy = fields.get("remedy")
    return {**fields, "remedy": for_this_machine(str(remedy))} if remedy else fields


def _reference(record: logging.LogRecord, docs_url: str | None) -> str:
    return reference_of(getattr(record, "code", None) or "", docs_url)


def _subject(record: logging.LogRecord) -> str:
    if domain := getattr(record, "domain", None):
        return f"{domain}: "
    if not record.name.startswith("certworker"):
        return f"{record.name.partition('.')[0]}: "
    return f"job {job_id}: " if (job_id := _job.get()) else ""


def sentence(record: logging.LogRecord) -> str:
    """
    Return the message of *record* with its code and remedy, without time, level, name and other fields.
    """
    message, code, fields = record.getMessage(), getattr(record, "code", None), _fields(record)
    parts = [message]
    if code and f"[{code}]" not in message:
        parts += [f"[{code}]", *(str(fields[name]) for name in SENTENCES if fields.get(name))]
    return " ".join(parts)


def _shown_fields(record: logging.LogRecord) -> list[str]:
    return [f"{name}={_value(value)}" for name, value in _fields(record).items() if _is_shown(name, value)]


def _is_shown(name: str, value: object) -> bool:
    return value is not None and name not in NOT_SHOWN


def _value(value: object) -> str:
    text = str(_json(value, MAX_TEXT))
    return json.dumps(text, ensure_ascii=False) if not text or re.search(r'[\s="]', text) else text


def _longest(record: logging.LogRecord, field: str = "message") -> int:
    is_bounded = record.name.startswith("certworker") and field in SENTENCES
    return LONGEST_SENTENCE if is_bounded else MAX_TEXT


def _fault(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    _, error, trace = record.exc_info
    steps = traceback.extract_tb(trace)
    location = f" at {Path(steps[-1].filename).name}:{steps[-1].lineno}" if steps else ""
    return f" ({type(error).__name__}{location}: {_text_of(error)})"


def _text_of(error: BaseException) -> str:
    try:
        return printable(error)
    except Exception:
        return "no text"


def _trace(record: logging.LogRecord) -> list[str]:
    if not record.exc_info or record.exc_info[1] is None:
        return []
    steps = traceback.format_exception(*record.exc_info)
    lines = [printable(line) for step in steps for line in step.splitlines()]
    if len(lines) <= MOST_TRACE_LINES:
        return lines
    # A traceback begins with the outermost call and ends with the error. Both are shown.
    half = MOST_TRACE_LINES // 2
    return [*lines[:half], f"… {len(lines) - 2 * half} lines left out …", *lines[-half:]]


def _json(value: object, longest: int) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, Mapping):
        return {printable(key): _json(each, MAX_TEXT) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_json(each, MAX_TEXT) for each in value]
    return printable(value, longest)
