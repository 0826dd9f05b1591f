"""
Tests of the probe for the certificate that a server serves for a name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from certworker.certificates import Certificate
from certworker.devca.proxy import DevelopmentProxy
from certworker.domains import covering_wildcard
from certworker.settings import HttpAddress
from certworker.traefik.tls_probe import check_proxy, host_of, leaf_of, served_certificate
from tests.servers.ports import free_port
from tests.storage.authority import Signer

NAME = "shop.example.org"
CONFIG = Path("/storage/config")


@pytest.fixture
def pairs() -> dict[str, tuple[Path, Path]]:
    """
    Return the files of the proxy, by name.
    """
    return {}


@pytest.fixture
def proxy(pairs: dict[str, tuple[Path, Path]]) -> Iterator[HttpAddress]:
    """
    Yield the address of a proxy that serves *pairs*.
    """
    server = DevelopmentProxy(pairs.get)
    server.start()
    yield HttpAddress("127.0.0.1", server.port)
    server.stop()


def files(directory: Path, certificate: Certificate) -> tuple[Path, Path]:
    """
    Write the files of *certificate* to *directory*, and return their paths.
    """
    directory.mkdir()
    (directory / "fullchain.pem").write_bytes(certificate.fullchain_pem)
    (directory / "privkey.pem").write_bytes(certificate.key.pem)
    return directory / "fullchain.pem", directory / "privkey.pem"


def code(proxy: HttpAddress, leaf: bytes) -> str | None:
    """
    Return the code of the failure, or None without one.
    """
    failure = check_proxy(NAME, leaf, proxy, CONFIG)
    return failure.code if failure else None


class TestCheckProxy:
    def test_the_expected_certificate_is_no_failure(
        self, proxy: HttpAddress, pairs: dict[str, tuple[Path, Path]], signer: Signer, tmp_path: Path
    ) -> None:
        """
        A proxy that serves the expected certificate passes.
        """
        certificate = signer.certificate(NAME)
        pairs[NAME] = files(tmp_path / "new", certificate)
        leaf = leaf_of(certificate.cert_pem)

        assert leaf == served_certificate(NAME, proxy)
        assert code(proxy, leaf) is None

    def test_a_wildcard_is_probed_with_a_covered_host(
        self, proxy: HttpAddress, pairs: dict[str, tuple[Path, Path]], signer: Signer, tmp_path: Path
    ) -> None:
        """
        The probe of a wildcard uses the name of a host that the wildcard covers.
        """
        certificate = signer.certificate(f"*.{NAME}")
        host = host_of(f"*.{NAME}")
        pairs[host] = files(tmp_path / "wildcard", certificate)

        assert f"*.{NAME}" == covering_wildcard(host)
        assert NAME == host_of(NAME)
        assert check_proxy(f"*.{NAME}", leaf_of(certificate.cert_pem), proxy, CONFIG) is None

    def test_another_certificate_is_an_old_one(
        self, proxy: HttpAddress, pairs: dict[str, tuple[Path, Path]], signer: Signer, tmp_path: Path
    ) -> None:
        """
        Another certificate is reported as the old one.
        """
        pairs[NAME] = files(tmp_path / "old", signer.certificate(NAME))

        assert "proxy.old_cert" == code(proxy, leaf_of(signer.certificate(NAME).cert_pem))

    def test_the_default_certificate_of_traefik_is_reported(
        self, proxy: HttpAddress, pairs: dict[str, tuple[Path, Path]], signer: Signer, tmp_path: Path
    ) -> None:
        """
        The default certificate of Traefik has a code and a remedy of its own.
        """
        pairs[NAME] = files(tmp_path / "default", Signer("TRAEFIK DEFAULT CERT").certificate(NAME))
        failure = check_proxy(NAME, leaf_of(signer.certificate(NAME).cert_pem), proxy, CONFIG)

        assert failure
        assert "proxy.default_cert" == failure.code
        assert "--providers.file.directory=/storage/config" in failure.remedy

    def test_a_refused_handshake_counts_as_the_default_certificate(
        self, proxy: HttpAddress, signer: Signer
    ) -> None:
        """
        A refused handshake, as from a Traefik with sniStrict, has the same code as the default certificate.
        """
        assert "proxy.default_cert" == code(proxy, leaf_of(signer.certificate(NAME).cert_pem))

    def test_an_unreachable_proxy_raises_an_error(self) -> None:
        """
        A closed port raises the error of the connection.
        """
        with pytest.raises(ConnectionRefusedError):
            check_proxy(NAME, b"", HttpAddress("127.0.0.1", free_port()), CONFIG)
