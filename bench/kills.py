"""
The time until another worker issues the names of a killed worker.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from redis import Redis

from bench.figures import Figure, progress
from bench.worlds import redis_server
from certworker.challenges.challenge import CHALLENGE_PATH
from certworker.challenges.tokens import TOKENS
from certworker.devca.authority import DevelopmentAuthority
from certworker.state.locks import LOCKS
from certworker.worker.producer import request_certificate
from tests.servers.development import ChallengeServer, development_authority
from tests.servers.worker import WorkerProcess, two_workers, wait_until

TITLE = "killed workers"
NOTE = (
    "killed workers: two workers with one Redis and one volume; the CA needs a second for each certificate, "
    "so that each kill -9 meets a job. Leftovers are challenge files, challenge tokens and locks of names."
)

KILLS = 20
SECONDS_BETWEEN_KILLS = 1.5
NAMES = [f"killed{number}.localhost" for number in range(12)]
ONE = "one.localhost"
SIGNING_SECONDS = 1.0
PATIENCE_SECONDS = 200.0


@dataclass(frozen=True)
class Site:
    """
    Two workers with their shared servers and volume.
    """

    directory: Path
    webroot: Path
    connection: Redis
    authority: DevelopmentAuthority
    workers: Sequence[WorkerProcess]

    def is_served(self, name: str) -> bool:
        """
        Return whether the proxy has the certificate of *name*.
        """
        return (self.directory / "config" / f"{name}.yml").exists()

    def holder_of(self, name: str) -> WorkerProcess | None:
        """
        Return the worker that orders *name*, or None.
        """
        return next((each for each in self.workers if f"{name}: asking" in each.log), None)

    def leftovers(self) -> list[str]:
        """
        Return the existing challenge files, challenge tokens and locks.
        """
        directory = self.webroot / CHALLENGE_PATH.strip("/")
        # The lock file of the directory stays. Its name is not a token.
        files = [path for path in directory.glob("*") if path.is_file() and path.name != "lock"]
        locks = self.connection.scan_iter(f"{LOCKS}*", count=1_000)
        return [*map(str, files), *map(repr, self.connection.hgetall(TOKENS).items()), *map(repr, locks)]


def measure(place: Path) -> list[Figure]:
    """
    Return the seconds after one SIGKILL, and after the last of many.
    """
    with _site(place) as site:
        for worker in site.workers:
            worker.wait_for_line("ready")
        return [
            Figure(TITLE, "one kill: issued by the other worker after", _one(site), "s", 30),
            *_many(site),
        ]


def _one(site: Site) -> float:
    progress(f"{TITLE}: one")
    request_certificate(ONE, connection=site.connection)
    victim = wait_until(lambda: site.holder_of(ONE), lambda: _logs(site))
    victim.kill()
    killed = time.monotonic()
    wait_until(lambda: site.is_served(ONE) or None, lambda: _logs(site), PATIENCE_SECONDS)
    seconds = time.monotonic() - killed
    victim.start()
    return seconds


def _many(site: Site) -> list[Figure]:
    progress(f"{TITLE}: {KILLS} in {KILLS * SECONDS_BETWEEN_KILLS:.0f} s")
    for name in NAMES:
        request_certificate(name, connection=site.connection)
    for victim in islice(cycle(site.workers), KILLS):
        time.sleep(SECONDS_BETWEEN_KILLS)
        victim.kill()
        victim.start()
    last = time.monotonic()
    wait_until(
        lambda: all(map(site.is_served, NAMES)) or None,
        lambda: _logs(site),
        PATIENCE_SECONDS,
        pause_seconds=0.2,
    )
    served = time.monotonic() - last
    wait_until(
        lambda: None if site.leftovers() else True,
        lambda: f"left over: {site.leftovers()}\n{_logs(site)}",
        PATIENCE_SECONDS,
        pause_seconds=0.5,
    )
    return [
        Figure(TITLE, f"{KILLS} kills: all {len(NAMES)} names in service after the last", served, "s", 45),
        Figure(TITLE, "  no leftover after the last", time.monotonic() - last, "s", 120),
    ]


@contextmanager
def _site(place: Path) -> Iterator[Site]:
    webroot = place / "webroot"
    webroot.mkdir()
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(place / "redis"))
        challenges = stack.enter_context(ChallengeServer(webroot))
        authority = stack.enter_context(development_authority(place, http01_port=challenges.port))
        authority.faults.slow_seconds = {"finalize": SIGNING_SECONDS}
        connection = stack.enter_context(redis.client())
        workers = stack.enter_context(
            two_workers(
                place,
                authority.directory_url,
                redis_port=redis.port,
                webroot=webroot,
                http01_port=challenges.port,
            )
        )
        yield Site(place, webroot, connection, authority, workers)


def _logs(site: Site) -> str:
    return "\n".join(worker.log[-2_000:] for worker in site.workers)
