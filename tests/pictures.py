"""
The pictures of the documentation. `make docs-generated` draws them from text, and a test compares them.

The text of a picture has one line for each box: `box: remark`. An arrow connects each box to the next box.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

IMAGES = Path(__file__).parent.parent / "docs" / "images"

WIDTH, HEIGHT, GAP, MARGIN = 250, 44, 22, 12
REMARK = 540

#: The number of columns, the width of a character, and the heights of a line and of the title bar.
COLUMNS, CHARACTER, LINE, BAR = 110, 7.83, 18, 34

TERMINAL_STYLE = """\
rect { fill: #161b22 }
circle { fill: #484f58 }
text { font: 13px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #c9d1d9 }
.title { font: 13px system-ui, sans-serif; fill: #8b949e }
.c1 { font-weight: bold; fill: #ffffff }
.c31 { fill: #ff7b72 }
.c32 { fill: #7ee787 }
.c33 { fill: #e3b341 }"""

STYLE = """\
text { font: 14px system-ui, "DejaVu Sans", sans-serif; fill: #1f2328 }
.remark { font-size: 13px; fill: #59636e }
rect { fill: #ddf4ff; stroke: #0969da }
.arrow { stroke: #59636e; stroke-width: 1.5; fill: none }
.head { fill: #59636e }
.paper { fill: #ffffff; stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .remark { fill: #9198a1 }
  rect { fill: #121d2f; stroke: #4493f8 }
  .paper { fill: #0d1117 }
}"""


def picture(text: str) -> str:
    """
    Return the SVG of *text*.
    """
    lines = [line for line in text.splitlines() if line]
    height = 2 * MARGIN + len(lines) * HEIGHT + (len(lines) - 1) * GAP
    width = 2 * MARGIN + WIDTH + REMARK
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{escape(' → '.join(line.partition(':')[0] for line in lines))}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    for number, line in enumerate(lines):
        box, _, remark = (escape(part.strip()) for part in line.partition(":"))
        top, middle = MARGIN + number * (HEIGHT + GAP), MARGIN + WIDTH / 2
        parts += [
            f'<rect x="{MARGIN}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
            f'<text x="{middle:g}" y="{top + 27}" text-anchor="middle">{box}</text>',
            f'<text class="remark" x="{MARGIN + WIDTH + 16}" y="{top + 27}">{remark}</text>',
        ]
        if number:
            parts += [
                f'<path class="arrow" d="M{middle:g} {top - GAP}V{top - 6}"/>',
                f'<path class="head" d="M{middle:g} {top}l-5 -8h10z"/>',
            ]
    return "\n".join([*parts, "</svg>", ""])


def terminal(text: str, title: str) -> str:
    """
    Return the SVG of a terminal with *text*. Escape sequences in *text* set colors and bold type.
    """
    lines = [_wrapped(line) for line in text.strip().splitlines()]
    rows = [row for line in lines for row in line]
    width = 2 * MARGIN + round(COLUMNS * CHARACTER)
    height = BAR + len(rows) * LINE + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{TERMINAL_STYLE}</style>",
        f'<rect width="{width}" height="{height}" rx="8"/>',
        *(f'<circle cx="{20 + 18 * number}" cy="16" r="5"/>' for number in range(3)),
        f'<text class="title" x="{width / 2:g}" y="21" text-anchor="middle">{escape(title)}</text>',
    ]
    for number, row in enumerate(rows):
        spans = "".join(f'<tspan class="c{code}">{escape(part)}</tspan>' for code, part in row if part)
        parts.append(
            f'<text x="{MARGIN}" y="{BAR + (number + 1) * LINE}" xml:space="preserve">{spans}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def drawn() -> dict[Path, str]:
    """
    Return the SVG of each text and of each recording in docs/images by its path.
    """
    pictures = {source.with_suffix(".svg"): picture(source.read_text()) for source in IMAGES.glob("*.txt")}
    recordings = {
        source.with_suffix(".svg"): terminal(source.read_text(), f"certworker {source.stem}")
        for source in IMAGES.glob("*.ansi")
    }
    return pictures | recordings


def _wrapped(line: str) -> list[list[tuple[str, str]]]:
    """
    Return the rows of *line* on a terminal. Each row has its parts with their attributes.
    """
    rows: list[list[tuple[str, str]]] = [[]]
    room = COLUMNS
    code = "0"
    for number, part in enumerate(re.split(r"\x1b\[([0-9;]*)m", line)):
        if number % 2:
            code = part or "0"
            continue
        rest = part
        while rest:
            rows[-1].append((code.replace(";", "-"), rest[:room]))
            rest, room = rest[room:], room - len(rest)
            if room <= 0:
                room = COLUMNS
                if rest:
                    rows.append([])
    return rows
