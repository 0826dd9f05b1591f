"""
Asks every room how it is, cheap and local first, network next, the CA last.

It runs without Redis, without a volume and without a CA: each missing thing is a finding, not a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

from certworker.assembly import now_in_utc
from certworker.checks.eligibility import check_eligibility
from certworker.checks.machine import risks
from certworker.desks.opening import authority_of
from certworker.errors import CertworkerError, printable
from certworker.intake.connection import connected
from certworker.intake.queue import queue_length
from certworker.intake.redis_check import check_redis
from certworker.names import domain_name
from certworker.serving.traefik import Traefik
from certworker.serving.volume import Volume
from certworker.settings import AuthorityChoice, Settings, load


class Verdict(Enum):
    """
    What a finding means; the value is its mark on a terminal that has no symbols.
    """

    WELL = "OK"
    WARN = "WARN"
    FAIL = "FAIL"
    SKIPPED = "-"


@dataclass(frozen=True)
class Finding:
    """
    One line of the report.
    """

    section: str
    subject: str
    verdict: Verdict
    text: str
    remedy: str = ""
    code: str = ""


def examine(environ: Mapping[str, str]) -> Iterator[Finding]:
    """
    Every finding, one after the other, as soon as it is made.
    """
    try:
        settings = load(environ)
    except CertworkerError as failure:
        yield _failed("Settings", "environment", failure)
        return
    yield from _settings(settings)
    for directory, check in (
        (settings.certificates_dir, Volume(settings.certificates_dir).check_writable),
        (settings.config_dir, Traefik(settings.config_dir).check_writable),
    ):
        yield _volume(directory, check)
    for risk in risks(settings):
        yield Finding("Machine", "volumes", Verdict.WARN, risk.message, risk.remedy, risk.code)
    yield _redis(settings)
    for choice in settings.authorities:
        yield _authority(settings, choice)


def _settings(settings: Settings) -> Iterator[Finding]:
    for choice in settings.authorities:
        yield Finding("Settings", "authority", Verdict.WELL, choice.title)
        yield _asked("Settings", "eligibility", partial(check_eligibility, settings, choice), "complete")
    if settings.email_remark:
        yield Finding("Settings", "e-mail", Verdict.WARN, settings.email_remark)
    well_formed = partial(domain_name, private=settings.authority.private_names)
    for given in settings.domains:
        yield _asked("Settings", "_APP_DOMAIN", partial(well_formed, given), printable(given))


def _volume(directory: Path, check: Callable[[], None]) -> Finding:
    if directory.is_dir():
        return _asked("Machine", str(directory), check, "writable")
    remedy = f"Mount the volume at {directory} in docker-compose.yml, then run: docker compose up -d"
    return Finding("Machine", str(directory), Verdict.FAIL, "There is no such directory.", remedy)


def _redis(settings: Settings) -> Finding:
    where = f"{settings.redis_host}:{settings.redis_port}"
    try:
        with connected(settings) as connection:
            check_redis(connection)
            waiting = queue_length(connection)
    except CertworkerError as failure:
        return _failed("Machine", "redis", failure)
    return Finding("Machine", "redis", Verdict.WELL, f'{where}, queue "certificates": {waiting} waiting')


def _authority(settings: Settings, choice: AuthorityChoice) -> Finding:
    url = choice.directory_url
    if url is None:
        return Finding("Machine", "CA", Verdict.WELL, "embedded; it runs inside the worker")
    return _asked("Machine", "CA", authority_of(settings, choice, url, now_in_utc).check, f"{url} answers")


def _asked(section: str, subject: str, question: Callable[[], object], well: str) -> Finding:
    try:
        question()
    except CertworkerError as failure:
        return _failed(section, subject, failure)
    return Finding(section, subject, Verdict.WELL, well)


def _failed(section: str, subject: str, failure: CertworkerError) -> Finding:
    return Finding(section, subject, Verdict.FAIL, failure.message, failure.remedy, failure.code)
