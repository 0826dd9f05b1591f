"""
A real HAProxy with a socket for its runtime API.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from certworker.settings import HttpAddress
from certworker.settings.reload import HaproxySocket
from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.tls_probe import served_certificate
from tests.servers.ports import free_port
from tests.servers.worker import wait_until
from tests.storage.authority import Signer
from tests.storage.stored import NAME, store
from tests.test_other_servers import program

CONFIGURATION = """
global
    stats socket {socket} mode 600 level {level}
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend https
    bind 127.0.0.1:{port} ssl {certificates}
    http-request return status 200
"""


class Haproxy:
    """
    A HAProxy that serves the certificates of a volume.
    """

    def __init__(self, directory: Path, volume: CertificateStore) -> None:
        self.directory = directory
        self.port = free_port()
        self.socket = HaproxySocket(str(directory / "haproxy.sock"))
        self.list = directory / "certificates.txt"
        self.volume = volume
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, certificates: str = "", level: str = "admin") -> None:
        """
        Start HAProxy with the list of all certificates, or with the certificates of a text.
        """
        self.list.write_text("".join(f"{path}\n" for path in map(self.path, self.volume.names())))
        text = CONFIGURATION.format(
            socket=self.socket.path,
            level=level,
            port=self.port,
            certificates=certificates or f"crt-list {self.list}",
        )
        (self.directory / "haproxy.cfg").write_text(text)
        with (self.directory / "haproxy.log").open("wb") as log:
            command = [program("haproxy"), "-db", "-f", str(self.directory / "haproxy.cfg")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(lambda: self.certificate(NAME), (self.directory / "haproxy.log").read_text)

    def stop(self) -> None:
        """
        Stop HAProxy.
        """
        if self._process:
            self._process.kill()
            self._process.wait(20)

    def path(self, name: str) -> str:
        """
        Return the path of the certificate of *name*.
        """
        return str(self.volume.links.domain_dir(name) / "fullchain.pem")

    def certificate(self, name: str) -> bytes | None:
        """
        Return the certificate that a client of *name* gets; None without a response.
        """
        try:
            return served_certificate(name, HttpAddress("127.0.0.1", self.port))
        except OSError:
            return None


@pytest.fixture(scope="session")
def signer() -> Signer:
    """
    Return the CA that signs the stored certificates.
    """
    return Signer()


@pytest.fixture
def volume(tmp_path: Path, signer: Signer) -> CertificateStore:
    """
    Return a volume with a certificate.
    """
    volume = CertificateStore(tmp_path / "certificates")
    store(volume, signer.certificate(NAME))
    return volume


@pytest.fixture
def haproxy(tmp_path: Path, volume: CertificateStore) -> Iterator[Haproxy]:
    """
    Return a HAProxy, which the test starts.
    """
    haproxy = Haproxy(tmp_path, volume)
    yield haproxy
    haproxy.stop()
