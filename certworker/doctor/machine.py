"""
The checks of this machine: directories, keys, Traefik's files, and the network.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from shlex import quote

from certworker.acme.account import AccountFiles
from certworker.doctor.findings import MACHINE, Finding, Verdict
from certworker.doctor.network import DirectoryProbe, certificate_authority, clock, redis
from certworker.errors import CertworkerError
from certworker.preflight.machine import nearly_full, non_persistent_directories
from certworker.settings import CaChoice, Settings
from certworker.storage import durable
from certworker.storage.certificate_store import CertificateStore
from certworker.supervision import log_unexpected
from certworker.traefik.config import TraefikConfig

logger = logging.getLogger(__name__)

#: The subjects of findings that the worker ignores when it starts: its scheduler may not have the lock yet.
OF_THE_WORKER = ("worker",)


def machine(settings: Settings, reached: Sequence[DirectoryProbe]) -> Iterator[Finding]:
    """
    Yield the findings about the clock, directories, keys, Traefik's files, Redis, and the CAs.
    """
    yield from clock(reached[0])
    yield from storage(settings)
    yield from redis(settings)
    yield from map(certificate_authority, reached)


def log_findings(findings: Iterator[Finding]) -> None:
    """
    Log a line for each problem in *findings*, or one line if there is no problem.
    """
    try:
        problems = [
            finding
            for finding in findings
            if finding.verdict in (Verdict.WARN, Verdict.FAIL) and finding.subject not in OF_THE_WORKER
        ]
    except Exception as error:
        log_unexpected("the check of this machine", error)
        return
    for finding in problems:
        code = f"[{finding.code}] " if finding.code else ""
        logger.warning(
            "machine: %s: %s%s %s",
            finding.subject,
            code,
            finding.text,
            finding.remedy,
            extra={"event": "start", "code": finding.code or None},
        )
    if not problems:
        logger.info("machine: no problem found", extra={"event": "start"})


def storage(settings: Settings) -> Iterator[Finding]:
    """
    Yield the findings about directories and their mounts, account keys, and Traefik's files.
    """
    traefik = TraefikConfig(settings.config_dir)
    yield _directory(settings.certificates_dir, CertificateStore(settings.certificates_dir).check_writable)
    yield _directory(settings.config_dir, traefik.check_writable)
    for further in dict.fromkeys((settings.state_dir, settings.webroot)):
        # The worker creates missing directories.
        if further and further != settings.certificates_dir and exists(further):
            yield _directory(further, partial(durable.check_writable, further))
    for risk in non_persistent_directories(settings):
        yield MACHINE.failure("volumes", risk)
    for choice in settings.authorities:
        yield _account(settings, choice)
    yield from _traefik(traefik)


def exists(path: Path) -> bool:
    """
    Return whether *path* exists; False if that cannot be determined. Another line of the report shows the
    failure.
    """
    try:
        return path.exists()
    except OSError:
        return False


def _directory(directory: Path, probe: Callable[[], None]) -> Finding:
    subject = str(directory)
    try:
        with durable.translate_os_errors(directory):
            if not directory.is_dir():
                remedy = (
                    f"Create {directory} for the user of the worker, or mount a volume there in "
                    "the Compose file, then run: docker compose up -d"
                )
                return MACHINE.fail(subject, "There is no such directory.", remedy)
        probe()
        if full := nearly_full(directory, os.statvfs(directory)):
            return MACHINE.warn(subject, full.message, full.remedy, full.code)
    except CertworkerError as failure:
        return MACHINE.failure(subject, failure)
    return MACHINE.ok(subject, f"writable, {shutil.disk_usage(directory).free / 1e9:.0f} GB free")


def _account(settings: Settings, choice: CaChoice) -> Finding:
    subject = "account key"
    files = AccountFiles(settings.state_dir / "accounts" / choice.label, choice.directory_url or "")
    try:
        account = files.read()
    except CertworkerError as failure:
        return MACHINE.failure(subject, failure)
    if account is None:
        text = f"none for {choice.title} yet; the worker creates it before its first order"
        return MACHINE.skip(subject, text)
    mode = files.key_path.stat().st_mode & 0o777
    if mode & 0o077:
        return MACHINE.warn(
            subject,
            f"Other users have access to {files.key_path} ({mode:o}).",
            "Restrict the access to its owner: "
            f"docker compose exec SERVICE chmod 600 {quote(str(files.key_path))}",
        )
    known = "known to" if account.url or choice.directory_url is None else "not yet registered with"
    return MACHINE.ok(subject, f"readable by this user only, {known} {choice.title}")


def _traefik(traefik: TraefikConfig) -> Iterator[Finding]:
    subject = "Traefik's files"
    if not exists(traefik.directory):
        yield MACHINE.skip(subject, f"{traefik.directory} does not exist")
        return
    try:
        broken, dangling, count = traefik.broken(), traefik.dangling(), traefik.size().certificates
        many = traefik.many_certificates()
    except CertworkerError as failure:
        yield MACHINE.failure(subject, failure)
        return
    for unreadable in broken:
        yield MACHINE.failure(subject, unreadable)
    if dangling:
        yield MACHINE.warn(
            subject,
            f"{len(dangling)} of {count} certificates are missing, for example {dangling[0][1]}.",
            f"Remove the name, or request its certificate: certworker request {quote(dangling[0][0])}",
        )
    if many:
        yield MACHINE.failure(subject, many)
    if not (broken or dangling or many):
        yield MACHINE.ok(subject, f"{count}, all valid")
