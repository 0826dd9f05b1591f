"""
A complete app in this process, with a real Redis, a real CA and a real HTTP server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from redis import Redis

from certworker.app import App, build_app
from certworker.http import HttpServer
from certworker.settings import CaChoice, HttpAddress, load

#: A DNS provider that exists only in the settings.
PROVIDER = {"CERTWORKER_DNS01_PROVIDER": "rfc2136", "RFC2136_NAMESERVER": "127.0.0.1:9"}


def environment(directory: Path, directory_url: str, http_port: int, **variables: str) -> dict[str, str]:
    """
    Return the variables of a worker with its volumes in *directory* and the CA at *directory_url*.
    """
    for volume in ("certificates", "config", "state"):
        (directory / volume).mkdir(exist_ok=True)
    return {
        "CERTWORKER_AUTHORITY": directory_url,
        "CERTWORKER_PRIVATE_NETWORK": "true",
        "CERTWORKER_CERTIFICATES_DIR": str(directory / "certificates"),
        "CERTWORKER_CONFIG_DIR": str(directory / "config"),
        "CERTWORKER_STATE_DIR": str(directory / "state"),
        "CERTWORKER_HTTP_ADDRESS": f"127.0.0.1:{http_port}",
        "CERTWORKER_WEB_ADDRESS": "off",
        "CERTWORKER_HTTP01_PORT": str(http_port),
        **variables,
    }


@contextmanager
def open_app(
    directory: Path,
    connection: Redis,
    directory_url: str,
    http_port: int,
    *,
    urls: Mapping[str, str] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    variables: Mapping[str, str] | None = None,
    wildcards: bool = False,
    **more: str,
) -> Iterator[App]:
    """
    Open an app whose HTTP server answers challenges on *http_port*.

    Args:
        directory: The parent directory of the volumes.
        connection: A connection to Redis.
        directory_url: The directory URL of each CA.
        http_port: The port of the HTTP server, to which the CA also connects for validation.
        urls: The directory URLs of CAs by label. A CA without an entry uses the URL of the settings.
        clock: Returns the time in UTC.
        variables: Additional environment variables.
        wildcards: Whether a DNS provider is set. It exists only in the settings.
        more: Additional environment variables, as keyword arguments.
    """

    def directory_of(choice: CaChoice) -> str:
        return directory_url if urls is None else urls.get(choice.label) or str(choice.directory_url)

    provider = PROVIDER if wildcards else {}
    wake_ups: list[datetime] = []
    app = build_app(
        load(environment(directory, directory_url, http_port, **provider, **(variables or {}), **more)),
        connection,
        directory_of=directory_of,
        wake=wake_ups.append,
        clock=clock,
    )
    server = HttpServer(
        HttpAddress("127.0.0.1", http_port),
        answer=app.responder.answer,
        healthy=dict,
        metrics=app.metrics.render,
    )
    server.start()
    try:
        yield app
    finally:
        server.stop()
