"""
A whole house in this process: real rooms, a real Redis, a real CA, an open door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from redis import Redis

from certworker.app import App, build_app
from certworker.http import HttpServer
from certworker.job_slot import current_slot
from certworker.settings import CaChoice, HttpAddress, load
from certworker.worker.producer import queue_length, request_certificate


def environment(place: Path, directory_url: str, http_port: int, **more: str) -> dict[str, str]:
    """
    The variables of a worker that keeps everything under *place* and orders from *directory_url*.
    """
    for directory in ("certificates", "config", "state"):
        (place / directory).mkdir(exist_ok=True)
    return {
        "CERTWORKER_AUTHORITY": directory_url,
        "CERTWORKER_PRIVATE_NETWORK": "true",
        "CERTWORKER_CERTIFICATES_DIR": str(place / "certificates"),
        "CERTWORKER_CONFIG_DIR": str(place / "config"),
        "CERTWORKER_STATE_DIR": str(place / "state"),
        "CERTWORKER_HTTP_ADDRESS": f"127.0.0.1:{http_port}",
        "CERTWORKER_HTTP01_PORT": str(http_port),
        **more,
    }


@contextmanager
def open_app(
    place: Path,
    connection: Redis,
    directory_url: str,
    http_port: int,
    *,
    urls: Mapping[str, str] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    variables: Mapping[str, str] | None = None,
    **more: str,
) -> Iterator[App]:
    """
    A house whose door answers challenges on *http_port*; *more* variables may change its settings.

    Each CA is at *directory_url*, whatever its name; with *urls* each is where they say by its label, or
    where the settings do.
    """

    def directory_of(choice: CaChoice) -> str:
        return directory_url if urls is None else urls.get(choice.label) or str(choice.directory_url)

    wanted: list[datetime] = []
    app = build_app(
        load(environment(place, directory_url, http_port, **(variables or {}), **more)),
        connection,
        directory_of=directory_of,
        request=partial(request_certificate, connection=connection),
        wake=wanted.append,
        waiting=partial(queue_length, connection),
        slot=current_slot,
        clock=clock,
    )
    door = HttpServer(
        HttpAddress("127.0.0.1", http_port),
        answer=app.responder.answer,
        healthy=dict,
        metrics=app.metrics.render,
    )
    door.start()
    try:
        yield app
    finally:
        door.stop()
