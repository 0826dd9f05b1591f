"""
Tests of the repair of Traefik's files for all names.
"""

from __future__ import annotations

from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.config import TraefikConfig
from certworker.traefik.repair import repair_all
from tests.storage.authority import Signer


def test_only_names_on_the_volume_are_served_again(
    volume: CertificateStore, traefik: TraefikConfig, signer: Signer
) -> None:
    """
    A lost file returns, unless its name was removed after the volume was read.
    """
    certificate = signer.certificate("a.example.org", "b.example.org")
    stored = volume.store(certificate, authority="a", kind="private", token=1)
    volume.remove("b.example.org")

    written = repair_all(traefik, volume, dict.fromkeys(stored.metadata.names, stored.directory))

    assert {"a.example.org", "b.example.org"} == set(written)
    assert traefik.files("a.example.org")
    assert traefik.files("b.example.org") is None
