"""
Tests of the explanations of errors as parts.
"""

from __future__ import annotations

import re

from certworker.errors import catalog
from certworker.errors.pages import explanations, remedy_of, retry_of
from certworker.web.pages.prose import Block, Span, blocks

MARKDOWN = """Set `_APP_ENV`, and read
<https://example.org/a_b>.

    dig NAME
      | head

The path is /\\*."""


class TestBlocks:
    def test_paragraphs_commands_code_and_links(self) -> None:
        """
        Each block is a paragraph or commands, and each paragraph has its parts.
        """
        assert [
            Block(
                spans=(
                    Span("text", "Set "),
                    Span("code", "_APP_ENV"),
                    Span("text", ", and read "),
                    Span("link", "https://example.org/a_b"),
                    Span("text", "."),
                )
            ),
            Block(commands="dig NAME\n  | head"),
            Block(spans=(Span("text", "The path is /*."),)),
        ] == list(blocks(MARKDOWN))

    def test_only_web_pages_become_links(self) -> None:
        """
        Another scheme stays text.
        """
        (block,) = blocks("<javascript:alert(1)>")

        assert (Span("text", "<javascript:alert(1)>"),) == block.spans

    def test_no_mark_of_markdown_remains(self) -> None:
        """
        The parts of each explanation contain no mark of Markdown.
        """
        known = explanations()
        wrong = [
            f"{failure.code}: {span.text}"
            for failure in catalog()
            for markdown in (
                known[failure.code].cause,
                known[failure.code].check,
                remedy_of(failure),
                retry_of(failure),
            )
            for block in blocks(markdown)
            for span in block.spans
            if span.kind == "text" and re.search(r"`|\]\(|<http", span.text)
        ]

        assert not wrong, "\n".join(wrong)
