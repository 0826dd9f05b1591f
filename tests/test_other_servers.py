"""
Real servers that read the volume with the configuration of docs/guides/reload-other-servers.md.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import ssl
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from redis import Redis

from certworker.devca.name_server import KEY_NAME, DevelopmentNameServer
from certworker.devca.proxy import handshake
from certworker.integrations.deploy_hook import environment, run
from certworker.settings import HttpAddress
from certworker.settings.reload import Reload
from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.tls_probe import served_certificate
from tests.app_fixture import open_app
from tests.servers.development import development_authority
from tests.servers.ports import free_port
from tests.servers.worker import wait_until
from tests.storage.authority import Signer
from tests.storage.stored import store

GUIDE = Path(__file__).parents[1] / "docs/guides/reload-other-servers.md"
NAME, OTHER = "shop.example.com", "blog.example.com"
FUNCTIONS = "functions.localhost"

#: The path of the volume in the guide.
VOLUME = "/storage/certificates"


def blocks(language: str) -> list[str]:
    """
    Return the blocks of the guide in *language*.
    """
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)


def program(name: str) -> str:
    """
    Return the path of the program *name*.
    """
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is missing; install it: apt-get install {name}")
    return found


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """
    Run *command*, and stop it and its children afterwards.
    """
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


class Server:
    """
    A server on a free port, with its log and a volume.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.port = free_port()
        self.volume = CertificateStore(place / "certificates")
        self.log = place / "server.log"

    def adapted(self, text: str) -> str:
        """
        Return *text* of the guide with the paths and the port of this server.
        """
        return (
            text.replace(VOLUME, str(self.volume.directory))
            .replace("/etc/haproxy", str(self.place))
            .replace("443", str(self.port))
        )

    def serial(self, name: str) -> str | None:
        """
        Return the serial number of the certificate that a client of *name* gets, or None without a response.
        """
        try:
            leaf = x509.load_der_x509_certificate(
                served_certificate(name, HttpAddress("127.0.0.1", self.port))
            )
        except OSError:
            return None
        return f"{leaf.serial_number:x}"

    def reload(self, reload: Callable[[], object], name: str, serial: str) -> None:
        """
        Call *reload* until a client of *name* gets the certificate with *serial*.

        HAProxy ignores a signal during its start and during a reload. A worker sends none so soon.
        """
        wanted, next_reload = serial.lstrip("0"), 0.0

        def seen() -> bool | None:
            nonlocal next_reload
            if time.monotonic() >= next_reload:
                next_reload = time.monotonic() + 3
                reload()
            return self.serial(name) == wanted or None

        wait_until(seen, self.log.read_text, pause_seconds=0.1)

    def wait_for(self, name: str, serial: str) -> None:
        """
        Wait until a client of *name* gets the certificate with *serial*.
        """
        wanted = serial.lstrip("0")
        wait_until(lambda: self.serial(name) == wanted or None, self.log.read_text)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """
    Return a server that is not started, and a volume with a certificate.
    """
    return Server(tmp_path)


def nginx(server: Server, site: str) -> list[str]:
    """
    Write a complete nginx configuration with *site* of the guide. Return the command.
    """
    configuration = server.place / "nginx.conf"
    configuration.write_text(
        f"daemon off; pid {server.place}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {_places(server.place)}\n{server.adapted(site)} }}\n"
    )
    return [program("nginx"), "-p", str(server.place), "-c", str(configuration), "-e", "stderr"]


def _places(place: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {place}/{kind};" for kind in kinds)


def haproxy(server: Server, site: str) -> list[str]:
    """
    Write a complete HAProxy configuration with *site* of the guide. Return the command.
    """
    configuration = server.place / "haproxy.cfg"
    timeouts = "".join(f"    timeout {kind} 5s\n" for kind in ("client", "server", "connect"))
    configuration.write_text(f"defaults\n{timeouts}{server.adapted(site)}")
    return [program("haproxy"), "-W", "-f", str(configuration)]


class TestReload:
    @pytest.mark.parametrize(
        ("kind", "reload_signal"), [("nginx", signal.SIGHUP), ("haproxy", signal.SIGUSR2)]
    )
    def test_a_server_serves_a_new_certificate_after_its_reload(
        self, server: Server, signer: Signer, kind: str, reload_signal: signal.Signals
    ) -> None:
        """
        The server serves the first certificate and each renewal from the paths of the guide.
        """
        first = store(server.volume, signer.certificate(NAME), token=1)
        command = (
            nginx(server, blocks("nginx")[0]) if kind == "nginx" else haproxy(server, blocks("haproxy")[0])
        )
        with running(command, server.log) as process:
            server.wait_for(NAME, first.metadata.serial)
            for token in (2, 3):
                renewed = store(server.volume, signer.certificate(NAME), token=token)
                server.reload(partial(process.send_signal, reload_signal), NAME, renewed.metadata.serial)

    def test_haproxy_reads_a_list_of_all_certificates(self, server: Server, signer: Signer) -> None:
        """
        The command of the guide writes the list, and HAProxy selects the certificate by the name of the
        client.
        """
        stored = {
            name: store(server.volume, signer.certificate(name), token=token)
            for token, name in enumerate((NAME, OTHER), start=1)
        }
        (command,) = [block for block in blocks("sh") if block.startswith("ls ")]
        subprocess.run(["/bin/sh", "-ec", server.adapted(command)], check=True)
        one = f"crt {VOLUME}/{NAME}/fullchain.pem"
        site = blocks("haproxy")[0]
        assert one in site
        assert "crt-list\n/etc/haproxy/certificates.txt" in GUIDE.read_text()
        with running(
            haproxy(server, site.replace(one, "crt-list /etc/haproxy/certificates.txt")), server.log
        ):
            for name, each in stored.items():
                server.wait_for(name, each.metadata.serial)


class TestWildcard:
    def test_nginx_serves_a_subdomain_with_the_files_of_the_wildcard(
        self, server: Server, connection: Redis
    ) -> None:
        """
        A client accepts the wildcard for each name directly below its domain, and for no other name.
        """
        with (
            DevelopmentNameServer(FUNCTIONS) as name_server,
            development_authority(server.place, dns_server=name_server.address) as authority,
        ):
            address = "{}:{}".format(*name_server.address)
            provider = {
                "_APP_DNS": address,
                "CERTWORKER_DNS01_PROVIDER": "rfc2136",
                "RFC2136_NAMESERVER": address,
                "RFC2136_TSIG_KEY": KEY_NAME,
                "RFC2136_TSIG_SECRET": name_server.secret,
            }
            url = authority.directory_url
            with open_app(server.place, connection, url, free_port(), variables=provider) as app:
                app.issuance.issue((f"*.{FUNCTIONS}",))
        site = blocks("nginx")[1].replace("functions.example.com", FUNCTIONS)
        with running(nginx(server, site), server.log):
            wait_until(lambda: server.serial(f"a.{FUNCTIONS}"), server.log.read_text)
            shown = handshake(f"a.{FUNCTIONS}", server.port, authority.root_path)
            with pytest.raises(ssl.SSLCertVerificationError):
                handshake(f"a.b.{FUNCTIONS}", server.port, authority.root_path)

        assert (("DNS", f"*.{FUNCTIONS}"),) == shown["subjectAltName"]


class TestDeployHook:
    @pytest.mark.parametrize(("kind", "reload_signal"), [("nginx", "HUP"), ("haproxy", "USR2")])
    def test_a_real_server_serves_the_new_certificate_after_the_hook(
        self, server: Server, signer: Signer, monkeypatch: pytest.MonkeyPatch, kind: str, reload_signal: str
    ) -> None:
        """
        The hook of the guide reloads the server. A stub of `systemctl` sends the signal of the unit.
        """
        first = store(server.volume, signer.certificate(NAME), token=1)
        command = (
            nginx(server, blocks("nginx")[0]) if kind == "nginx" else haproxy(server, blocks("haproxy")[0])
        )
        with running(command, server.log) as process:
            server.wait_for(NAME, first.metadata.serial)
            stub(server.place, f"kill -{reload_signal} {process.pid}", monkeypatch)
            renewed = store(server.volume, signer.certificate(NAME), token=2)
            server.reload(lambda: run_hook(server, hook_for(kind)), NAME, renewed.metadata.serial)

    @pytest.mark.parametrize("unit", ["nginx", "apache2", "haproxy", "postfix"])
    def test_each_hook_of_the_guide_reloads_its_server(
        self, server: Server, signer: Signer, monkeypatch: pytest.MonkeyPatch, unit: str
    ) -> None:
        """
        Each hook exits with code 0, and requests one reload from systemd.
        """
        stored = store(server.volume, signer.certificate(NAME), token=1)
        stub(server.place, f'echo "$@" >> {server.place}/asked', monkeypatch)
        run_hook(server, hook_for(unit))

        assert f"reload {unit}\n" == (server.place / "asked").read_text()
        if unit == "postfix":
            copied = server.place / "mail.pem"
            expected = stored.certificate.key.pem + stored.certificate.fullchain_pem
            assert (expected, 0o600) == (copied.read_bytes(), stat.S_IMODE(copied.stat().st_mode))

    def test_a_hook_for_one_name_ignores_others(
        self, server: Server, signer: Signer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A hook for one name does not reload the server for another certificate.
        """
        store(server.volume, signer.certificate(OTHER), token=1)
        stub(server.place, "exit 1", monkeypatch)
        run_hook(server, hook_for("haproxy"), OTHER)

    def test_the_table_has_the_variables_of_the_program(self, server: Server, signer: Signer) -> None:
        """
        The table of the guide has each variable that the program gets, and no other.
        """
        stored = store(server.volume, signer.certificate(NAME), token=1)
        given = set(environment(stored.metadata, stored.directory)) - {"PATH", "LANG"}

        assert given == set(re.findall(r"^\| `(CERTWORKER_\w+)` \|", GUIDE.read_text(), re.MULTILINE))


def hook_for(unit: str) -> str:
    """
    Return the program of the guide that reloads *unit*.
    """
    (found,) = [block for block in blocks("sh hook") if f"systemctl reload {unit}" in block]
    return found


def stub(place: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Add a `systemctl` that runs *script* to the beginning of PATH.
    """
    directory = place / "bin"
    directory.mkdir()
    program = directory / "systemctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def run_hook(server: Server, text: str, name: str = NAME) -> None:
    """
    Run the program *text* for the certificate of *name*, as the worker does.
    """
    file = server.place / "hook"
    file.write_text(text.replace("/var/lib/certworker", str(server.place)))
    file.chmod(0o755)
    metadata = server.volume.metadata(name)
    assert metadata
    run(file, environment(metadata, server.volume.links.domain_dir(name)), 30)


class TestGuide:
    def test_the_worker_accepts_each_reload_of_the_guide(self) -> None:
        """
        The setting for each server is valid, and so is the line with several servers.
        """
        lines = [line for block in blocks("sh") for line in block.splitlines() if "CERTWORKER_RELOAD" in line]
        reloads = [Reload.parse(each) for line in lines for each in line.partition("=")[2].split(",")]

        containers = [reload.container for reload in reloads]
        assert {"nginx", "haproxy", "httpd", "postfix", "dovecot"} == set(containers)
        assert 6 == len(lines)

    def test_the_volume_has_each_file_of_the_guide(self, server: Server, signer: Signer) -> None:
        """
        The volume has each file of the guide, including those of servers without a test.
        """
        store(server.volume, signer.certificate(NAME, "mail.example.com"))
        store(server.volume, signer.certificate("*.functions.example.com"))
        text = GUIDE.read_text().replace("/NAME/", f"/{NAME}/")
        files = set(re.findall(r"/storage/certificates/([\w.]+/[\w.]+)", text))

        assert len(files) > 5
        assert not [file for file in files if not (server.volume.directory / file).is_file()]


@pytest.fixture(scope="module")
def signer() -> Signer:
    """
    Return the CA that signs the stored certificates.
    """
    return Signer()
