"""
`certworker demo`: Redis, a CA, the worker and a TLS server on one machine, in one command.
"""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import click

from certworker.assembly import now_in_utc
from certworker.development.authority import DevelopmentAuthority
from certworker.development.proxy import DevelopmentProxy, handshake
from certworker.development.redis import EmbeddedRedis, free_port
from certworker.intake.client import client_of
from certworker.intake.queue import request_certificate
from certworker.redis_address import RedisAddress
from certworker.serving.traefik import Traefik

NAME = "demo.localhost"

#: So short that a renewal can be watched; it is due when half of it is left.
LIFETIME = timedelta(seconds=16)
PATIENCE_SECONDS = 60.0


@click.command()
@click.option("--keep", is_flag=True, help="Stay up afterwards, until Ctrl-C.")
def command(keep: bool) -> None:
    """
    Show the whole of it on this machine: no domain, no Docker, no Internet.

    \b
    Example:
      certworker demo
    """
    place = Path(tempfile.mkdtemp(prefix="certworker-demo-"))
    with ExitStack() as stack:
        _say(1, f"everything lies in {place}")
        redis = stack.enter_context(EmbeddedRedis(place / "redis"))
        http_port = free_port()
        authority = stack.enter_context(
            DevelopmentAuthority(
                place / "authority", lifetime=LIFETIME, http01_port=http_port, clock=now_in_utc
            )
        )
        _say(2, f"Redis is on port {redis.port}, a CA of our own at {authority.directory_url}")
        stack.enter_context(_worker(_environment(place, redis.port, http_port, authority.directory_url)))

        connection = stack.enter_context(client_of(RedisAddress((("127.0.0.1", redis.port),))))
        job = request_certificate(NAME, connection=connection)
        _say(3, f"job {job} for {NAME} is on the queue; now the worker's own log:")
        traefik = Traefik(place / "config")
        proxy = DevelopmentProxy(traefik.files)
        proxy.start()
        stack.callback(proxy.stop)

        root = authority.root_path
        first = _served(proxy.port, root, unlike=None)
        _say(4, f"https://{NAME}:{proxy.port} has a padlock: serial {first}, checked against {root}")
        _say(5, f"it lives {LIFETIME.seconds} seconds; watch it being renewed when half of them are over")
        second = _served(proxy.port, root, unlike=first)
        _say(6, f"renewed by itself: serial {second} is served now")
        click.echo(f"\nYours to look at: {place}/certificates/{NAME}/ and {place}/config/{NAME}.yml")
        if keep:
            click.echo(
                f"Try: curl --cacert {authority.root_path} https://{NAME}:{proxy.port}   (Ctrl-C ends it)"
            )
            _until_interrupted()


def _say(step: int, text: str) -> None:
    click.secho(f"{step}. {text}", bold=True)
    sys.stdout.flush()


def _environment(place: Path, redis_port: int, http_port: int, directory_url: str) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("_APP_", "CERTWORKER_"))
    }
    return inherited | {
        "_APP_REDIS_HOST": "127.0.0.1",
        "_APP_REDIS_PORT": str(redis_port),
        "_APP_DOMAIN": NAME,
        "CERTWORKER_AUTHORITY": directory_url,
        "CERTWORKER_PRIVATE_NETWORK": "true",
        "CERTWORKER_CERTIFICATES_DIR": str(place / "certificates"),
        "CERTWORKER_CONFIG_DIR": str(place / "config"),
        "CERTWORKER_STATE_DIR": str(place / "state"),
        "CERTWORKER_HTTP_ADDRESS": f"127.0.0.1:{http_port}",
        "CERTWORKER_HTTP01_PORT": str(http_port),
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def _worker(environment: dict[str, str]) -> Iterator[None]:
    for directory in ("CERTWORKER_CERTIFICATES_DIR", "CERTWORKER_CONFIG_DIR", "CERTWORKER_STATE_DIR"):
        Path(environment[directory]).mkdir()
    process = subprocess.Popen([sys.executable, "-m", "certworker", "work"], env=environment)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _served(port: int, root: Path, unlike: str | None) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            serial = str(handshake(NAME, port, root)["serialNumber"])
            if serial != unlike:
                return serial
        except (ssl.SSLError, OSError):
            pass  # not there yet
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"{NAME} was not served within a minute; the worker's log above says why."
            )
        time.sleep(0.1)


def _until_interrupted() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo()
