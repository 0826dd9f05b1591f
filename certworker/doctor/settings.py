"""
The checks of the environment.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path

from certworker.doctor.findings import Finding, Section
from certworker.domains import normalize, warnings_for
from certworker.errors import CertworkerError, printable
from certworker.errors.config import DomainIsLocalhost, EmailInvalid, EmailMissing, NotProduction
from certworker.errors.systemd import CONTAINER_MARKERS
from certworker.settings import Settings, contact_problem
from certworker.settings.web import LOOPBACK
from certworker.version import __version__

SETTINGS = Section("Settings")


def configuration(settings: Settings) -> Iterator[Finding]:
    """
    Yield the findings about the version, the environment, the CA, the e-mail address, the page, and the
    domains.
    """
    yield SETTINGS.ok(
        "version", f"certworker {__version__}, Python {platform.python_version()}, uid {os.geteuid()}"
    )
    yield _environment(settings)
    yield SETTINGS.ok("CA", ", then ".join(choice.title for choice in settings.authorities))
    yield from _email(settings)
    yield from _page(settings)
    if not settings.domains:
        yield SETTINGS.skip("_APP_DOMAIN", "none; the worker requests no main domain when it starts")
    for given in settings.domains:
        yield from _domain(settings, given)


def _environment(settings: Settings) -> Finding:
    public = [choice for choice in settings.authorities if choice.kind == "public"]
    if settings.production:
        return SETTINGS.ok("_APP_ENV", "production")
    if public:
        return SETTINGS.failure("_APP_ENV", NotProduction(authority=public[0].title))
    if settings.authority.kind == "private":
        return SETTINGS.ok("_APP_ENV", "not production; a private CA does not require it")
    return SETTINGS.warn(
        "_APP_ENV",
        f"not production: certificates come from {settings.authority.title}, which no browser trusts",
        "For trusted certificates, set _APP_ENV=production in .env, then run: docker compose up -d",
    )


def _email(settings: Settings) -> Iterator[Finding]:
    required = any(choice.kind == "public" for choice in settings.authorities)
    reason = contact_problem(settings.email) if settings.email else None
    if settings.email is None:
        optional = SETTINGS.ok("e-mail", "none; only public CAs and some private ones require one")
        yield SETTINGS.failure("e-mail", EmailMissing()) if required else optional
    elif reason and required:
        yield SETTINGS.failure("e-mail", EmailInvalid(reason=reason))
    else:
        yield SETTINGS.ok("e-mail", printable(settings.email))
    if settings.older_email and settings.older_email != settings.email:
        yield SETTINGS.warn(
            "e-mail",
            "_APP_EMAIL_CERTIFICATES and _APP_SYSTEM_SECURITY_EMAIL_ADDRESS differ; the first is used.",
            "Remove the second one from .env.",
        )
    elif settings.email == "certs@appwrite.io":
        yield SETTINGS.warn(
            "e-mail",
            "The e-mail address for certificates is Appwrite's default, not your own.",
            "Set _APP_EMAIL_CERTIFICATES=you@yourdomain",
        )


def _domain(settings: Settings, given: str) -> Iterator[Finding]:
    try:
        name = normalize(given, private=settings.authority.private_names, wildcards=settings.dns01.is_set)
    except DomainIsLocalhost as this_machine:
        yield SETTINGS.failure("_APP_DOMAIN", this_machine)
        return
    except CertworkerError as failure:
        # In a job, this is a mistake of a tenant, and a warning. Here it is a mistake of the operator.
        yield SETTINGS.fail("_APP_DOMAIN", failure.message, failure.remedy, failure.code)
        return
    yield SETTINGS.ok("_APP_DOMAIN", name)
    for warning in warnings_for(given, name):
        yield SETTINGS.warn("_APP_DOMAIN", f"{name}: {warning}", "")


def _page(settings: Settings, markers: Iterable[Path] = CONTAINER_MARKERS) -> Iterator[Finding]:
    """
    Yield the findings about the address of the page, and about its tokens.

    Args:
        settings: The settings.
        markers: In a container, one of these files exists. There, the published ports decide who can reach
            the address.
    """
    web = settings.web
    if web.address is None:
        yield SETTINGS.skip("page", "off")
        return
    if web.address.is_loopback:
        yield SETTINGS.ok("page", f"{web.address}, which only this machine can reach")
    elif set(web.proxies) - set(LOOPBACK) or any(map(Path.exists, markers)):
        yield SETTINGS.ok("page", f"{web.address}; each request needs a token")
    else:
        yield SETTINGS.warn(
            "page",
            f"other machines can reach {web.address}, and would send their tokens without encryption",
            "Set CERTWORKER_WEB_ADDRESS=127.0.0.1:8081, or put a proxy with HTTPS in front of the page and "
            "set its address as CERTWORKER_WEB_PROXIES.",
        )
    if web.tokens_file and not web.tokens_file.exists():
        yield SETTINGS.warn(
            "tokens",
            f"{web.tokens_file} does not exist, so no token has access to the page",
            "Create a token: certworker token create --role admin",
        )
