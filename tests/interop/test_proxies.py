"""
Real proxies that get their certificates from certworker over HTTP.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from certworker.dashboard.sources import Sources
from certworker.settings import HttpAddress, load
from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.tls_probe import served_certificate
from certworker.web.server import WebServer
from tests.app_fixture import environment
from tests.documentation import DOCS
from tests.guides import sections
from tests.interop.authorities import program
from tests.interop.proxies import running, wait_for
from tests.servers.ports import free_port
from tests.servers.worker import wait_until
from tests.storage.authority import Signer
from tests.storage.stored import NAME, store
from tests.web.application import create_token, open_application

GUIDE = DOCS / "guides" / "caddy-haproxy-nginx-kamal.md"

WILDCARD, BELOW, NEW = "*.apps.example.com", "one.apps.example.com", "new.example.com"

#: The options of Caddy for a machine without other privileges, and without a site on the other ports.
OPTIONS = """
    debug
    admin off
    auto_https disable_redirects
    default_bind 127.0.0.1
    skip_install_trust
"""

TRAEFIK = """
log: {{level: INFO}}
entryPoints:
  websecure:
    address: 127.0.0.1:{port}
    http: {{tls: {{}}}}
providers:
  providersThrottleDuration: 100ms
  http:
    endpoint: {url}
    pollInterval: 200ms
    headers:
      Authorization: Bearer {token}
"""


class Page:
    """
    The page of an installation with an empty volume, and the token of a proxy.
    """

    def __init__(self, directory: Path, connection: Redis) -> None:
        sources = Sources.of(load(environment(directory, "https://ca.test/dir", 80)), connection)
        application = open_application(directory / "tokens.json", sources=sources)
        self.server = WebServer(HttpAddress("127.0.0.1", 0), lambda _: application)
        self.token = create_token(directory / "tokens.json", "proxy")
        self.read_token = create_token(directory / "tokens.json", "read")
        self.volume = CertificateStore(directory / "certificates")
        self._signer = Signer()
        self._tokens = 0

    def issue(self, name: str) -> bytes:
        """
        Put a new certificate for *name* into service; return it.
        """
        self._tokens += 1
        stored = store(self.volume, self._signer.certificate(name), token=self._tokens)
        return ssl.PEM_cert_to_DER_cert(stored.certificate.cert_pem.decode())

    @property
    def address(self) -> str:
        """
        The address of the page.
        """
        return f"127.0.0.1:{self.server.port}"


@pytest.fixture
def page(tmp_path: Path, connection: Redis) -> Iterator[Page]:
    """
    Start the page.
    """
    page = Page(tmp_path, connection)
    page.server.start()
    yield page
    page.server.stop()


def caddy(page: Page, directory: Path, number: int, port: int) -> list[str | Path]:
    """
    Write the configuration *number* of the guide for Caddy at *port*; return the command.
    """
    text = sections(GUIDE)["Caddy"]["caddyfile"][number]
    options = f"{OPTIONS}    storage file_system {directory / 'storage'}\n"
    text = text.replace("{\n", f"{{\n{options}", 1) if text.startswith("{\n") else f"{{\n{options}}}\n{text}"
    for given, here in {
        "https:// {": f"https://:{port} {{",
        "127.0.0.1:8081": page.address,
        "{$CERTWORKER_PROXY_TOKEN}": page.token,
        "{$CERTWORKER_READ_TOKEN}": page.read_token,
    }.items():
        text = text.replace(given, here)
    (directory / "Caddyfile").write_text(text)
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", directory / "Caddyfile"]


class TestCaddy:
    def test_caddy_gets_each_certificate_at_the_handshake(self, page: Page, tmp_path: Path) -> None:
        """
        Caddy serves a name, a name below a wildcard, and a renewed certificate. It orders none itself.
        """
        port = free_port()
        issued, wildcard = page.issue(NAME), page.issue(WILDCARD)
        with running(caddy(page, tmp_path, 0, port), tmp_path) as log:
            wait_for(NAME, port, issued, log)
            wait_for(BELOW, port, wildcard, log)
            wait_for(NEW, port, None, log)
            wait_for(NEW, port, page.issue(NEW), log)
            wait_for(NAME, port, page.issue(NAME), log)

            assert page.token not in log.read_text()
            assert "obtain" not in log.read_text()

    def test_caddy_orders_only_allowed_names(self, page: Page, tmp_path: Path) -> None:
        """
        Caddy asks before it orders a certificate itself. Its debug log has the token, which gets no key.
        """
        port = free_port()
        page.issue(NAME)
        with running(caddy(page, tmp_path, 1, port), tmp_path) as log:
            for name, line in ((NEW, f"{NEW}: certificate not allowed"), (NAME, "obtaining new certificate")):
                wait_until(partial(shakes_until, name, port, line, log), log.read_text, pause_seconds=0.2)

            assert (
                f'"obtaining new certificate","remote_ip":"127.0.0.1","server_name":"{NEW}"'
                not in log.read_text()
            )
            assert page.token not in log.read_text()
            assert page.read_token in log.read_text()


def shakes_until(name: str, port: int, line: str, log: Path) -> bool | None:
    """
    Start a handshake for *name*; return True if *log* has *line*.
    """
    with suppress(OSError):
        served_certificate(name, HttpAddress("127.0.0.1", port))
    return line in log.read_text() or None


class TestTraefik:
    def test_traefik_polls_the_certificates(self, page: Page, tmp_path: Path) -> None:
        """
        Traefik serves certificates, new names and renewals of the HTTP provider, and drops a removed name.
        """
        port, file = free_port(), tmp_path / "traefik.yml"
        file.write_text(
            TRAEFIK.format(port=port, url=f"http://{page.address}/proxies/traefik", token=page.token)
        )
        issued, wildcard = page.issue(NAME), page.issue(WILDCARD)
        with running([program("traefik"), f"--configFile={file}"], tmp_path) as log:
            wait_for(NAME, port, issued, log)
            wait_for(BELOW, port, wildcard, log)
            wait_for(NEW, port, page.issue(NEW), log)
            renewed = page.issue(NAME)
            wait_for(NAME, port, renewed, log)
            for name in (NAME, WILDCARD, NEW):
                page.volume.remove(name)
            wait_until(lambda: shows_no(renewed, port) or None, log.read_text, pause_seconds=0.1)

            assert "ERR" not in log.read_text()
            assert page.token not in log.read_text()


def shows_no(certificate: bytes, port: int) -> bool:
    """
    Return whether a client of the name gets another certificate than *certificate*.
    """
    return served_certificate(NAME, HttpAddress("127.0.0.1", port)) != certificate
