"""
A worker with toy functions, as a program and as a thread, and jobs in the plain wire format.
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

from certworker.errors.fs import VolumeFull
from certworker.supervision import Heartbeats
from certworker.worker.producer import QUEUE_KEY
from certworker.worker.scheduler import Scheduler
from certworker.worker.worker import run
from tests.servers.redis import RedisServer

PATIENCE_SECONDS = 30.0


def toy_functions(connection: Redis) -> Mapping[str, Callable[..., object]]:
    """
    What the toy worker has registered. Each call leaves a note in Redis.
    """

    def issue(
        domain: str = "",
        domains: list[str] | None = None,
        force: bool = False,
        tenant: str = "",
    ) -> dict[str, object]:
        connection.rpush("toy:issued", json.dumps([domain or domains, force]))
        time.sleep(float(connection.get("toy:nap") or 0))
        return {"state": "issued", "names": [domain]}

    def look() -> dict[str, object]:
        connection.rpush("toy:looked", str(time.time()))
        return {}

    def sleep(seconds: float) -> str:
        connection.rpush("toy:began", "sleep")
        time.sleep(seconds)
        connection.rpush("toy:ended", "sleep")
        return "slept"

    def hold() -> str:
        connection.rpush("toy:began", "hold")
        eventually(lambda: connection.exists("toy:release"))
        return "held"

    def naps() -> None:
        # A thread can be stopped between two of its own steps only.
        for _ in range(200):
            time.sleep(0.05)

    def fail() -> None:
        raise VolumeFull(path="/storage/certificates/a.pem", reason="No space left on device")

    def misuse_redis() -> None:
        connection.set("toy:string", "not a list")
        connection.lpop("toy:string")

    def stumble() -> None:
        raise ZeroDivisionError("a fault of the program")

    return {
        "certworker.issue": issue,
        "certworker.look": look,
        "toy.sleep": sleep,
        "toy.hold": hold,
        "toy.naps": naps,
        "toy.fail": fail,
        "toy.misuse_redis": misuse_redis,
        "toy.stumble": stumble,
    }


@contextmanager
def worker_thread(
    connection: Redis,
    *,
    slots: int = 4,
    lease_seconds: int = 90,
    stop_deadline_seconds: float = 5,
    functions: Mapping[str, Callable[..., object]] | None = None,
) -> Iterator[None]:
    """
    The toy worker in a thread of the test, or one with other *functions*.
    """
    stop, ready = Event(), Event()
    options: dict[str, Any] = {
        "slots": slots,
        "heartbeats": Heartbeats(),
        "stop": stop,
        "lease_seconds": lease_seconds,
        "stop_deadline_seconds": stop_deadline_seconds,
        "private_names": True,
        "on_ready": ready.set,
    }
    registered = functions or toy_functions(connection)
    thread = Thread(target=run, args=(connection, registered), kwargs=options)
    thread.start()
    try:
        assert ready.wait(PATIENCE_SECONDS)
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


@contextmanager
def worker_process(
    server: RedisServer, *, slots: int = 4, lease_seconds: int = 2, stop_deadline_seconds: float = 10
) -> Iterator[subprocess.Popen[str]]:
    """
    The toy worker as a process of its own, with a scheduler; its log is its output.
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
    Put a job on the queue as any program in any language can: a hash, and its id in a list.
    """
    call = json.dumps([function, None, list(arguments), {}])
    data: dict[str, Any] = {"data": zlib.compress(call.encode()), **fields}
    for field, value in data.items():
        connection.hset(f"rq:job:{job_id}", field, value)
    connection.rpush(QUEUE_KEY, job_id)
    return job_id


def end_of(connection: Redis, job_id: str) -> tuple[str, Any]:
    """
    How a job ended: its status, with what it returned or the sentence that says why it failed.
    """
    assert eventually(lambda: connection.hget(f"rq:job:{job_id}", "status") in (b"finished", b"failed"))
    status = cast("bytes", connection.hget(f"rq:job:{job_id}", "status")).decode()
    told = cast("list[tuple[bytes, dict[bytes, bytes]]]", connection.xrevrange(f"rq:results:{job_id}"))[0][1]
    if status == "failed":
        return status, zlib.decompress(b64decode(told[b"exc_string"])).decode()
    return status, json.loads(b64decode(told[b"return_value"]))


def eventually(happens: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> bool:
    """
    Whether *happens* becomes true in time.
    """
    deadline = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def main(port: str, slots: str, lease_seconds: str, stop_deadline_seconds: str) -> int:
    """
    The toy worker's program.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
    connection = Redis(port=int(port), max_connections=200)
    scheduler = Scheduler(connection)

    def ready() -> None:
        scheduler.start()
        logging.getLogger("certworker.toy").info("ready")
        sys.stdout.flush()

    code = run(
        connection,
        toy_functions(connection),
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
