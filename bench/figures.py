"""
What a benchmark found, and the table that people read.
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

    #: The benchmark, in words.
    benchmark: str
    #: Who or what was measured.
    subject: str
    value: float
    #: "ms", "certificates/s", "× the floor" …
    unit: str
    #: What the product promises; None: this line is there to be compared with.
    bar: float | None = None
    #: Which side of the bar is good.
    good: Literal["below", "above"] = "below"

    @property
    def met(self) -> bool:
        """
        Whether the promise is kept; a line without a bar keeps all it promises.
        """
        if self.bar is None:
            return True
        return self.value <= self.bar if self.good == "below" else self.value >= self.bar


def table(figures: Iterable[Figure], notes: Sequence[str]) -> str:
    """
    The figures under the names of their benchmarks, then the *notes*.
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
    told = [textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in notes]
    return "\n".join([*(line.rstrip() for line in lines), "", *told])


def as_json(figures: Iterable[Figure]) -> list[dict[str, object]]:
    """
    The figures for machines.
    """
    return [asdict(figure) | {"met": figure.met} for figure in figures]


def progress(text: str) -> None:
    """
    Say what is being done, so that nobody takes a slow client for a hang.
    """
    print(f"… {text}", file=sys.stderr, flush=True)


def _promise(figure: Figure) -> tuple[str, str]:
    if figure.bar is None:
        return "", ""
    sign = "≤" if figure.good == "below" else "≥"
    return f"{sign} {_number(figure.bar)}", "ok" if figure.met else "MISSED"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
