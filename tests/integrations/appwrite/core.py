"""
Run the producers of Appwrite in PHP, and a consumer as a thread or a process.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from redis import Redis

from certworker.errors import CertworkerError
from certworker.integrations.appwrite.consumer import Consumer, Mode, Translator
from certworker.worker.producer import request_certificate
from tests.servers.redis import RedisServer

NAME = "v1-certificates"
UTOPIA = f"utopia-queue.queue.{NAME}"
RESQUE = f"resque:queue:{NAME}"


def php(script: str, server: RedisServer, *arguments: str) -> None:
    """
    Run the producer *script* of this directory with PHP.
    """
    path = Path(__file__).with_name(f"{script}.php")
    subprocess.run(["php", str(path), str(server.port), *arguments], check=True, timeout=60)


def produce(server: RedisServer, *payloads: dict[str, Any]) -> None:
    """
    Put messages with these *payloads* into the queue, with PHP.
    """
    php("utopia", server, json.dumps(payloads))


def payload(domain: object, **more: object) -> dict[str, Any]:
    """
    Return the payload of a message of the latest Appwrite.
    """
    return {"domain": {"domain": domain, "domainType": "site"}, "action": "generation", **more}


def requested(connection: Redis) -> list[tuple[str, bool]]:
    """
    Return the requests in certworker's queue: each name, and whether it is forced.
    """
    ids = cast("list[bytes]", connection.lrange("rq:queue:certificates", 0, -1))
    with connection.pipeline() as pipeline:
        for job_id in ids:
            pipeline.hget(b"rq:job:" + job_id, "data")
        calls = [json.loads(zlib.decompress(data)) for data in pipeline.execute()]
    return [(arguments["domain"], arguments["force"]) for _, _, _, arguments in calls]


def stats(connection: Redis) -> dict[str, int]:
    """
    Return Appwrite's counters and the lengths of its lists.
    """
    counts = {}
    for kind in ("total", "processing", "success", "failed"):
        counts[kind] = int(cast("bytes", connection.get(f"utopia-queue.stats.{NAME}.{kind}") or b"0"))
    for kind in ("processing", "failed"):
        counts[f"{kind} list"] = connection.llen(f"utopia-queue.{kind}.{NAME}")
    return counts


def translator(
    connection: Redis,
    verify: Callable[[str], None] = lambda _: None,
    unverified: Callable[[str, CertworkerError], object] = lambda *_: None,
) -> Translator:
    """
    Return a translator whose requests go into the real queue.
    """
    return Translator(
        request=lambda name, force: request_certificate(name, force=force, connection=connection),
        verify=verify,
        unverified=unverified,
        private_names=True,
        wildcards=False,
    )


@contextmanager
def consumer(
    connection: Redis, mode: Mode = "on", seconds_between_counts: float = 10, **more: Any
) -> Iterator[Consumer]:
    """
    Run a consumer during the block.
    """
    started = Consumer(
        connection,
        NAME,
        mode,
        translator(connection, **more),
        seconds_between_counts=seconds_between_counts,
    )
    started.start()
    try:
        yield started
    finally:
        started.stop()


@contextmanager
def consumer_process(server: RedisServer) -> Iterator[subprocess.Popen[bytes]]:
    """
    Run a consumer in a process that a test can kill.
    """
    process = subprocess.Popen([sys.executable, "-m", "tests.integrations.appwrite.core", str(server.port)])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def main(port: str) -> None:
    """
    Run the consumer in the process.
    """
    logging.disable()
    with consumer(Redis(port=int(port))):
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
