"""
`certworker explain --timings`: how long each step of the last attempts of a name took.

The last event of a job has the durations: see :mod:`certworker.observability.history`.
"""

from __future__ import annotations

from collections.abc import Sequence

from certworker.cli.output import say
from certworker.observability.history import HistoryEntry


def show_timings(name: str, history: Sequence[HistoryEntry]) -> None:
    """
    Print the attempts of *name* in its *history*: each step with its milliseconds and its share of the sum.

    Args:
        name: The name.
        history: The events of the name, the oldest first.
    """
    attempts = _attempts(history)
    if not attempts:
        say(f"{name}: no attempt in the history has timings")
    for number, attempt in enumerate(attempts):
        if number:
            say()
        _show_attempt(attempt)


def timings_json(name: str, history: Sequence[HistoryEntry]) -> dict[str, object]:
    """
    Return the attempts of *name* in its *history*, the oldest first, ready for JSON.
    """
    return {
        "name": name,
        "attempts": [
            {
                "ts": f"{attempt.moment:%Y-%m-%dT%H:%M:%SZ}",
                "level": attempt.level.lower(),
                "text": attempt.text,
                "sum_ms": _sum(attempt),
                "timings_ms": dict(attempt.timings_ms),
            }
            for attempt in _attempts(history)
        ],
    }


def _attempts(history: Sequence[HistoryEntry]) -> list[HistoryEntry]:
    return [event for event in history if event.timings_ms]


def _sum(attempt: HistoryEntry) -> float:
    return round(sum(attempt.timings_ms.values()), 1)


def _show_attempt(attempt: HistoryEntry) -> None:
    say(f"{attempt.moment:%Y-%m-%d %H:%M:%S} {attempt.level:<5} {attempt.text}")
    total = _sum(attempt)
    for step, duration in attempt.timings_ms.items():
        share = duration / total if total else 0
        say(f"  {step:<10}{duration:>12,.1f} ms{share:>6.0%}")
    say(f"  {'sum':<10}{total:>12,.1f} ms")
