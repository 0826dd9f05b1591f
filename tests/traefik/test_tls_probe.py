"""
The certificate that a server shows for a name.
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
    Return what the proxy has for each name.
    """
    return {}


@pytest.fixture
def proxy(pairs: dict[str, tuple[Path, Path]]) -> Iterator[HttpAddress]:
    """
    Return a proxy that shows it.
    """
    server = DevelopmentProxy(pairs.get)
    server.start()
    yield HttpAddress("127.0.0.1", server.port)
    server.stop()


def files(place: Path, certificate: Certificate) -> tuple[Path, Path]:
    """
    Write the files of *certificate*.
    """
    place.mkdir()
    (place / "fullchain.pem").write_bytes(certificate.fullchain_pem)
    (place / "privkey.pem").write_bytes(certificate.key.pem)
    return place / "fullchain.pem", place / "privkey.pem"


def code(proxy: HttpAddress, leaf: bytes) -> str | None:
    """
    Return the code of the failure; None: there is none.
    """
    failure = check_proxy(NAME, leaf, proxy, CONFIG)
    return failure.code if failure else None


class TestWhyNotShown:
    def test_the_certificate_that_is_asked_for_is_shown(
        self, proxy: HttpAddress, pairs: dict[str, tuple[Path, Path]], signer: Signer, tmp_path: Path
    ) -> None:
        """
        The proxy shows the expected certificate.
        """
        certificate = signer.certificate(NAME)
        pairs[NAME] = files(tmp_path / "new", certificate)
        leaf = leaf_of(certificate.cert_pem)

        assert leaf == served_certificate(NAME, proxy)
        assert code(proxy, leaf) is None

    def test_a_wildcard_is_shown_for_a_host_that_it_covers(
        self, proxy: HttpAddress, pairs: dict[str, tuple[Path, Path]], signer: Signer, tmp_path: Path
    ) -> None:
        """
        No client requests a host with a star.
        """
        certificate = signer.certificate(f"*.{NAME}")
        host = host_of(f"*.{NAME}")
        pairs[host] = files(tmp_path / "wildcard", certificate)

        assert f"*.{NAME}" == covering_wildcard(host)
        assert NAME == host_of(NAME)
        assert check_proxy(f"*.{NAME}", leaf_of(certificate.cert_pem), proxy, CONFIG) is None

    def test_another_one_is_an_old_one(
        self, proxy: HttpAddress, pairs: dict[str, tuple[Path, Path]], signer: Signer, tmp_path: Path
    ) -> None:
        """
        Traefik has not read its files again.
        """
        pairs[NAME] = files(tmp_path / "old", signer.certificate(NAME))

        assert "proxy.old_cert" == code(proxy, leaf_of(signer.certificate(NAME).cert_pem))

    def test_the_default_of_traefik_is_known(
        self, proxy: HttpAddress, pairs: dict[str, tuple[Path, Path]], signer: Signer, tmp_path: Path
    ) -> None:
        """
        Traefik has not read its files at all.
        """
        pairs[NAME] = files(tmp_path / "default", Signer("TRAEFIK DEFAULT CERT").certificate(NAME))
        failure = check_proxy(NAME, leaf_of(signer.certificate(NAME).cert_pem), proxy, CONFIG)

        assert failure
        assert "proxy.default_cert" == failure.code
        assert "--providers.file.directory=/storage/config" in failure.remedy

    def test_a_refused_handshake_is_none(self, proxy: HttpAddress, signer: Signer) -> None:
        """
        A Traefik with sniStrict refuses unknown names.
        """
        assert "proxy.default_cert" == code(proxy, leaf_of(signer.certificate(NAME).cert_pem))

    def test_nobody_there_is_an_error(self) -> None:
        """
        A closed port raises the error of the connection.
        """
        with pytest.raises(ConnectionRefusedError):
            check_proxy(NAME, b"", HttpAddress("127.0.0.1", free_port()), CONFIG)
