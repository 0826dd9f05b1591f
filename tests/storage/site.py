"""
A volume and a configuration directory that a test can set to any state, and checks by their readers.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from certworker.certificates import Certificate
from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.config import TraefikConfig
from tests.storage.authority import Signer
from tests.storage.disk import Tree, write_tree
from tests.storage.reader import followed, found
from tests.storage.stored import NAME, write_plain_files

#: Marks in the trace. The change is durable from its mark on.
STORED, SERVED = "stored", "served"


@dataclass
class Site:
    """
    A volume and a configuration directory below *root*, which a test can set to any state.
    """

    root: Path
    signer: Signer

    @property
    def volume(self) -> CertificateStore:
        """
        Return the volume as a worker that has just started sees it.
        """
        return CertificateStore(self.root / "certificates", least_age_seconds=0)

    @property
    def traefik(self) -> TraefikConfig:
        """
        Return Traefik's files as a worker that has just started sees them.
        """
        return TraefikConfig(self.root / "config", least_age_seconds=0)

    def publish(
        self, *names: str, token: int, mark: Callable[[str], None] = lambda _mark: None
    ) -> Certificate:
        """
        Put a new certificate into service, as an issuance does.
        """
        certificate = self.signer.certificate(*names)
        stored = self.volume.store(certificate, authority="letsencrypt", kind="public", token=token)
        mark(STORED)
        self.traefik.publish(stored)
        mark(SERVED)
        return certificate

    def reset_to(self, tree: Tree) -> None:
        """
        Replace the directories with *tree*, the state after a power cut.
        """
        shutil.rmtree(self.root)
        write_tree(self.root, tree)

    def write_files_of_appwrite(self) -> Certificate:
        """
        Write the files of Appwrite's worker: four plain files, and a YAML file that names them.
        """
        certificate = self.signer.certificate(NAME)
        directory = write_plain_files(self.volume, NAME, certificate)
        (self.root / "config" / f"{NAME}.yml").write_text(
            "tls:\n  certificates:\n"
            f"    - certFile: {directory}/fullchain.pem\n      keyFile: {directory}/privkey.pem\n"
        )
        return certificate


def serial(certificate: Certificate | None) -> str | None:
    """
    Return the serial number of *certificate*, or None without one.
    """
    return certificate.serial if certificate else None


def check_readers(site: Site, passed: set[str], old: Certificate | None, names: tuple[str, ...]) -> None:
    """
    Check that each reader finds the *old* or the new certificate, and the new one after its mark.
    """
    for name in names:
        served, linked = followed(site.traefik.directory, name), found(site.volume.directory, name)
        if old is not None:
            assert served is not None
            assert linked is not None
        if STORED in passed:
            assert linked is not None
            assert serial(linked) != serial(old)
        if SERVED in passed:
            assert served is not None
            assert serial(served) == serial(linked)
    assert {".yml", ""} >= {path.suffix for path in site.traefik.directory.iterdir()}


def check_recovery(site: Site, names: tuple[str, ...]) -> None:
    """
    Check that a worker can publish after the power cut, and leaves no leftovers.
    """
    latest = site.publish(*names, token=9)
    site.volume.remove_leftovers()
    site.traefik.remove_leftovers()
    site.volume.prune(site.traefik.served_generations())
    for name in names:
        assert latest.serial == serial(followed(site.traefik.directory, name))
        assert latest.serial == serial(found(site.volume.directory, name))
    assert [] == list(site.root.rglob("*.tmp"))
