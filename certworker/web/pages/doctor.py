"""
The doctor: runs the checks, and streams each finding when its check ends.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Semaphore

from flask import Response, abort, render_template, request, stream_template, url_for

from certworker.doctor.findings import Finding, Section, Verdict
from certworker.doctor.report import examine as run_checks
from certworker.web.access import allowed, current_access
from certworker.web.pages.appearance import Tone

logger = logging.getLogger(__name__)

#: A run uses a thread of the server for up to a minute, so only one run is possible at a time.
RUNNING = Semaphore(1)

LONGEST_NAME = 253

TONES: Mapping[Verdict, tuple[Tone, str]] = {
    Verdict.WELL: ("good", "passed"),
    Verdict.WARN: ("warn", "warning"),
    Verdict.FAIL: ("bad", "failed"),
    Verdict.SKIPPED: ("idle", "skipped"),
}

BUSY = Section("Doctor").skip("run", "another run is in progress; run the checks again when it ends")
STOPPED = Section("Doctor").fail(
    "run", "The run stopped because of an unexpected error.", "Read the log of certworker."
)


@dataclass(frozen=True)
class Line:
    """
    A finding, and how it is shown.

    Attributes:
        first: Whether the finding is the first of its section.
    """

    finding: Finding
    tone: Tone
    verdict: str
    first: bool


@allowed("read")
def doctor() -> str:
    """
    Return the form that starts the checks.
    """
    _require_operator()
    return render_template("pages/doctor.html", name=request.args.get("name", "")[:LONGEST_NAME])


@allowed("operate")
def examine() -> Response:
    """
    Run the checks, and stream the page: each finding appears when its check ends.
    """
    _require_operator()
    name = request.form.get("name", "").strip()[:LONGEST_NAME]
    page = stream_template(
        "pages/doctor.html",
        name=name,
        lines=_lines(_findings([name] if name else [])),
        api_url=url_for("api.examine_name", name=name) if name else None,
    )
    # Without this header, nginx buffers the whole response before it sends the beginning.
    return Response(page, headers={"X-Accel-Buffering": "no"})


def _require_operator() -> None:
    # The findings describe the machine, which the tenants share.
    if current_access().tenant is not None:
        abort(404)


def _findings(names: Sequence[str]) -> Iterator[Finding]:
    if not RUNNING.acquire(blocking=False):
        yield BUSY
        return
    try:
        yield from run_checks(os.environ, names)
    except Exception:
        # The beginning of the page has been sent, so no other page can report the error.
        logger.exception("the doctor, started from the page, stopped because of an unexpected error")
        yield STOPPED
    finally:
        RUNNING.release()


def _lines(findings: Iterator[Finding]) -> Iterator[Line]:
    section = ""
    for finding in findings:
        yield Line(finding, *TONES[finding.verdict], first=finding.section != section)
        section = finding.section
