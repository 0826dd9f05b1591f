"""
Pictures of the documentation, made from text: `make docs-generated` writes them, a test compares them.

The text of a picture has one line for each box: `box: remark`. An arrow leads from each box to the next one.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

IMAGES = Path(__file__).parent.parent / "docs" / "images"

WIDTH, HEIGHT, GAP, MARGIN = 250, 44, 22, 12
REMARK = 470

STYLE = """\
text { font: 14px system-ui, sans-serif; fill: #1f2328 }
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


def write() -> None:
    """
    Write the SVG of each text in docs/images.
    """
    for source in IMAGES.glob("*.txt"):
        source.with_suffix(".svg").write_text(picture(source.read_text()))
