"""
The time from start to exit of commands that run often, and from start to ready of the worker.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median

from redis import Redis

from bench.certificates import LIFETIME, stored
from bench.figures import Figure, progress
from bench.worlds import environment, redis_server, settings, stop
from certworker.renewal.agenda import Agenda
from certworker.state.domain_records import RECORDS, DomainRecords
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import CertificateMetadata
from tests.servers.ports import free_port

TITLE = "from start to exit"
NOTE = (
    "from start to exit: median of seven processes. The worker is ready when its log reports it; each starts "
    "with empty volumes and an empty Redis. 50,000 names: each has its agenda entry and its "
    "record, and the first 1,000 have files on the volume. `status` shows the first page."
)

ROUNDS = 7
NAMES = 50_000
NAMES_ON_VOLUME = 1_000
NAMES_A_PIPELINE = 1_000

#: The line of the log with which the worker reports that it takes jobs.
READY = re.compile(r".*certworker \S+ ready ")


def measure(place: Path) -> list[Figure]:
    """
    Return the times of `certworker --help`, `status` and `work`, and of an empty Python program.
    """
    certworker = str(Path(sys.executable).with_name("certworker"))
    with redis_server(place / "redis") as redis, redis.client() as connection:
        variables = settings(place, redis.port)
        nothing = _seconds([sys.executable, "-c", ""], variables)
        usage = _seconds([certworker, "--help"], variables)
        empty = _seconds([certworker, "status"], variables)
        _populate(connection, place / "certificates")
        full = _seconds([certworker, "status"], variables)
    ready = median(_until_ready(place / f"worker{number}") for number in range(ROUNDS))
    return [
        Figure(TITLE, "Python that does nothing", nothing, "s"),
        Figure(TITLE, "certworker --help", usage, "s", 0.25),
        Figure(TITLE, "certworker status, no names", empty, "s", 0.3),
        Figure(TITLE, "certworker status, 50,000 names", full, "s", 0.8),
        Figure(TITLE, "certworker work, until it is ready", ready, "s", 0.6),
    ]


def _seconds(command: Sequence[str], variables: Mapping[str, str]) -> float:
    progress(f"{TITLE}: {' '.join([Path(command[0]).name, *command[1:]])}")
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run(command, env=environment(variables), check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - began)
    return median(took)


def _until_ready(place: Path) -> float:
    progress(f"{TITLE}: certworker work, {place.name}")
    with redis_server(place / "redis") as redis:
        port = free_port()
        variables = settings(place, redis.port) | {
            "CERTWORKER_AUTHORITY": f"http://127.0.0.1:{port}/directory",
            "CERTWORKER_HTTP_ADDRESS": f"127.0.0.1:{port}",
        }
        began = time.perf_counter()
        worker = subprocess.Popen(
            [sys.executable, "-m", "certworker", "work"],
            env=environment(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            log = []
            for line in worker.stdout or ():
                log.append(line)
                if READY.match(line):
                    return time.perf_counter() - began
            raise RuntimeError(f"the worker did not become ready:\n{''.join(log)}")
        finally:
            stop(worker)


def _populate(connection: Redis, certificates_dir: Path) -> None:
    progress(f"{TITLE}: writing {NAMES} names")
    now, random = datetime.now(UTC), Random(2)
    names = [f"name{number:05}.bench.test" for number in range(NAMES)]
    Agenda(connection, lambda _: None).put_many({name: now + random.random() * LIFETIME for name in names})

    # The benchmark writes one record with the worker's code and copies it, which is faster.
    DomainRecords(connection).record_issued(
        names[:1],
        CertificateMetadata((), now, now + LIFETIME, "1", "bench", "", "bench", "private", 1),
        next_check=now + LIFETIME / 3,
        now=now,
    )
    for start in range(1, NAMES, NAMES_A_PIPELINE):
        with connection.pipeline(transaction=False) as pipe:
            for name in names[start : start + NAMES_A_PIPELINE]:
                pipe.copy(RECORDS + names[0], RECORDS + name)
                pipe.hset(RECORDS + name, "names", json.dumps([name]))
            pipe.execute()

    for _ in stored(CertificateStore(certificates_dir), names[:NAMES_ON_VOLUME], now):
        pass
