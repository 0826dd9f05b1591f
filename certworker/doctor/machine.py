"""
Whether this machine can do its work, in the order of the report.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from certworker.doctor.findings import Finding, Verdict
from certworker.doctor.network import DirectoryProbe, certificate_authority, clock, redis
from certworker.doctor.storage import storage
from certworker.settings import Settings
from certworker.supervision import log_unexpected

logger = logging.getLogger(__name__)

#: What is no news to a worker that starts: it is on its way to the queue itself.
OF_THE_WORKER = ("worker",)


def machine(settings: Settings, reached: Sequence[DirectoryProbe]) -> Iterator[Finding]:
    """
    Clock, directories, keys, Traefik's files, Redis, the CAs.
    """
    yield from clock(reached[0])
    yield from storage(settings)
    yield from redis(settings)
    yield from map(certificate_authority, reached)


def log_findings(findings: Iterator[Finding]) -> None:
    """
    Put what is wrong into the log, each as a line; one line if nothing is.
    """
    try:
        wrong = [
            finding
            for finding in findings
            if finding.verdict in (Verdict.WARN, Verdict.FAIL) and finding.subject not in OF_THE_WORKER
        ]
    except Exception as error:
        log_unexpected("the check of this machine", error)
        return
    for finding in wrong:
        code = f"[{finding.code}] " if finding.code else ""
        logger.warning(
            "machine: %s: %s%s %s",
            finding.subject,
            code,
            finding.text,
            finding.remedy,
            extra={"event": "start", "code": finding.code or None},
        )
    if not wrong:
        logger.info("machine: all well", extra={"event": "start"})
