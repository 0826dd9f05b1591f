"""
The figures of a benchmark, and their table.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

HEADINGS = ("", "measured", "bar", "")
WIDTH = 100


@dataclass(frozen=True)
class Figure:
    """
    One line of the table.
    """

    #: The title of the benchmark.
    benchmark: str
    #: The measured program or operation.
    subject: str
    value: float
    #: "ms", "certificates/s", "× the floor" …
    unit: str
    #: The limit of certworker. None means that the line is only for comparison.
    bar: float | None = None
    #: The side of the limit on which a figure meets it.
    good: Literal["below", "above"] = "below"

    @property
    def met(self) -> bool:
        """
        Whether the figure meets its limit. A figure without a limit always does.
        """
        if self.bar is None:
            return True
        return self.value <= self.bar if self.good == "below" else self.value >= self.bar


def table(figures: Iterable[Figure], notes: Sequence[str]) -> str:
    """
    Return a table of the figures by benchmark, with *notes* below it.
    """
    rows: list[tuple[str, ...]] = []
    benchmark = ""
    for figure in figures:
        if figure.benchmark != benchmark:
            benchmark = figure.benchmark
            rows.append((benchmark,))
        rows.append((f"  {figure.subject}", f"{_number(figure.value)} {figure.unit}", *_promise(figure)))
    cells = [HEADINGS, *(row for row in rows if len(row) > 1)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        for row in [HEADINGS, *rows]
    ]
    wrapped = [textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in notes]
    return "\n".join([*(line.rstrip() for line in lines), "", *wrapped])


def as_json(figures: Iterable[Figure]) -> list[dict[str, object]]:
    """
    Return the figures for JSON.
    """
    return [asdict(figure) | {"met": figure.met} for figure in figures]


def progress(text: str) -> None:
    """
    Print the current step, so that a slow client does not appear to hang.
    """
    print(f"… {text}", file=sys.stderr, flush=True)


def _promise(figure: Figure) -> tuple[str, str]:
    if figure.bar is None:
        return "", ""
    sign = "≤" if figure.good == "below" else "≥"
    return f"{sign} {_number(figure.bar)}", "ok" if figure.met else "MISSED"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
