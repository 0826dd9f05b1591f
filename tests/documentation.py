"""
The parts of the documentation that `make docs-generated` generates from the code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import groupby
from pathlib import Path

from certworker.errors import Retry, catalog
from certworker.errors.pages import page_of, remedy_of, template
from certworker.renewal.policy import RETRY_PAUSES
from certworker.web.api.openapi import openapi
from certworker.web.api.operations import OPERATIONS
from tests import man_pages, pictures
from tests.recording import session
from tests.reference import commands, labels, metrics, packages, process_metrics, redis_keys, settings
from tests.scenarios.scenario import all_scenarios

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
ERRORS = DOCS / "reference" / "errors"

API_DOCUMENT = DOCS / "reference" / "openapi.json"

#: The examples of this page build on each other. tests/test_queue_protocol.py runs them in order.
WITH_A_TEST_OF_ITS_OWN = DOCS / "reference" / "queue-protocol.md"

#: The description of each kind of failure.
KINDS = {
    Retry.NEVER: "The request is invalid",
    Retry.CONFIG: "The operator must change something",
    Retry.PREFLIGHT: "A preflight check finds the cause",
    Retry.CA: "The CA refuses after a validation",
    Retry.UNTIL: "A limit of the CA applies",
    Retry.SOON: "The fault disappears without a change",
}

UNITS = ((timedelta(days=1), "day"), (timedelta(hours=1), "hour"), (timedelta(minutes=1), "minute"))
REPEATED = {"day": "daily", "hour": "hourly"}


def failures() -> str:
    """
    Return one row for each code of the catalog, with a link to its page. ✓ marks a code with a scenario.
    """
    rows = ["| code | message | remedy | proved |", "|---|---|---|---|"]
    for kind in catalog():
        message, remedy = (
            text.replace("|", "\\|") for text in (template(kind.message_template), remedy_of(kind))
        )
        mark = "✓" if scenarios_of(kind.code) else ""
        rows.append(f"| [`{kind.code}`]({kind.code}.md) | {message} | {remedy} | {mark} |")
    return "\n".join(rows)


def scenarios_of(code: str) -> list[str]:
    """
    Return the titles of the scenarios that end with *code*.
    """
    return sorted({scenario.title for scenario in all_scenarios() if scenario.code == code})


def error_pages() -> dict[Path, str]:
    """
    Return the page of each failure by its path.
    """
    return {ERRORS / f"{kind.code}.md": error_page(kind.code) for kind in catalog()}


def error_page(code: str) -> str:
    """
    Return the page of the failure *code*: the output of the program, and the scenarios that cause the
    failure.
    """
    page = page_of(code)
    if titles := scenarios_of(code):
        page += "\n## Tests\n\nThese scenarios of `tests/scenarios` cause the failure:\n\n"
        page += "".join(f"* {title}\n" for title in titles)
    return page


def calls() -> str:
    """
    Return one row for each call of the API.
    """
    rows = ["| call | role | what it does |", "|---|---|---|"]
    for operation in OPERATIONS:
        summary = " ".join((operation.view.__doc__ or "").split())
        rows.append(f"| `{operation.method} {operation.path}` | `{operation.role}` | {summary} |")
    return "\n".join(rows)


def api_document() -> str:
    """
    Return the OpenAPI document.
    """
    return json.dumps(openapi(), indent=2) + "\n"


def pauses_of(retry: Retry) -> str:
    """
    Return the pauses of *retry* in words.
    """
    if retry is Retry.NEVER:
        return "not planned: send a correct request"
    if retry is Retry.UNTIL:
        return "at the time in the message, within a day"
    if retry is Retry.CONFIG:
        return "daily, and when certworker starts with other settings"
    words: list[str] = []
    for unit, group in groupby(map(_span, RETRY_PAUSES[retry].pauses), key=lambda span: span[1]):
        numbers = [number for number, _ in group]
        if unit in REPEATED:
            words.append(REPEATED[unit] + " for a day" * (unit == "hour" and len(numbers) == 24))
        else:
            words.append(
                f"after {' and '.join(filter(None, (', '.join(numbers[:-1]), numbers[-1])))} {unit}s"
            )
    return ", then ".join(words)


def retries() -> str:
    """
    Return one row for each kind of failure: its pauses, and the event that ends it.
    """
    rows = ["| kind of failure | next attempt | shortest pause | ends with |", "|---|---|---|---|"]
    for retry, pauses in RETRY_PAUSES.items():
        number, unit = _span(pauses.least)
        least = f"{number} {unit}{'s' * (number != '1')}"
        rows.append(f"| {KINDS[retry]} | {pauses_of(retry)} | {least} | {pauses.ends} |")
    return "\n".join(rows)


#: The function that generates each part, by the name in the part's marker.
PARTS: dict[str, Callable[[], str]] = {
    "session": session,
    "commands": commands,
    "settings": settings,
    "packages": packages,
    "metrics": metrics,
    "labels": labels,
    "process metrics": process_metrics,
    "failures": failures,
    "retries": retries,
    "calls": calls,
    "keys": partial(redis_keys, True),
    "foreign keys": partial(redis_keys, False),
}


def pages() -> list[Path]:
    """
    Return the pages of the documentation. The README is the first.
    """
    return [README, *sorted(DOCS.rglob("*.md"))]


def short(page: Path) -> str:
    """
    Return the path of *page*, relative to the project.
    """
    return str(page.relative_to(ROOT))


def blocks(language: str) -> list[tuple[str, str]]:
    """
    Return the fenced blocks of *language* in all pages. Each block has the path of its page.
    """
    return [
        (short(page), block)
        for page in pages()
        if page != WITH_A_TEST_OF_ITS_OWN
        for block in re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    ]


def renewed(text: str) -> str:
    """
    Return *text*, a page of the documentation, with its parts generated from the current code.
    """
    for part, make in PARTS.items():
        opening = f"<!-- {part}: made by `make docs-generated` -->\n"
        before, found, rest = text.partition(opening)
        if found:
            text = f"{before}{opening}{make()}\n{rest[rest.index('<!-- end -->') :]}"
    return text


def _span(span: timedelta) -> tuple[str, str]:
    for length, unit in UNITS:
        if not span % length:
            return f"{span / length:g}", unit
    return f"{span.total_seconds():g}", "second"


if __name__ == "__main__":
    for stale in set(ERRORS.glob("*.*.md")) - set(error_pages()):
        stale.unlink()
    for path, generated in error_pages().items():
        path.write_text(generated)
    for page in pages():
        page.write_text(renewed(page.read_text()))
    for stale in set(man_pages.PAGES.glob("*.1")) - set(man_pages.drawn()):
        stale.unlink()
    API_DOCUMENT.write_text(api_document())
    for path, drawing in {**pictures.drawn(), **man_pages.drawn()}.items():
        path.write_text(drawing)
