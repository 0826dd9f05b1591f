"""
The figures of a benchmark, and their table.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

WIDTH = 100


class Skipped(Exception):
    """
    A benchmark cannot run here. The text is the reason.
    """


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

    @property
    def key(self) -> str:
        """
        The identity of the line, which is the same in each run.
        """
        return f"{self.benchmark}: {self.subject.strip()}"

    @property
    def measured(self) -> str:
        """
        The value with its unit.
        """
        return f"{_number(self.value)} {self.unit}".rstrip()

    @property
    def promise(self) -> str:
        """
        The limit with its sign, or an empty text.
        """
        if self.bar is None:
            return ""
        return f"{'≤' if self.good == 'below' else '≥'} {_number(self.bar)}"


def table(figures: Iterable[Figure], notes: Sequence[str], earlier: Mapping[str, float] | None = None) -> str:
    """
    Return a table of the figures by benchmark, with *notes* below it.

    Args:
        figures: The figures of this run.
        notes: The explanations of the benchmarks.
        earlier: The values of an earlier run by :attr:`Figure.key`. They get a column with ratios.
    """
    headings = ("", "measured", "limit", "", *(("against the earlier run",) if earlier is not None else ()))
    rows: list[tuple[str, ...]] = []
    benchmark = ""
    for figure in figures:
        if figure.benchmark != benchmark:
            benchmark = figure.benchmark
            rows.append((benchmark,))
        result = "" if figure.bar is None else "ok" if figure.met else "MISSED"
        cells = (f"  {figure.subject}", figure.measured, figure.promise, result)
        rows.append(cells if earlier is None else (*cells, _against(figure, earlier)))
    full = [headings, *(row for row in rows if len(row) > 1)]
    widths = [max(len(row[column]) for row in full) for column in range(len(headings))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        for row in [headings, *rows]
    ]
    wrapped = [textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in notes]
    return "\n".join([*(line.rstrip() for line in lines), "", *wrapped])


def missed(figures: Iterable[Figure]) -> list[str]:
    """
    Return a line for each figure that misses its limit.
    """
    return [f"{each.key}: {each.measured}, limit {each.promise}" for each in figures if not each.met]


def as_json(figures: Iterable[Figure]) -> list[dict[str, object]]:
    """
    Return the figures for JSON.
    """
    return [asdict(figure) | {"key": figure.key, "met": figure.met} for figure in figures]


def progress(text: str) -> None:
    """
    Print the current step, so that a slow client does not appear to hang.
    """
    print(f"… {text}", file=sys.stderr, flush=True)


def _against(figure: Figure, earlier: Mapping[str, float]) -> str:
    value = earlier.get(figure.key)
    if value is None:
        return "new"
    return f"{figure.value / value:.2f} × {_number(value)}" if value else f"was {_number(value)}"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
