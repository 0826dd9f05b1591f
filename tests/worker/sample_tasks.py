"""
Run a worker with sample functions, and write jobs in the wire format of RQ.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, cast

from redis import Redis

from certworker.errors import NotRecorded
from certworker.errors.fs import VolumeFull
from certworker.supervision import Heartbeats
from certworker.worker.producer import QUEUE_KEY
from certworker.worker.scheduler import Scheduler
from certworker.worker.worker import run
from tests.servers.redis import RedisServer

TIMEOUT_SECONDS = 30.0


def sample_functions(connection: Redis) -> Mapping[str, Callable[..., object]]:
    """
    Return the functions of the sample worker. Redis records each call.
    """

    def issue(
        domain: str = "",
        domains: list[str] | None = None,
        force: bool = False,
        tenant: str = "",
    ) -> dict[str, object]:
        connection.rpush("sample:issued", json.dumps([domain or domains, force]))
        time.sleep(float(connection.get("sample:pause") or 0))
        return {"state": "issued", "names": [domain]}

    def look() -> dict[str, object]:
        connection.rpush("sample:looked", str(time.time()))
        return {}

    def sleep(seconds: float) -> str:
        connection.rpush("sample:began", "sleep")
        time.sleep(seconds)
        connection.rpush("sample:ended", "sleep")
        return "slept"

    def hold() -> str:
        connection.rpush("sample:began", "hold")
        eventually(lambda: connection.exists("sample:release"))
        return "held"

    def sleep_in_steps() -> None:
        # An exception stops a thread only between two steps of the thread.
        for _ in range(200):
            time.sleep(0.05)

    def fail() -> None:
        raise VolumeFull(path="/storage/certificates/a.pem", reason="No space left on device")

    def misuse_redis() -> None:
        connection.set("sample:string", "not a list")
        connection.lpop("sample:string")

    def end_unrecorded() -> str:
        if connection.rpush("sample:began", "end_unrecorded") == 1:
            raise NotRecorded("the next attempt is not planned")
        return "recorded"

    def raise_unexpected() -> None:
        raise ZeroDivisionError("a fault of the program")

    return {
        "certworker.issue": issue,
        "certworker.look": look,
        "sample.sleep": sleep,
        "sample.hold": hold,
        "sample.sleep_in_steps": sleep_in_steps,
        "sample.fail": fail,
        "sample.misuse_redis": misuse_redis,
        "sample.end_unrecorded": end_unrecorded,
        "sample.raise_unexpected": raise_unexpected,
    }


@contextmanager
def worker_thread(
    connection: Redis,
    *,
    slots: int = 4,
    lease_seconds: int = 90,
    stop_deadline_seconds: float = 5,
    functions: Mapping[str, Callable[..., object]] | None = None,
    leaves_jobs: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """
    Run a sample worker in a thread. *functions* replaces the sample functions.
    """
    stop, ready = Event(), Event()
    options: dict[str, Any] = {
        "slots": slots,
        "heartbeats": Heartbeats(),
        "stop": stop,
        "lease_seconds": lease_seconds,
        "stop_deadline_seconds": stop_deadline_seconds,
        "private_names": True,
        "leaves_jobs": leaves_jobs,
        "on_ready": ready.set,
    }
    registered = functions or sample_functions(connection)
    thread = Thread(target=run, args=(connection, registered), kwargs=options)
    thread.start()
    try:
        assert ready.wait(TIMEOUT_SECONDS)
        yield
    finally:
        stop.set()
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()


@contextmanager
def worker_process(
    server: RedisServer, *, slots: int = 4, lease_seconds: int = 2, stop_deadline_seconds: float = 10
) -> Iterator[subprocess.Popen[str]]:
    """
    Run the sample worker as a process with a scheduler. Its output is its log.
    """
    arguments = [str(value) for value in (server.port, slots, lease_seconds, stop_deadline_seconds)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.worker.sample_tasks", *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        while "ready" not in (line := process.stdout.readline()):
            assert line, "the worker has ended"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def push(
    connection: Redis,
    job_id: str,
    function: str = "certworker.issue",
    *arguments: object,
    **fields: Any,
) -> str:
    """
    Enqueue a job as any program can: store a hash, and append its id to a list.
    """
    call = json.dumps([function, None, list(arguments), {}])
    data: dict[str, Any] = {"data": zlib.compress(call.encode()), **fields}
    for field, value in data.items():
        connection.hset(f"rq:job:{job_id}", field, value)
    connection.rpush(QUEUE_KEY, job_id)
    return job_id


def end_of(connection: Redis, job_id: str) -> tuple[str, Any]:
    """
    Return the status of an ended job, with its result or the message of its failure.
    """
    assert eventually(
        lambda: (
            connection.hget(f"rq:job:{job_id}", "status") in (b"finished", b"failed")
            # Without a transaction, the result follows the status.
            and connection.xrevrange(f"rq:results:{job_id}", count=1)
        )
    )
    status = cast("bytes", connection.hget(f"rq:job:{job_id}", "status")).decode()
    result = cast("list[tuple[bytes, dict[bytes, bytes]]]", connection.xrevrange(f"rq:results:{job_id}"))[0][
        1
    ]
    if status == "failed":
        return status, zlib.decompress(b64decode(result[b"exc_string"])).decode()
    return status, json.loads(b64decode(result[b"return_value"]))


def eventually(condition: Callable[[], object], seconds: float = TIMEOUT_SECONDS) -> bool:
    """
    Return whether *condition* becomes true within *seconds*.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def main(port: str, slots: str, lease_seconds: str, stop_deadline_seconds: str) -> int:
    """
    Run the sample worker until it receives a signal.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
    connection = Redis(port=int(port), max_connections=200)
    scheduler = Scheduler(connection)

    def ready() -> None:
        scheduler.start()
        logging.getLogger("certworker.sample").info("ready")
        sys.stdout.flush()

    code = run(
        connection,
        sample_functions(connection),
        slots=int(slots),
        heartbeats=Heartbeats(),
        lease_seconds=int(lease_seconds),
        stop_deadline_seconds=float(stop_deadline_seconds),
        private_names=True,
        wildcards=True,
        on_ready=ready,
    )
    scheduler.stop()
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
