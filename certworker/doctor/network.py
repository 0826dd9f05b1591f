"""
The checks of Redis, the CA, the clock, the proxy, and the notifications.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from shlex import quote

from certworker.acme.client import AcmeClient
from certworker.deadline import Deadline
from certworker.doctor.findings import MACHINE, Finding, Verdict
from certworker.errors import CertworkerError
from certworker.errors.worker import LoopStalled
from certworker.notify.notifier import in_words, receivers, undelivered
from certworker.preflight.machine import check_clock
from certworker.redis.client import connected
from certworker.redis.health import check_redis
from certworker.settings import CaChoice, HttpAddress, Settings
from certworker.validity import now_in_utc
from certworker.worker.health import reports
from certworker.worker.queue_stats import QueueStats, queue_stats

#: A CA that takes longer to respond makes jobs slow.
SLOW_SECONDS = 3.0

#: Traefik is usually on the same network, so a short time suffices.
TIMEOUT_SECONDS = 2.0

TO_START = "Start a worker: docker compose up -d"


@dataclass(frozen=True)
class DirectoryProbe:
    """
    The result of a request for the directory of a CA.
    """

    choice: CaChoice
    #: None for the development CA, which only its worker can reach.
    authority: AcmeClient | None
    failure: CertworkerError | None
    seconds: float
    #: How far the clock of the CA is ahead of the clock of this machine; None if unknown.
    offset: timedelta | None


def probe_directories(authorities: Sequence[tuple[CaChoice, AcmeClient | None]]) -> list[DirectoryProbe]:
    """
    Request the directories of all *authorities* at the same time, and return the results.

    Args:
        authorities: Each CA with its client; None for the development CA, which only its worker can reach.
    """
    with ThreadPoolExecutor(len(authorities)) as pool:
        return list(pool.map(_reach, authorities))


def clock(reached: DirectoryProbe) -> Iterator[Finding]:
    """
    Yield whether the clocks of this machine and of the CA agree.
    """
    if reached.authority is None:
        yield MACHINE.ok("clock", "the development CA has the same clock")
    elif reached.failure:
        yield MACHINE.skip("clock", "the CA does not respond")
    else:
        offset = reached.offset
        text = (
            "the response from the CA contains no time"
            if offset is None
            else f"{abs(offset.total_seconds()):.0f} s from the clock of the CA"
        )
        yield from MACHINE.from_check("clock", check_clock(lambda: offset, lambda: offset, now_in_utc), text)


def redis(settings: Settings) -> Iterator[Finding]:
    """
    Yield whether Redis works, whether workers take the jobs, and which of their loops are stalled.
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
    Return whether the CA can be reached, and whether it is slow.
    """
    if reached.authority is None:
        return MACHINE.ok("CA", "the development CA, which runs inside the worker")
    if failure := reached.failure:
        # The failure of a job may be only a warning, because the job is retried. Here, the failure blocks all
        # orders from this CA.
        return MACHINE.fail("CA", failure.message, failure.remedy, failure.code)
    text = f"{reached.choice.title} answers in {reached.seconds * 1000:.0f} ms"
    if reached.seconds <= SLOW_SECONDS:
        return MACHINE.ok("CA", text)
    remedy = f"Find the cause of the delay: curl -sv -o /dev/null {quote(str(reached.choice.directory_url))}"
    return MACHINE.warn("CA", text, remedy)


def proxy(settings: Settings) -> Iterator[Finding]:
    """
    Yield whether Traefik accepts connections.
    """
    address = settings.proxy_address
    if address is None:
        yield MACHINE.skip("proxy", "CERTWORKER_PROXY_ADDRESS is off")
        return
    # If the port for TLS is not 443, the port for plain HTTP is unknown.
    ports = [80, 443] if address.port == 443 else [address.port]
    for port in ports:
        yield _port(HttpAddress(address.host, port))


def notifications(settings: Settings) -> Iterator[Finding]:
    """
    Yield whether the mail server and the webhook accept connections, without sending a notification.
    """
    channels = receivers(settings)
    if not channels:
        wanted = "_APP_SMTP_HOST and _APP_EMAIL_CERTIFICATES, or CERTWORKER_NOTIFY_URL"
        yield MACHINE.skip("notifications", f"off; to receive notifications, set {wanted}")
    for name, receiver in channels.items():
        subject = f"notifications, {in_words(name)}"
        try:
            receiver.check()
        except OSError as fault:
            yield MACHINE.failure(subject, undelivered(name, fault))
        else:
            yield MACHINE.ok(subject, f"{receiver.address} accepts connections; test: certworker notify test")


def _reach(configured: tuple[CaChoice, AcmeClient | None]) -> DirectoryProbe:
    choice, authority = configured
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
        yield MACHINE.warn("worker", "No worker takes jobs from the queue.", TO_START)
    elif not found.scheduler:
        yield MACHINE.warn(
            "worker",
            f"{found.workers} running, but none enqueues delayed jobs, so no certificate is renewed.",
            "Restart the worker: docker compose restart SERVICE",
            "queue.no_scheduler",
        )
    else:
        yield MACHINE.ok("worker", f"{found.workers} running")
    if found.suspended:
        yield MACHINE.warn(
            "queue",
            "Suspended by `rq suspend`: no job starts, and no certificate is renewed.",
            "Resume the workers: docker compose exec SERVICE rq resume --url redis://HOST:PORT",
        )
    for problem in (*found.unserved, *([found.evicts] if found.evicts else ())):
        yield MACHINE.failure("queue", problem)


def _port(address: HttpAddress) -> Finding:
    subject = f"proxy {address}"
    try:
        Deadline(TIMEOUT_SECONDS).connect_to(address.host, address.port).close()
    except socket.gaierror:
        return MACHINE.skip(subject, f"the host {address.host} is unknown here")
    except OSError as error:
        line = MACHINE.fail if address.port == 80 else MACHINE.warn
        return line(
            subject,
            f"The proxy accepts no connections ({error.strerror or error}).",
            "Check that Traefik is running: docker compose ps traefik",
        )
    return Finding(MACHINE.title, subject, Verdict.WELL, "open")
