"""
Redis, the CA, the clock, and the proxy: whatever answers over a network.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from certworker.acme.client import AcmeClient
from certworker.deadline import Deadline
from certworker.doctor.findings import Finding, Verdict
from certworker.doctor.storage import MACHINE
from certworker.errors import CertworkerError
from certworker.errors.worker import LoopStalled
from certworker.notify.notifier import receivers, undelivered
from certworker.preflight.machine import check_clock
from certworker.redis.client import connected
from certworker.redis.health import check_redis
from certworker.settings import CaChoice, HttpAddress, Settings
from certworker.validity import now_in_utc
from certworker.worker.health import reports
from certworker.worker.queue_stats import QueueStats, queue_stats

#: A CA that takes longer makes jobs slow.
SLOW_SECONDS = 3.0

#: Traefik is in the same network, or it is not there.
PATIENCE_SECONDS = 2.0

TO_START = "Start it: docker compose up -d appwrite-worker-certificates"


@dataclass(frozen=True)
class DirectoryProbe:
    """
    The result of a request for the directory of a CA.
    """

    choice: CaChoice
    #: None: the CA is embedded in the worker, and no other process can reach it.
    authority: AcmeClient | None
    failure: CertworkerError | None
    seconds: float
    #: How much its clock was ahead of ours; None: it does not say.
    offset: timedelta | None


def probe_directories(authorities: Sequence[tuple[CaChoice, AcmeClient | None]]) -> list[DirectoryProbe]:
    """
    Ask all *authorities* at the same time.

    Args:
        authorities: None: the CA is embedded in the worker, and this is not the worker.
    """
    with ThreadPoolExecutor(len(authorities)) as questions:
        return list(questions.map(_reach, authorities))


def clock(reached: DirectoryProbe) -> Iterator[Finding]:
    """
    Whether this machine has the time that the CA has.
    """
    if reached.authority is None:
        yield MACHINE.ok("clock", "that of the embedded CA is the same")
    elif reached.failure:
        yield MACHINE.skip("clock", "the CA did not tell its time")
    else:
        offset = reached.offset
        well = (
            "the CA tells no time" if offset is None else f"{abs(offset.total_seconds()):.0f} s from the CA"
        )
        yield from MACHINE.from_check("clock", check_clock(lambda: offset, now_in_utc), well)


def redis(settings: Settings) -> Iterator[Finding]:
    """
    Whether jobs can arrive, and whether somebody takes them.
    """
    try:
        with connected(settings.redis) as connection:
            check_redis(connection)
            found, reported = queue_stats(connection), reports(connection)
    except CertworkerError as failure:
        yield MACHINE.failure("redis", failure)
        return
    yield MACHINE.ok("redis", f'{settings.redis}, queue "certificates": {found.waiting} waiting')
    yield from _queue(found)
    for report in reported:
        if report.stalled:
            yield MACHINE.failure("worker", LoopStalled(host=report.host, loops=", ".join(report.stalled)))


def certificate_authority(reached: DirectoryProbe) -> Finding:
    """
    Whether the CA can be reached.
    """
    if reached.authority is None:
        return MACHINE.ok("CA", "embedded; it runs inside the worker")
    if failure := reached.failure:
        # For a job it may pass; here it is what stands in the way of every one.
        return MACHINE.fail("CA", failure.message, failure.remedy, failure.code)
    text = f"{reached.choice.title} answers in {reached.seconds * 1000:.0f} ms"
    if reached.seconds <= SLOW_SECONDS:
        return MACHINE.ok("CA", text)
    remedy = f"See where the time goes: curl -sv -o /dev/null {reached.choice.directory_url}"
    return MACHINE.warn("CA", text, remedy)


def proxy(settings: Settings) -> Iterator[Finding]:
    """
    Whether Traefik takes connections from inside.
    """
    address = settings.proxy_address
    if address is None:
        yield MACHINE.skip("proxy", "CERTWORKER_PROXY_ADDRESS is off")
        return
    # Where a person has named another port, nobody knows which one is that of plain HTTP.
    ports = [80, 443] if address.port == 443 else [address.port]
    for port in ports:
        yield _port(HttpAddress(address.host, port))


def notifications(settings: Settings) -> Iterator[Finding]:
    """
    Whether mail server and webhook can be reached; nothing is sent there.
    """
    channels = receivers(settings)
    if not channels:
        yield MACHINE.skip("notifications", "neither _APP_SMTP_HOST nor CERTWORKER_NOTIFY_URL is set")
    for name, receiver in channels.items():
        subject = f"notifications, {name}"
        try:
            receiver.check()
        except OSError as fault:
            yield MACHINE.failure(subject, undelivered(name, fault))
        else:
            yield MACHINE.ok(subject, f"{receiver.place} accepts connections; test: certworker notify test")


def _reach(asked: tuple[CaChoice, AcmeClient | None]) -> DirectoryProbe:
    choice, authority = asked
    if authority is None:
        return DirectoryProbe(choice, None, None, 0, None)
    began = time.monotonic()
    try:
        offset = authority.check()
    except CertworkerError as failure:
        return DirectoryProbe(choice, authority, failure, time.monotonic() - began, None)
    return DirectoryProbe(choice, authority, None, time.monotonic() - began, offset)


def _queue(found: QueueStats) -> Iterator[Finding]:
    if not found.workers:
        yield MACHINE.warn("worker", "None takes jobs from the queue.", TO_START)
    elif not found.scheduler:
        yield MACHINE.warn(
            "worker",
            f"{found.workers} at work, but none brings delayed jobs: nothing is renewed.",
            "Start it anew: docker compose restart appwrite-worker-certificates",
            "queue.no_scheduler",
        )
    else:
        yield MACHINE.ok("worker", f"{found.workers} at work")
    if found.suspended:
        yield MACHINE.warn(
            "queue",
            "Suspended by `rq suspend`: no job starts and no certificate is renewed.",
            "Resume it with `rq resume`, or: docker compose exec redis redis-cli DEL rq:suspended",
        )
    for remark in (*found.unserved, *([found.evicts] if found.evicts else ())):
        yield MACHINE.failure("queue", remark)


def _port(address: HttpAddress) -> Finding:
    subject = f"proxy {address}"
    try:
        Deadline(PATIENCE_SECONDS).connect_to(address.host, address.port).close()
    except socket.gaierror:
        return MACHINE.skip(subject, f"there is no {address.host} here")
    except OSError as error:
        tell = MACHINE.fail if address.port == 80 else MACHINE.warn
        return tell(
            subject,
            f"Nobody takes connections there ({error.strerror or error}).",
            "See that Traefik runs: docker compose ps traefik",
        )
    return Finding(MACHINE.title, subject, Verdict.WELL, "open")
