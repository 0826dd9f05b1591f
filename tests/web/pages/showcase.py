"""
An installation with a name in each state, for the tests of the page and the pictures of the documentation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from redis import Redis

from certworker.certificates import Certificate, PrivateKey
from certworker.dashboard.sources import Sources
from certworker.devca.hierarchy import Signer
from certworker.errors import CertworkerError
from certworker.errors.dns import CnameTarget, WrongAddress
from certworker.errors.http import HttpNotFound
from certworker.errors.rate import LocalGuard, Paused
from certworker.observability.history import HistoryEntry
from certworker.ratelimits.budget import Budget
from certworker.redis.codec import encode_time
from certworker.settings import load
from certworker.storage.keypair import StoredCertificate
from certworker.traefik.config import TraefikConfig
from certworker.version import __version__
from certworker.worker.health import REPORTS
from certworker.worker.producer import QUEUE, request_certificate
from tests.servers.zones import World

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)

ADDRESS, OTHER_ADDRESS = "203.0.113.7", "198.51.100.20"

#: The settings of the installation, without its directories.
ENVIRONMENT: Mapping[str, str] = {
    "_APP_ENV": "production",
    "_APP_EMAIL_CERTIFICATES": "operator@example.com",
    "_APP_DOMAIN": "example.com",
    "_APP_DOMAIN_TARGET_A": ADDRESS,
    "CERTWORKER_AUTHORITY": "letsencrypt",
}

AUTHORITY = "letsencrypt"

#: The address records in DNS, by zone. The other names of the zones have none.
ZONES: Mapping[str, Mapping[str, str]] = {
    "example.com": {"shop.example.com": ADDRESS, "api.example.com": ADDRESS},
    "example.net": {"www.example.net": OTHER_ADDRESS},
    "example.org": {"customer.example.org": OTHER_ADDRESS},
}

#: The tenant, and its name.
TENANT, TENANTS_NAME = "acme", "shop.example.com"

#: The names in service: the names of a certificate, its age and the rest of its life.
IN_SERVICE: Sequence[tuple[tuple[str, ...], timedelta, timedelta]] = (
    (("shop.example.com",), 29 * DAY, 61 * DAY),
    (("api.example.com", "www.example.com"), 8 * DAY, 37 * DAY),
    (("*.apps.example.com",), 12 * DAY, 78 * DAY),
    (("edge.example.com",), 31 * HOUR, 129 * HOUR),
    (("intranet.example.com",), 63 * DAY, 27 * DAY),
    (("www.example.net",), 80 * DAY, 10 * DAY),
    (("old.example.net",), 91 * DAY, -1 * DAY),
)


def add_zones(world: World) -> str:
    """
    Add the zones to *world*, and return the address of its resolver.
    """
    for zone, addresses in ZONES.items():
        world.zone(zone, {name: {"A": [address]} for name, address in addresses.items()})
    host, port = world.resolver.address
    return f"{host}:{port}"


def sources_in(
    directory: Path,
    redis_port: int,
    connection: Redis,
    clock: Callable[[], datetime],
    resolver: str = "",
    **more: str,
) -> Sources:
    """
    Return the sources of an empty installation, whose volumes are in *directory*.

    Args:
        resolver: The address of the resolver; empty for that of the system.
        more: Additional variables.
    """
    variables = {**ENVIRONMENT, "_APP_REDIS_HOST": "127.0.0.1", "_APP_REDIS_PORT": str(redis_port), **more}
    if resolver:
        variables["_APP_DNS"] = resolver
    for volume in ("certificates", "config", "state"):
        (directory / volume).mkdir(exist_ok=True)
        variables[f"CERTWORKER_{volume.upper()}_DIR"] = str(directory / volume)
    return Sources.of(load(variables), connection, clock)


def failures(now: datetime) -> dict[str, tuple[CertworkerError, int, timedelta]]:
    """
    Return the failures of names: the failure, the attempts, and the time until the next one.
    """
    pause = "https://letsencrypt.example/unpause?jwt=eyJhbGciOiJIUzI1NiJ9"
    return {
        "customer.example.org": (
            CnameTarget(
                name="customer.example.org",
                expected=ADDRESS,
                found=OTHER_ADDRESS,
                record=f"customer.example.org. A {ADDRESS}",
            ),
            3,
            50 * MINUTE,
        ),
        "www.example.net": (
            WrongAddress(name="www.example.net", found=OTHER_ADDRESS, expected=ADDRESS, kind="A"),
            6,
            20 * HOUR,
        ),
        "blog.example.org": (
            HttpNotFound(name="blog.example.org", address=OTHER_ADDRESS).from_preflight(),
            2,
            4 * MINUTE,
        ),
        "legacy.example.net": (
            Paused(authority="Let's Encrypt", name="legacy.example.net", url=pause),
            0,
            22 * HOUR,
        ),
        "launch.example.com": (
            LocalGuard(
                name="launch.example.com",
                authority="Let's Encrypt",
                moment=f"{now + 3 * HOUR:%Y-%m-%d %H:%M} UTC",
                reason="its limit of 300 orders within 3 hours is used up",
                until=now + 3 * HOUR,
            ),
            0,
            3 * HOUR,
        ),
    }


def fill(sources: Sources) -> None:
    """
    Put a name in each state into *sources*.
    """
    now = sources.clock()
    sources.records.claim((TENANTS_NAME,), TENANT)
    signer = Signer.root("Showcase Root R1", now).intermediate("Showcase E7", now)
    for token, (names, age, rest) in enumerate(IN_SERVICE, start=1):
        stored = put_certificate(sources, signer, names, age, rest, token)
        sources.records.record_issued(names, stored.metadata, next_check=now + 5 * HOUR, now=now - age)
        sources.agenda.put_many(dict.fromkeys(names, now + 5 * HOUR))
        for name in names:
            tell_story(sources, name, now - min(age, 40 * DAY))
        if names == ("*.apps.example.com",):
            covered = ("blog.apps.example.com",)
            sources.certificates.covered.add(covered)
            sources.records.record_issued(
                covered, stored.metadata, covered=True, next_check=now + 5 * HOUR, now=now
            )
            sources.agenda.put_many(dict.fromkeys(covered, now + 5 * HOUR))
    for name, (failure, attempts, pause) in failures(now).items():
        for _ in range(max(1, attempts)):
            sources.records.record_failed((name,), failure, next_check=now + pause, now=now)
        sources.agenda.put_many({name: now + pause})
        sources.history.append(name, HistoryEntry(now - 10 * MINUTE, "ERROR", str(failure)))
    sources.records.start_attempt(("new.example.com",), next_check=now + HOUR, now=now)
    sources.agenda.put_many({"new.example.com": now + HOUR, "soon.example.com": now + MINUTE})
    sources.history.flush()


def add_worker(sources: Sources) -> None:
    """
    Register a worker that runs a job, and use some of the limits of the CA.
    """
    now, connection, host = sources.clock(), sources.connection, "server-1"
    name, moment = f"{host}.1", encode_time(now)
    times: dict[Any, Any] = {"last_heartbeat": moment, "birth": encode_time(now - 3 * DAY)}
    connection.sadd(f"rq:workers:{QUEUE}", f"rq:worker:{name}")
    connection.hset(f"rq:worker:{name}", mapping=times | {"hostname": host, "pid": "1", "state": "busy"})
    report: dict[str, Any] = {"host": host, "pid": 1, "healthy": True, "scheduler": True, "stalled": []}
    report["proxy"] = {"reloads": 31, "served": 9, "seconds": 1.9, "slowest": 4.2}
    connection.sadd(REPORTS, name)
    connection.set(f"{REPORTS}:{name}", json.dumps({**report, "version": __version__}))
    connection.set(f"rq:scheduler-lock:{QUEUE}", name)
    job = request_certificate(("new.example.com",), connection=connection)
    connection.lrem(f"rq:queue:{QUEUE}", 1, job)
    connection.zadd(f"rq:wip:{QUEUE}", {job: 1})
    connection.hset(f"rq:job:{job}", mapping={"worker_name": name, "started_at": moment})
    settings, store = sources.settings, sources.certificates
    budget = Budget.for_issuer(settings, settings.authority, connection, store, sources.clock)
    for number in range(11):
        with budget.reserve((f"shop{number}.example.com",), exempt=False, renewal=False):
            pass


def put_certificate(
    sources: Sources,
    signer: Signer,
    names: tuple[str, ...],
    age: timedelta,
    rest: timedelta,
    token: int,
) -> StoredCertificate:
    """
    Put a certificate into service that is *age* old and expires after *rest*.
    """
    now, key = sources.clock(), PrivateKey.generate()
    leaf = signer.sign(key.key.public_key(), names, now - age, now + rest)
    certificate = Certificate.from_pem(leaf.public_bytes(Encoding.PEM) + signer.pem, key)
    stored = sources.certificates.store(certificate, authority=AUTHORITY, kind="public", token=token)
    TraefikConfig(sources.settings.config_dir).publish(stored)
    return stored


def tell_story(sources: Sources, name: str, issued: datetime) -> None:
    """
    Add the lines of an issuance to the history of *name*.
    """
    lines = (
        (0.0, "preflight passed: DNS, port 80, CAA"),
        (0.3, "ordered from Let's Encrypt"),
        (1.9, "the CA has validated the name (http-01)"),
        (3.1, f"certificate issued, valid until {issued + 90 * DAY:%Y-%m-%d}"),
        (4.0, "in service: Traefik serves the new certificate"),
    )
    for offset, text in lines:
        moment = issued + timedelta(seconds=offset)
        sources.history.append(name, HistoryEntry(moment, "INFO", text))
