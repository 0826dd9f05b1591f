"""
`python -m tests.soak`: certificates with a lifetime of minutes, and repeated accidents.

The accidents are SIGKILL, SIGTERM, stopped workers, a restart or a flush of Redis, and an unreachable CA. The
exit code is 0 if no certificate expired in service, each key matched its certificate, and no unexpected error
occurred.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from certworker.worker.producer import request_certificate
from tests.servers.development import ChallengeServer, development_authority
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess, two_workers, wait_until
from tests.soak.served import Served

#: The lifetime of a certificate as a share of the soak: 15 minutes of 22.
SHARE_OF_THE_SOAK = 15 / 22
SHORTEST_LIFE_SECONDS = 120.0
NAMES = [f"soak{number}.tenant{number % 6}.localhost" for number in range(60)]
ACCIDENTS_A_MINUTE = 3.2
FROZEN_SECONDS = 25.0
AWAY_SECONDS = 12.0
FIRST_ISSUANCE_SECONDS = 120.0

#: A renewal is late if less than this share of the validity is left.
LATE_SHARE = 0.1


@dataclass
class Site:
    """
    Two workers with their Redis and their CA.
    """

    redis: RedisServer
    authority: FaultyAuthority
    workers: list[WorkerProcess]
    served: Served
    random: Random

    def kill(self) -> None:
        """
        Kill a worker, and start it again.
        """
        worker = self.random.choice(self.workers)
        worker.kill()
        worker.start()

    def terminate(self) -> None:
        """
        Send SIGTERM to a worker, and start it again.
        """
        worker = self.random.choice(self.workers)
        if code := worker.terminate(60):
            self.served.faults.append(f"SIGTERM ended a worker with exit code {code}")
        worker.start()

    def freeze(self) -> None:
        """
        Stop a worker until its leases have ended, and continue it.
        """
        process = self.random.choice(self.workers).process
        assert process
        process.send_signal(signal.SIGSTOP)
        time.sleep(FROZEN_SECONDS)
        process.send_signal(signal.SIGCONT)

    def restart_redis(self) -> None:
        """
        Kill Redis, and start it without its keys.
        """
        self.redis.kill()
        time.sleep(self.random.uniform(0, AWAY_SECONDS))
        self.redis.start()

    def flush(self) -> None:
        """
        Empty Redis.
        """
        with self.redis.client() as client:
            client.flushall()

    def silence_ca(self) -> None:
        """
        Stop the CA for a few seconds.
        """
        self.authority.stop()
        time.sleep(AWAY_SECONDS)
        self.authority.start()

    def accidents(self) -> dict[Callable[[], None], int]:
        """
        Return the accidents, with the weight of each.
        """
        return {
            self.kill: 18,
            self.terminate: 13,
            self.freeze: 8,
            self.restart_redis: 10,
            self.flush: 9,
            self.silence_ca: 5,
        }


def main() -> int:
    """
    Run the soak with the arguments of the command line, and return the exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="the duration in minutes (default: 5)")
    parser.add_argument(
        "--seed", type=int, default=1, help="the seed of the sequence of accidents (default: 1)"
    )
    asked = parser.parse_args()
    lifetime = max(SHORTEST_LIFE_SECONDS, asked.minutes * 60 * SHARE_OF_THE_SOAK)
    print(
        f"{asked.minutes:g} minutes, {len(NAMES)} certificates of {lifetime:.0f} s, seed {asked.seed}",
        flush=True,
    )
    with (
        TemporaryDirectory(prefix="certworker-soak-") as place,
        _site(Path(place), timedelta(seconds=lifetime), Random(asked.seed)) as site,
    ):
        happened = _soak(site, asked.minutes * 60)
        faults = [*site.served.faults, *_unexpected(site)]
        if faults and (kept := os.environ.get("SOAK_LOGS")):
            for number, worker in enumerate(site.workers):
                Path(kept, f"worker{number}.log").write_text(worker.log)
    return _report(site.served, happened, faults)


def _soak(site: Site, seconds: float) -> Counter[str]:
    with site.redis.client() as client:
        for name in NAMES:
            request_certificate(name, connection=client)
    wait_until(
        lambda: None if site.served.missing() else True,
        lambda: (
            f"never served: {site.served.missing()}\n" + "\n".join(each.log[-3000:] for each in site.workers)
        ),
        FIRST_ISSUANCE_SECONDS,
        pause_seconds=0.5,
    )
    site.served.start()
    accidents = site.accidents()
    happened = Counter[str]()
    begin = time.monotonic()
    for number in count(1):
        left = begin + number * 60 / ACCIDENTS_A_MINUTE - time.monotonic()
        if time.monotonic() + left > begin + seconds:
            break
        time.sleep(max(left, 0))
        (accident,) = site.random.choices(list(accidents), list(accidents.values()))
        print(f"{time.monotonic() - begin:6.0f} s  {accident.__name__}", flush=True)
        accident()
        happened[accident.__name__] += 1
    time.sleep(max(begin + seconds - time.monotonic(), 0))
    site.served.stop()
    return happened


def _unexpected(site: Site) -> Iterator[str]:
    for worker in site.workers:
        for line in sorted(set(re.findall(r".*(?:worker\.unexpected|Traceback).*", worker.log)))[:5]:
            yield f"in the log: {line}"


def _report(served: Served, happened: Counter[str], faults: list[str]) -> int:
    renewals = sum(len(serials) - 1 for serials in served.serials.values())
    latest = min(served.least_left, key=served.least_left.__getitem__)
    least = served.least_left[latest]
    print(f"{happened.total()} accidents: {dict(happened)}")
    print(f"{renewals} renewals; the latest was at {least:.0%} remaining validity, for {latest}")
    if least < LATE_SHARE:
        faults.append(f"{latest} was renewed late")
    for fault in faults:
        print(f"FAULT {fault}")
    print("failed" if faults else "passed: 0 expired, 0 torn")
    return 1 if faults else 0


@contextmanager
def _site(place: Path, lifetime: timedelta, random: Random) -> Iterator[Site]:
    webroot = place / "webroot"
    webroot.mkdir()
    redis = RedisServer(place / "redis")
    redis.start()
    with ExitStack() as stack:
        stack.callback(redis.kill)
        challenges = stack.enter_context(ChallengeServer(webroot))
        authority = stack.enter_context(
            development_authority(place, http01_port=challenges.port, lifetime=lifetime)
        )
        workers = stack.enter_context(
            two_workers(
                place,
                authority.directory_url,
                redis_port=redis.port,
                webroot=webroot,
                http01_port=challenges.port,
            )
        )
        yield Site(redis, authority, workers, Served(place / "config", NAMES), random)


if __name__ == "__main__":
    sys.exit(main())
