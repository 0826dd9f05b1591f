"""
`certworker demo`: Redis, a CA, the worker and a TLS server on one machine.
"""

from __future__ import annotations

import os
import shlex
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click

from certworker.devca.authority import DevelopmentAuthority
from certworker.devca.name_server import KEY_NAME, DevelopmentNameServer
from certworker.devca.proxy import DevelopmentProxy, handshake
from certworker.devca.redis import EmbeddedRedis, free_port
from certworker.domains.wildcard import covering_wildcard, file_name
from certworker.redis.client import connect
from certworker.redis.url import RedisURL
from certworker.traefik.config import TraefikConfig
from certworker.validity import now_in_utc
from certworker.web.server import INSTALLATION, is_installed
from certworker.worker.producer import request_certificate


@dataclass(frozen=True)
class Subject:
    """
    The name that the demo requests, and the host name of the site for which the certificate is valid.
    """

    name: str
    site: str

    @property
    def files(self) -> str:
        """
        Return the name of the certificate directory and of Traefik's file.
        """
        return file_name(self.name)


ZONE = "demo.localhost"
ONE_NAME = Subject(ZONE, ZONE)
WILDCARD = Subject(f"*.{ZONE}", f"anything.{ZONE}")

#: Short enough for a demo: a renewal is due after half of it.
LIFETIME = timedelta(seconds=16)
#: With `--keep`, the lifetime of certificates issued after the renewal.
LIFETIME_AFTERWARDS = timedelta(days=90)
TIMEOUT_SECONDS = 60.0

#: The prefixes of the variables of certworker and of Appwrite.
PREFIXES = ("_APP_", "CERTWORKER_")


@click.command()
@click.option("--keep", is_flag=True, help="Keep running until Ctrl-C, and print commands to try.")
@click.option("--wildcard", is_flag=True, help="Request a wildcard, which needs DNS-01.")
def command(keep: bool, wildcard: bool) -> None:
    """
    Show an issuance and a renewal on this machine: no domain, no Docker, no Internet.

    The demo starts a Redis server, a CA, a worker, and a TLS server, and removes all their files when it
    ends. With --keep, it also writes a settings file, which you can load for the other commands while the
    demo is running. With --wildcard, it also starts a name server. There, the worker creates the TXT record
    of the challenge by a signed update (RFC 2136).

    \b
    Example:
      certworker demo
      certworker demo --keep
      certworker demo --wildcard
    """
    # A closed terminal ends the demo like Ctrl-C, so that no keys remain.
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(1))
    # A shell without job control starts its background processes with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="certworker-demo-")))
        _print_step(1, f"all files are in {directory} until the demo ends")
        redis = stack.enter_context(EmbeddedRedis(directory / "redis"))
        http_port = free_port()
        subject = WILDCARD if wildcard else ONE_NAME
        name_server = stack.enter_context(DevelopmentNameServer(ZONE)) if wildcard else None
        authority = stack.enter_context(_authority(directory, http_port, name_server))
        settings = _settings(directory, redis.port, http_port, authority.directory_url)
        if not is_installed():
            settings["CERTWORKER_WEB_ADDRESS"] = "off"
        servers = f"Redis listens on port {redis.port}; the development CA is at {authority.directory_url}"
        if name_server:
            settings |= _dns01_settings(name_server)
            servers += f"; the name server of {ZONE} listens on port {name_server.address[1]}"
        _print_step(2, servers)
        stack.enter_context(_worker(settings))

        connection = stack.enter_context(connect(RedisURL((("127.0.0.1", redis.port),))))
        job = request_certificate(subject.name, connection=connection)
        _print_step(3, f"job {job} requests {subject.name}; the log of the worker follows:")
        proxy = _start_proxy(directory, stack)

        root = authority.root_path
        first = _wait_until_served(subject.site, proxy.port, root, unlike=None)
        _print_step(4, f"https://{subject.site}:{proxy.port} serves serial {first}; {root} verifies it")
        lifetime = f"{LIFETIME.seconds} seconds"
        _print_step(5, f"the certificate is valid for {lifetime}; the worker renews it after half that time")
        second = _wait_until_served(subject.site, proxy.port, root, unlike=first)
        _print_step(6, f"renewed: serial {second} is in service")
        if keep:
            # A renewal every eight seconds would fill the log.
            authority.lifetime = LIFETIME_AFTERWARDS
            _print_commands(subject, directory, settings, proxy.port, root)
            _wait_for_interrupt()
    click.echo(
        f"{directory} is removed." if keep else "All files are removed. To explore: certworker demo --keep"
    )


def _print_step(step: int, text: str) -> None:
    click.secho(f"{step}. {text}", bold=True)
    sys.stdout.flush()


def _print_commands(
    subject: Subject, directory: Path, settings: Mapping[str, str], proxy_port: int, root: Path
) -> None:
    environment = directory / "env"
    environment.write_text(_exports(settings))
    http = f"http://{settings['CERTWORKER_HTTP_ADDRESS']}"
    web = settings["CERTWORKER_WEB_ADDRESS"]
    site = f"https://{subject.site}:{proxy_port}"
    page = f"http://{web}/" if web != "off" else f"the page needs more packages: {INSTALLATION}"
    click.echo(
        f"""
In another terminal:
  . {shlex.quote(str(environment))}
  certworker status
  certworker explain {shlex.quote(subject.name)}
  certworker doctor
  certworker request --wait shop.localhost
  curl --cacert {shlex.quote(str(root))} {shlex.quote(site)}

To open in a browser:
  {page}
  {http}/healthz
  {http}/metrics

Settings: {environment}
Certificate: {directory}/certificates/{subject.files}/
Configuration of Traefik: {directory}/config/{subject.files}.yml

Ctrl-C ends the demo and removes all its files.
"""
    )


def _exports(settings: Mapping[str, str]) -> str:
    """
    Return *settings* as a shell script, which also unsets all other settings and puts this program on PATH.
    """
    program = Path(sys.argv[0] if Path(sys.argv[0]).name == "certworker" else sys.executable).absolute()
    others = sorted(name for name in os.environ if name.startswith(PREFIXES) and name not in settings)
    lines = [
        *(f"unset {name}" for name in others),
        *(f"export {name}={shlex.quote(value)}" for name, value in settings.items()),
        f'export PATH={shlex.quote(str(program.parent))}:"$PATH"',
    ]
    return "".join(f"{line}\n" for line in lines)


def _settings(directory: Path, redis_port: int, http_port: int, directory_url: str) -> dict[str, str]:
    return {
        "_APP_REDIS_HOST": "127.0.0.1",
        "_APP_REDIS_PORT": str(redis_port),
        "_APP_DOMAIN": ZONE,
        "CERTWORKER_AUTHORITY": directory_url,
        "CERTWORKER_PRIVATE_NETWORK": "true",
        "CERTWORKER_CERTIFICATES_DIR": str(directory / "certificates"),
        "CERTWORKER_CONFIG_DIR": str(directory / "config"),
        "CERTWORKER_STATE_DIR": str(directory / "state"),
        "CERTWORKER_HTTP_ADDRESS": f"127.0.0.1:{http_port}",
        "CERTWORKER_HTTP01_PORT": str(http_port),
        "CERTWORKER_WEB_ADDRESS": f"127.0.0.1:{free_port()}",
    }


def _authority(
    directory: Path, http_port: int, name_server: DevelopmentNameServer | None
) -> DevelopmentAuthority:
    return DevelopmentAuthority(
        directory / "authority",
        lifetime=LIFETIME,
        http01_port=http_port,
        clock=now_in_utc,
        dns_server=name_server.address if name_server else None,
    )


def _start_proxy(directory: Path, stack: ExitStack) -> DevelopmentProxy:
    traefik = TraefikConfig(directory / "config")
    proxy = DevelopmentProxy(
        lambda site: traefik.files(site) or traefik.files(covering_wildcard(site) or site)
    )
    proxy.start()
    stack.callback(proxy.stop)
    return proxy


def _dns01_settings(name_server: DevelopmentNameServer) -> dict[str, str]:
    host, port = name_server.address
    return {
        # The worker requests the wildcard when it starts, as in an installation.
        "_APP_DOMAIN": "",
        "_APP_DOMAIN_FUNCTIONS": ZONE,
        "_APP_DNS": f"{host}:{port}",
        "CERTWORKER_DNS01_PROVIDER": f"rfc2136@{ZONE}",
        "RFC2136_NAMESERVER": f"{host}:{port}",
        "RFC2136_TSIG_KEY": KEY_NAME,
        "RFC2136_TSIG_SECRET": name_server.secret,
    }


@contextmanager
def _worker(settings: Mapping[str, str]) -> Iterator[None]:
    for directory in ("CERTWORKER_CERTIFICATES_DIR", "CERTWORKER_CONFIG_DIR", "CERTWORKER_STATE_DIR"):
        Path(settings[directory]).mkdir()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
    environment = {**inherited, **settings, "PYTHONUNBUFFERED": "1"}
    # The child inherits an ignored SIGINT. Otherwise, Ctrl-C during its imports would print a traceback.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen([sys.executable, "-m", "certworker", "work"], env=environment)
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_served(site: str, port: int, root: Path, unlike: str | None) -> str:
    """
    Wait until the proxy serves a new certificate for *site*, and return the serial number of the certificate.

    Args:
        unlike: The serial number of the previous certificate; None if there was none.

    Raises:
        click.ClickException: The proxy served no new certificate within a minute.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            serial = str(handshake(site, port, root)["serialNumber"])
            if serial != unlike:
                return serial
        except (ssl.SSLError, OSError):
            pass  # The certificate is not in service yet.
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"The proxy served no new certificate for {site} within a minute; the log of the worker "
                "above shows the reason."
            )
        time.sleep(0.1)


def _wait_for_interrupt() -> None:
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)
    click.echo()
