"""
`python -m tests.soak.load`: thousands of issuances and of failures through one worker.

The same names are issued, and fail, again and again. After the first 500 jobs, everything that certworker
stores for each name has reached its limit. The exit code is 1 if the memory, Redis or the disk then grew by
more than a tenth, if a pool did and did not stop growing, or if the log has an unexpected error.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis

from bench.processes import tree_bytes
from certworker.storage.certificate_store import CertificateStore
from certworker.worker.producer import FAILURE_TTL, RESULT_TTL, request_certificate
from tests.app_fixture import environment
from tests.servers.development import development_authority
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess, wait_until

#: The jobs before the first measurement.
JOBS_BEFORE = 500
#: The growth in percent that is not a leak: an allocator does not return all memory.
TOLERANCE = 10
#: The fields that have reached their level after the first jobs. The others count pools, which fill slowly.
STRICT = ("memory_kib", "redis_keys", "files", "disk_kib")
#: The growth in the second half, as a share of all growth, above which a value does not approach a limit.
LATE_SHARE = 0.25
#: A measurement is the lowest of these samples: some keys and connections exist for moments only.
SAMPLES = 20
SAMPLE_PAUSE_SECONDS = 0.25
#: How long a round may take. Failures wait for a CA that finds no address.
ROUND_SECONDS = 300.0

VOLUMES = ("certificates", "config", "state")


@dataclass(frozen=True)
class Level:
    """
    What the worker, Redis and the volumes use.
    """

    #: The proportional set size of the worker and its processes.
    memory_kib: int
    descriptors: int
    threads: int
    #: The keys that do not expire with a job.
    redis_keys: int
    files: int
    disk_kib: int


def lowest(levels: Sequence[Level]) -> Level:
    """
    Return the lowest value of each field of *levels*.
    """
    return Level(*(min(values) for values in zip(*map(astuple, levels), strict=True)))


def grown(first: Level, middle: Level, last: Level) -> list[str]:
    """
    Return the fields of *last* that are more than a tenth above *first*.

    Pools of threads and connections fill slowly up to their limit. A leak grows as much in the second half,
    after *middle*.
    """
    return [
        field.name
        for field in fields(Level)
        if _is_leak(field.name, *(getattr(level, field.name) for level in (first, middle, last)))
    ]


def _is_leak(field: str, first: int, middle: int, last: int) -> bool:
    is_above = last > math.ceil(first * (100 + TOLERANCE) / 100)
    return is_above and (field in STRICT or last - middle > (last - first) * LATE_SHARE)


def table(first: Level, middle: Level, last: Level) -> list[str]:
    """
    Return the lines of the table that compares the levels.
    """
    over = grown(first, middle, last)
    lines = [f"{'':<12} {'first':>10} {'middle':>10} {'last':>10} {'growth':>8}"]
    for field in fields(Level):
        values = [getattr(level, field.name) for level in (first, middle, last)]
        mark = "  GROWN" if field.name in over else ""
        growth = values[2] / values[0] - 1 if values[0] else 0
        shown = " ".join(f"{value:>10,}" for value in values)
        lines.append(f"{field.name:<12} {shown} {growth:>+8.1%}{mark}")
    return lines


class Load:
    """
    One worker, and the names that it issues and that fail.

    Attributes:
        issued: The issuances so far.
        failed: The failures so far, including automatic retries.
    """

    def __init__(self, worker: WorkerProcess, connection: Redis, place: Path, names: int) -> None:
        self.worker = worker
        self.connection = connection
        self.place = place
        self.names = names
        self.issued = self.failed = 0
        self._read_bytes = 0

    def round(self) -> None:
        """
        Issue each name, and let as many others fail.

        A job that meets an automatic retry of its name is skipped, so a round may have fewer outcomes.
        """
        # The worker's own checks and retries are not forced. Their jobs exist from the first round on.
        force = self.issued > 0
        jobs = [
            request_certificate(
                f"load{number}.{domain}", force=force, use_full_quota=force, connection=self.connection
            )
            for number in range(self.names)
            for domain in ("localhost", "invalid")
        ]
        wait_until(self._ended(jobs), self._complaint, ROUND_SECONDS, pause_seconds=0.1)
        issued = self.issued
        self._count()
        assert self.issued > issued, self._complaint()

    def level(self) -> Level:
        """
        Return the lowest of several samples.

        The worker removes old certificates once an hour. Here, they are removed before each measurement.
        """
        CertificateStore(self.place / "certificates").prune(())
        samples = []
        for _ in range(SAMPLES):
            samples.append(self._sample())
            time.sleep(SAMPLE_PAUSE_SECONDS)
        return lowest(samples)

    def _ended(self, jobs: Sequence[str]) -> Callable[[], bool | None]:
        def ended() -> bool | None:
            with self.connection.pipeline(transaction=False) as pipe:
                for job in jobs:
                    pipe.hget(f"rq:job:{job}", "status")
                return {b"finished", b"failed"} >= set(pipe.execute()) or None

        return ended

    def _count(self) -> None:
        with self.worker.log_file.open("rb") as log:
            log.seek(self._read_bytes)
            # The worker may be writing the last line.
            added = log.read().rpartition(b"\n")[0]
        self._read_bytes += len(added)
        self.issued += added.count(b": certificate issued")
        self.failed += added.count(b": certificate not issued")

    def _complaint(self) -> str:
        end = self.worker.log[-3000:]
        return f"the jobs of a round did not end in {ROUND_SECONDS:.0f} s, or issued nothing:\n{end}"

    def _sample(self) -> Level:
        assert self.worker.process is not None
        pid = self.worker.process.pid
        sizes = [file.stat().st_size for volume in VOLUMES for file in _files(self.place / volume)]
        return Level(
            tree_bytes(pid) // 1024,
            len(list(Path(f"/proc/{pid}/fd").iterdir())),
            len(list(Path(f"/proc/{pid}/task").iterdir())),
            self._lasting_keys(),
            len(sizes),
            sum(sizes) // 1024,
        )

    def _lasting_keys(self) -> int:
        """
        Return the number of keys in Redis, without the finished jobs, which stay for a limited time.
        """
        keys = list(self.connection.scan_iter(count=1000))
        with self.connection.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.ttl(key)
            return sum(ttl == -1 or ttl > max(RESULT_TTL, FAILURE_TTL) for ttl in pipe.execute())


def main() -> int:
    """
    Run the load with the arguments of the command line, and return the exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.soak.load", description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000, help="issuances, and as many failures (5000)")
    parser.add_argument("--names", type=int, default=25, help="names that are issued, and that fail (25)")
    asked = parser.parse_args()
    if 2 * asked.jobs <= JOBS_BEFORE:
        parser.error(
            f"--jobs must be more than {JOBS_BEFORE // 2}, because the load compares with that level"
        )
    with TemporaryDirectory(prefix="certworker-load-") as place, _load(Path(place), asked.names) as load:
        levels = _run(load, asked.jobs)
        faults = [f"{field} grew by more than {TOLERANCE} %" for field in grown(*levels)]
        faults += _unexpected(load.worker.log)
        if faults and (kept := os.environ.get("SOAK_LOGS")):
            Path(kept, "load.log").write_text(load.worker.log)
            Path(kept, "load.keys").write_text(
                "\n".join(sorted(map(repr, load.connection.scan_iter(count=1000))))
            )
    for line in table(*levels):
        print(line)
    for fault in faults:
        print(f"FAULT {fault}")
    print("failed" if faults else "passed: nothing grew")
    return 1 if faults else 0


def _run(load: Load, jobs: int) -> tuple[Level, Level, Level]:
    """
    Return the level after the first jobs, in the middle between, and after all.
    """
    begin = time.monotonic()

    def level_after(outcomes: int) -> Level:
        while min(load.issued, load.failed) * 2 < outcomes:
            load.round()
            seconds = time.monotonic() - begin
            print(f"{seconds:6.0f} s  {load.issued} issued, {load.failed} failed", flush=True)
        level = load.level()
        print(f"          {level}", flush=True)
        return level

    return level_after(JOBS_BEFORE), level_after(JOBS_BEFORE // 2 + jobs), level_after(2 * jobs)


def _unexpected(log: str) -> Iterator[str]:
    for line in log.splitlines():
        if "worker.unexpected" in line or "Traceback" in line:
            yield f"in the log: {line}"
            return


def _files(volume: Path) -> Iterator[Path]:
    for file in volume.rglob("*"):
        if file.is_file() and not file.is_symlink():
            yield file


@contextmanager
def _load(place: Path, names: int) -> Iterator[Load]:
    redis = RedisServer(place / "redis")
    redis.start()
    http_port = free_port()
    try:
        with redis.client() as connection, development_authority(place, http01_port=http_port) as authority:
            variables = environment(
                place,
                authority.directory_url,
                http_port,
                _APP_REDIS_HOST="127.0.0.1",
                _APP_REDIS_PORT=str(redis.port),
            )
            with WorkerProcess(variables, place / "worker.log") as worker:
                yield Load(worker, connection, place, names)
    finally:
        redis.kill()


if __name__ == "__main__":
    sys.exit(main())
