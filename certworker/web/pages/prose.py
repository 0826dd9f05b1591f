"""
The explanations of failures as parts that a template escapes.

The explanations are Markdown with paragraphs, indented commands, code and links. All of them are in the
package, so their links are safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent
from typing import Literal

_SPAN = re.compile(r"`([^`]+)`|<(https?://[^>\s]+)>")


@dataclass(frozen=True)
class Span:
    """
    A part of a paragraph.
    """

    kind: Literal["text", "code", "link"]
    text: str


@dataclass(frozen=True)
class Block:
    """
    A paragraph, or commands.

    Attributes:
        commands: The commands; empty for a paragraph.
        spans: The parts of the paragraph.
    """

    commands: str = ""
    spans: tuple[Span, ...] = ()


def blocks(markdown: str) -> Iterator[Block]:
    """
    Yield the blocks of *markdown*.
    """
    for text in re.split(r"\n\s*\n", markdown.strip("\n")):
        if text.startswith("    "):
            yield Block(commands=dedent(text))
        elif text.strip():
            yield Block(spans=tuple(spans(" ".join(text.split()))))


def spans(text: str) -> Iterator[Span]:
    """
    Yield the parts of the paragraph *text*.
    """
    end = 0
    for found in _SPAN.finditer(text):
        if found.start() > end:
            yield Span("text", _unescaped(text[end : found.start()]))
        code, link = found.groups()
        yield Span("code", code) if code else Span("link", link)
        end = found.end()
    if end < len(text):
        yield Span("text", _unescaped(text[end:]))


def _unescaped(text: str) -> str:
    return text.replace("\\*", "*")
