"""
The file of `certworker doctor --report`, for bug reports.

The file contains versions, settings, findings, and recent history. Settings that may contain a secret are
masked. Every known secret of at least four characters is removed from all other strings, and so is every
e-mail address in the settings.
"""

from __future__ import annotations

import errno
import os
import platform
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from redis import Redis
from redis.exceptions import RedisError

from certworker.doctor.findings import Finding
from certworker.errors import CertworkerError
from certworker.observability.history import History
from certworker.redis.client import connected
from certworker.renewal.agenda import Agenda
from certworker.settings import Settings, load, variables
from certworker.settings.loading import secret_variables
from certworker.state.domain_records import DomainRecord, DomainRecords
from certworker.variables import IN_A_FILE, bare, content_of
from certworker.version import __version__

LIBRARIES = (
    *("click", "cryptography", "dnspython", "josepy", "pydantic", "pydantic-settings", "PyYAML", "redis"),
    *("requests", "rq", "urllib3", "waitress"),
)

#: Replaces a value that may be a secret.
MASK = "(set)"
#: Replaces a secret within a string.
REMOVED = "(secret)"
#: Characters. Shorter secrets are not removed, because they are parts of too many words.
SHORTEST_SECRET = 4
#: Characters. The path of a URL counts as a secret if it is at least this long.
SHORTEST_TOKEN = 8

#: The variables that are shown unchanged if all settings are valid. Other variables, and variables with
#: mistakes, may contain a secret.
SHOWN = frozenset(
    {
        *("_APP_ENV", "_APP_DOMAIN", "_APP_REDIS_HOST", "_APP_REDIS_PORT", "_APP_DNS", "_APP_SMTP_HOST"),
        *("_APP_SMTP_PORT", "_APP_SMTP_SECURE", "_APP_DOMAIN_TARGET", "_APP_DOMAIN_TARGET_CNAME"),
        *("_APP_DOMAIN_TARGET_A", "_APP_DOMAIN_TARGET_AAAA", "_APP_DOMAIN_TARGET_CAA"),
        *("_APP_CERTIFICATES_QUEUE_NAME", "CERTWORKER_AUTHORITY", "CERTWORKER_CA_BUNDLE"),
        *("CERTWORKER_CERTIFICATES_DIR", "CERTWORKER_CONFIG_DIR", "CERTWORKER_STATE_DIR"),
        *("CERTWORKER_HTTP_ADDRESS", "CERTWORKER_PROXY_ADDRESS", "CERTWORKER_WEBROOT"),
        *("CERTWORKER_CONCURRENCY", "CERTWORKER_KEY_TYPE", "CERTWORKER_PROFILE", "CERTWORKER_LIMITS_FILE"),
        *("CERTWORKER_PREFERRED_CHAIN", "CERTWORKER_PRIVATE_NETWORK", "CERTWORKER_HTTP01_PORT"),
        *("CERTWORKER_LOG", "CERTWORKER_LOG_LEVEL", "CERTWORKER_APPWRITE", "CERTWORKER_DOCKER_LABELS"),
        *("CERTWORKER_DOCKER_HOST", "CERTWORKER_DNS01_PROVIDER", "CERTWORKER_DNS01_NAMES"),
        *("CERTWORKER_DNS01_TIMEOUT", "_APP_DOMAIN_FUNCTIONS", "_APP_DOMAIN_SITES", "CERTWORKER_MOVED_CHECK"),
        "CERTWORKER_OWNERSHIP",
    }
)

#: Only the scheme, the host and the port of these URLs are shown, and `/…` for a path or a query.
URLS = ("CERTWORKER_NOTIFY_URL", "http_proxy", "https_proxy", "all_proxy")

#: The variables with e-mail addresses, which are separated by commas.
EMAILS = ("_APP_EMAIL_CERTIFICATES", "_APP_SYSTEM_SECURITY_EMAIL_ADDRESS", "_APP_SYSTEM_EMAIL_ADDRESS")

#: The maximum number of names whose history the file contains. Names with failures come first.
MOST_NAMES = 30
#: With more names on the agenda, the file contains no history.
MOST_ON_THE_AGENDA = 2_000


def report(environ: Mapping[str, str], findings: Iterable[Finding], now: datetime) -> dict[str, Any]:
    """
    Return the content of the file, ready for JSON.

    Args:
        environ: The environment.
        findings: The findings of the doctor.
        now: The current time.
    """
    settings = None
    with suppress(CertworkerError):
        settings = load(environ)
    content = {
        "made": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "versions": _versions(),
        "settings": _settings(environ, settings),
        "findings": [{**asdict(finding), "verdict": finding.verdict.name.lower()} for finding in findings],
        "redis": _of_redis(settings) if settings else {},
    }
    secrets = sorted(_secrets(environ, settings), key=len, reverse=True)
    cleaned: dict[str, Any] = _without(content, secrets)
    return cleaned


def _versions() -> dict[str, str]:
    versions = {"certworker": __version__, "Python": platform.python_version(), "system": platform.platform()}
    for library in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            versions[library] = metadata.version(library)
    return versions


def _settings(environ: Mapping[str, str], settings: Settings | None) -> dict[str, str]:
    known = variables()
    shown = {}
    for name, value in sorted(environ.items()):
        if value and name in SHOWN and settings:
            shown[name] = value
        elif value and (name in URLS or name.lower() in URLS) and settings:
            shown[name] = _origin(value)
        elif value and (name in known or name.lower() in URLS):
            shown[name] = MASK
    return shown


def _origin(value: str) -> str:
    try:
        url = urlsplit(value if "://" in value else f"http://{value}")
    except ValueError:
        return MASK  # The settings may still be valid: another variable may override this one.
    more = "/…" if url.path.strip("/") or url.query else ""
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{more}"


def _of_redis(settings: Settings) -> dict[str, Any]:
    try:
        with connected(settings.redis) as connection:
            return {
                "address": str(settings.redis),
                "version": _version_of(connection),
                "names": [_history(record, connection) for record in _records(connection)],
            }
    except CertworkerError as failure:
        return {"address": str(settings.redis), "failure": failure.as_json()}


def _version_of(connection: Redis) -> str:
    # The Redis user may lack the permission to read the version.
    with suppress(RedisError):
        server: Any = connection.info("server")
        return str(server.get("redis_version"))
    return "unknown"


def _records(connection: Redis) -> Iterator[DomainRecord]:
    agenda = Agenda(connection, lambda _moment: None)
    names = sorted(agenda.names()) if len(agenda) <= MOST_ON_THE_AGENDA else []
    known = [record for record in DomainRecords(connection).read_many(names) if record]
    return islice(sorted(known, key=lambda record: (not record.code, record.name)), MOST_NAMES)


def _history(record: DomainRecord, connection: Redis) -> dict[str, Any]:
    return {
        "name": record.name,
        "state": record.state,
        "code": record.code,
        "message": record.message,
        "attempts": record.attempts,
        "next_check": _written(record.next_check),
        "not_after": _written(record.not_after),
        "story": [
            f"{_written(event.moment)} {event.level} {event.text}"
            for event in History(connection).read(record.name)
        ],
    }


def _written(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None


def _secrets(environ: Mapping[str, str], settings: Settings | None) -> set[str]:
    """
    Return every secret and e-mail address in *environ* and *settings*, in every form in which it may appear,
    except those shorter than :data:`SHORTEST_SECRET`.
    """
    names = secret_variables(environ)
    found = {bare(name, environ.get(name, "")) for name in names}
    for name in names:
        with suppress(ValueError):
            found.add(bare(name, content_of(environ.get(f"{name}{IN_A_FILE}", ""))))
    for name in EMAILS:
        found |= {address.strip() for address in environ.get(name, "").split(",")}
    for name, value in environ.items():
        if name in URLS or name.lower() in URLS or name == "CERTWORKER_REDIS_URL":
            found |= _secrets_in_url(value)
    if settings:
        found |= _secrets_in_settings(settings)
    return {secret for secret in found if len(secret) >= SHORTEST_SECRET}


def _secrets_in_url(value: str) -> set[str]:
    authority, _, tokens = value.partition("://")[2].partition("/")
    user, _, password = authority.rpartition("@")[0].partition(":")
    # The URL of a receiver may contain a token in the path, or instead of a user name.
    parts = {password or user, tokens if len(tokens) >= SHORTEST_TOKEN else ""}
    return parts | set(map(unquote, parts))


def _secrets_in_settings(settings: Settings) -> set[str]:
    # The settings contain the form that is used: a key without padding, or a decoded password.
    used = {settings.redis.password or "", *settings.redis.sentinel_access.values()}
    for name in ("eab_hmac_key", "smtp_password", "notify_secret", "redis_password", "redis_url"):
        if secret := getattr(settings, name):
            used.add(secret.get_secret_value())
    with suppress(ValueError):
        used.update(settings.mail_recipients)
    return used | {settings.mail_sender}


def _without(content: Any, secrets: Sequence[str]) -> Any:
    if isinstance(content, str):
        for secret in secrets:
            content = content.replace(secret, REMOVED)
        return content
    if isinstance(content, Mapping):
        return {_without(key, secrets): _without(value, secrets) for key, value in content.items()}
    if isinstance(content, list):
        return [_without(member, secrets) for member in content]
    return content


def write(content: bytes, path: str) -> None:
    """
    Write *content* to the file *path*, which only its owner may read. Replace an existing file.

    Raises:
        OSError: The file cannot be written, or *path* is a link or not a regular file.
    """
    file = Path(path)
    if file.is_symlink() or (file.exists() and not file.is_file()):
        raise OSError(errno.EINVAL, "it is a link, or not a regular file")
    # A new file has a new mode and owner, and programs that opened the previous file do not read it.
    descriptor, temporary = tempfile.mkstemp(prefix=".certworker-report-", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as new:
            new.write(content)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink()
        raise
