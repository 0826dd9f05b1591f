"""
A volume and a configuration directory that can be reset to any state, with the checks of their readers.
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
from tests.storage.stored import NAME, lay_plain_files

#: In the records: from here on the change has to last.
STORED, SERVED = "stored", "served"


@dataclass
class Site:
    """
    A volume and a configuration directory below *root*, which can be reset to any state.
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

    def become(self, tree: Tree) -> None:
        """
        Become what the disk is after a power cut.
        """
        shutil.rmtree(self.root)
        write_tree(self.root, tree)

    def lay_appwrites_files(self) -> Certificate:
        """
        Write what Appwrite's worker leaves: four plain files, and a YAML file that names them.
        """
        certificate = self.signer.certificate(NAME)
        directory = lay_plain_files(self.volume, NAME, certificate)
        (self.root / "config" / f"{NAME}.yml").write_text(
            "tls:\n  certificates:\n"
            f"    - certFile: {directory}/fullchain.pem\n      keyFile: {directory}/privkey.pem\n"
        )
        return certificate


def serial(certificate: Certificate | None) -> str | None:
    """
    Return the identity of a certificate.
    """
    return certificate.serial if certificate else None


def check_readers(site: Site, passed: set[str], old: Certificate | None, names: tuple[str, ...]) -> None:
    """
    Check that each reader finds the *old* certificate or the new one, and the new one once the worker
    reported it.
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
    Check that a worker can continue after the cut, and leaves no leftovers.
    """
    latest = site.publish(*names, token=9)
    site.volume.remove_leftovers()
    site.traefik.remove_leftovers()
    site.volume.prune(site.traefik.served_generations())
    for name in names:
        assert latest.serial == serial(followed(site.traefik.directory, name))
        assert latest.serial == serial(found(site.volume.directory, name))
    assert [] == list(site.root.rglob("*.tmp"))
