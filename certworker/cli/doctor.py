"""
`certworker doctor`: the checks of the installation, with remedies.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.text import Text

from certworker.cli.output import LONGEST_LINE, reference, say, say_json
from certworker.doctor.attachment import report, write
from certworker.doctor.findings import Finding, Verdict
from certworker.doctor.report import examine
from certworker.errors import printable
from certworker.version import __version__

MARKS = {
    Verdict.WELL: ("✔", "green"),
    Verdict.WARN: ("!", "yellow"),
    Verdict.FAIL: ("✘", "red"),
    Verdict.SKIPPED: ("–", "dim"),
}


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option("--strict", is_flag=True, help="Return exit code 1 if there are only warnings.")
@click.option(
    "--staging-order",
    is_flag=True,
    help="Also order a certificate for each name from the staging CA; certworker never installs it.",
)
@click.option(
    "--report",
    "file",
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Also write a report without secrets to FILE, for a bug report. - means the standard output.",
)
def command(names: Sequence[str], as_json: bool, strict: bool, staging_order: bool, file: str | None) -> None:
    """
    Check settings, volumes, Redis, the CA, and each NAME, and show remedies.

    Without a NAME, the doctor checks the names in _APP_DOMAIN. If certworker knows at most 2,000 names, it
    also checks up to five names that have failed. Without --staging-order, it orders no certificate.

    The exit code is 2 if a check fails, 1 if there are only warnings and --strict is set, and otherwise 0.

    \b
    Example:
      certworker doctor api.example.org
    """
    # The findings contain everything that the modules would log.
    logging.getLogger("certworker").addHandler(logging.NullHandler())
    # With `--report -`, the standard output contains only the report.
    console = Console(highlight=False, soft_wrap=True, quiet=file == "-")
    findings: list[Finding] = []
    if not as_json:
        console.print(f"certworker {__version__} · {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    for finding in examine(os.environ, names, staging_order=staging_order):
        if as_json and file != "-":
            say_json(_as_json(finding))
        else:
            _show(console, finding, first=not findings or findings[-1].section != finding.section)
        findings.append(finding)
    if file:
        _write(findings, file)
    failures = sum(finding.verdict is Verdict.FAIL for finding in findings)
    warnings = sum(finding.verdict is Verdict.WARN for finding in findings)
    if not as_json:
        total = f"{_counted(failures, 'problem')}, {_counted(warnings, 'warning')}."
        console.print(f"\n{total}{' Follow the remedies, then run the checks again.' if failures else ''}")
    sys.exit(2 if failures else 1 if warnings and strict else 0)


def _write(findings: Sequence[Finding], file: str) -> None:
    content = json.dumps(report(os.environ, findings, datetime.now(UTC)), indent=2)
    if file == "-":
        click.echo(content)
        return
    try:
        write(f"{content}\n".encode(), file)
    except OSError as error:
        raise click.FileError(file, error.strerror or str(error)) from error
    say(f"Wrote {file}. Read it before you attach it: it contains your domains.", err=True)


def _show(console: Console, finding: Finding, first: bool) -> None:
    if first:
        console.print(Text(f"\n{printable(finding.section)}"))
    symbol, color = MARKS[finding.verdict]
    rich = _is_rich(console)
    mark = f"{symbol} " if rich else f"{finding.verdict.value:<4} "
    text, remedy = (printable(part, LONGEST_LINE) for part in (finding.text, finding.remedy))
    console.print(Text.assemble("  ", (mark, color), f"{printable(finding.subject):<24} {text}"))
    if remedy:
        console.print(Text(f"{'':>{29 if rich else 32}}{'→' if rich else '->'} {remedy}"))


def _is_rich(console: Console) -> bool:
    locale = os.environ.get("LC_ALL") or os.environ.get("LANG")
    return console.is_terminal and not console.no_color and locale not in ("C", "POSIX")


def _as_json(finding: Finding) -> dict[str, str]:
    return {
        "section": finding.section,
        "subject": finding.subject,
        "verdict": finding.verdict.name.lower(),
        "text": finding.text,
        "remedy": finding.remedy,
        "code": finding.code,
        "docs": reference(finding.code),
    }


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
