"""
The directories, the account's key, and the files that Traefik reads.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from certworker.acme.account import AccountFiles
from certworker.doctor.findings import Finding, Section
from certworker.errors import CertworkerError
from certworker.preflight.machine import nearly_full, non_persistent_directories
from certworker.settings import CaChoice, Settings
from certworker.storage import durable
from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.config import TraefikConfig

MACHINE = Section("Machine")


def storage(settings: Settings) -> Iterator[Finding]:
    """
    Whether what is written lasts, and whether Traefik can read it.
    """
    traefik = TraefikConfig(settings.config_dir)
    yield _directory(settings.certificates_dir, CertificateStore(settings.certificates_dir).check_writable)
    yield _directory(settings.config_dir, traefik.check_writable)
    for further in dict.fromkeys((settings.state_dir, settings.webroot)):
        # Those that are missing are made by the worker.
        if further and further != settings.certificates_dir and exists(further):
            yield _directory(further, partial(durable.check_writable, further))
    for risk in non_persistent_directories(settings):
        yield MACHINE.failure("volumes", risk)
    for choice in settings.authorities:
        yield _account(settings, choice)
    yield from _traefik(traefik)


def exists(path: Path) -> bool:
    """
    Whether *path* can be seen; why not, has a line of its own.
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
                    f"Mount a volume at {directory} in docker-compose.yml, then run: docker compose up -d"
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
        return MACHINE.skip(subject, f"none for {choice.title} yet; the worker makes one")
    mode = files.key_path.stat().st_mode & 0o777
    if mode & 0o077:
        return MACHINE.warn(
            subject, f"others may read {files.key_path} ({mode:o}).", f"Run: chmod 600 {files.key_path}"
        )
    known = "known to" if account.url or choice.directory_url is None else "not yet registered at"
    return MACHINE.ok(subject, f"readable by this user only, {known} {choice.title}")


def _traefik(traefik: TraefikConfig) -> Iterator[Finding]:
    subject = "Traefik's files"
    if not exists(traefik.directory):
        yield MACHINE.skip(subject, f"{traefik.directory} is not there")
        return
    try:
        broken, dangling, count = traefik.broken(), traefik.dangling(), traefik.count()
    except CertworkerError as failure:
        yield MACHINE.failure(subject, failure)
        return
    for unreadable in broken:
        yield MACHINE.failure(subject, unreadable)
    if dangling:
        yield MACHINE.warn(
            subject,
            f"{len(dangling)} of {count} name a certificate that is gone, for example {dangling[0]}.",
            f"Take it away, or ask for the certificate: certworker request {dangling[0].stem}",
        )
    if not broken and not dangling:
        yield MACHINE.ok(subject, f"{count}, all valid")
