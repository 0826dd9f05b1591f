"""
The monitor of a soak.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from certworker.certificates import PrivateKey
from tests.servers.worker import wait_until
from tests.soak.served import Served
from tests.storage.authority import Signer

NAME = "shop.localhost"


def publish(place: Path, fullchain: bytes, key: bytes) -> Path:
    """
    Write a pair, and Traefik's file that names it.
    """
    chain, private = place / "fullchain.pem", place / "privkey.pem"
    chain.write_bytes(fullchain)
    private.write_bytes(key)
    file = place / f"{NAME}.yml"
    pair = {"certFile": str(chain), "keyFile": str(private)}
    file.write_text(yaml.safe_dump({"tls": {"certificates": [pair]}}))
    return file


def watched(place: Path) -> Served:
    """
    Return a monitor that has read the certificate of the name.
    """
    served = Served(place, [NAME])
    served.start()
    wait_until(lambda: served.serials or served.faults or None, lambda: "nothing was seen")
    return served


class TestServed:
    def test_a_valid_pair_is_not_a_fault(self, tmp_path: Path) -> None:
        """
        The monitor reports no fault for a valid pair, and records its remaining share.
        """
        certificate = Signer().certificate(NAME)
        publish(tmp_path, certificate.fullchain_pem, certificate.key.pem)
        served = watched(tmp_path)
        served.stop()

        assert [] == served.faults
        assert 0.98 < served.least_left[NAME] < 1

    def test_a_key_of_another_certificate_is_a_fault(self, tmp_path: Path) -> None:
        """
        The monitor reports a key that does not match its certificate.
        """
        publish(tmp_path, Signer().certificate(NAME).fullchain_pem, PrivateKey.generate().pem)
        served = watched(tmp_path)
        served.stop()

        assert [f"{NAME}: the key is not that of the certificate"] == served.faults

    def test_a_missing_file_is_a_fault(self, tmp_path: Path) -> None:
        """
        The monitor reports a name whose file disappears.
        """
        certificate = Signer().certificate(NAME)
        file = publish(tmp_path, certificate.fullchain_pem, certificate.key.pem)
        served = watched(tmp_path)
        file.unlink()
        wait_until(lambda: served.faults or None, lambda: "no fault was seen")
        served.stop()

        assert [f"{NAME}: its file is gone"] == served.faults
