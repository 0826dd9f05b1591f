"""
`certworker doctor`: what is wrong on this machine, and what to change.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.text import Text

from certworker.doctor import Finding, Verdict, examine
from certworker.version import __version__

MARKS = {
    Verdict.WELL: ("✔", "green"),
    Verdict.WARN: ("!", "yellow"),
    Verdict.FAIL: ("✘", "red"),
    Verdict.SKIPPED: ("–", "dim"),
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--strict", is_flag=True, help="Exit code 1 for warnings.")
def command(as_json: bool, strict: bool) -> None:
    """
    Check settings, volumes, Redis and the CA, and say what to change.

    Exit code 0 if all is well, 1 for warnings with --strict, 2 for failures.

    \b
    Example:
      certworker doctor
    """
    console = Console(highlight=False, soft_wrap=True)
    findings: list[Finding] = []
    if not as_json:
        console.print(f"certworker {__version__} · {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    for finding in examine(os.environ):
        if as_json:
            click.echo(json.dumps(_as_json(finding)))
        else:
            _show(console, finding, first=not findings or findings[-1].section != finding.section)
        findings.append(finding)
    failures = sum(finding.verdict is Verdict.FAIL for finding in findings)
    warnings = sum(finding.verdict is Verdict.WARN for finding in findings)
    if not as_json:
        console.print(f"\n{_counted(failures, 'problem')}, {_counted(warnings, 'warning')}.")
    sys.exit(2 if failures else 1 if warnings and strict else 0)


def _show(console: Console, finding: Finding, first: bool) -> None:
    if first:
        console.print(f"\n{finding.section}")
    symbol, colour = MARKS[finding.verdict]
    mark = symbol if console.is_terminal and not console.no_color else finding.verdict.value
    console.print(Text.assemble("  ", (f"{mark:<4}", colour), f" {finding.subject:<24} {finding.text}"))
    if finding.remedy:
        console.print(Text(f"{'':>7}→ {finding.remedy}"))


def _as_json(finding: Finding) -> dict[str, str]:
    return {
        "section": finding.section,
        "subject": finding.subject,
        "verdict": finding.verdict.name.lower(),
        "text": finding.text,
        "remedy": finding.remedy,
        "code": finding.code,
    }


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
