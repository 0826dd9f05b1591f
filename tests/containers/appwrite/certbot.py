"""
The files of certbot in /etc/letsencrypt, from a CA with the name of an intermediate of Let's Encrypt.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from certworker.certificates import PrivateKey
from certworker.devca.hierarchy import Signer


class Certbot:
    """
    A writer of certificates to *directory*, in the layout of certbot.

    Attributes:
        root: The root of their CA, in PEM.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._now = datetime.now(UTC)
        root = Signer.root("A root for tests", self._now)
        self.root = root.pem
        self._signer = root.intermediate("R11", self._now)

    def get(self, domain: str) -> str:
        """
        Write a new certificate for *domain*, and return its serial number.
        """
        key = PrivateKey.generate()
        begin = self._now - timedelta(hours=1)
        leaf = self._signer.sign(key.key.public_key(), (domain,), begin, begin + timedelta(days=90))
        pem = leaf.public_bytes(Encoding.PEM)
        chain = self._signer.pem
        contents = {"cert": pem, "chain": chain, "fullchain": pem + chain, "privkey": key.pem}

        archive = self.directory / "archive" / domain
        live = self.directory / "live" / domain
        for place in (archive, live):
            place.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (archive / f"{name}1.pem").write_bytes(content)
            (live / f"{name}.pem").unlink(missing_ok=True)
            (live / f"{name}.pem").symlink_to(f"../../archive/{domain}/{name}1.pem")
        (archive / "privkey1.pem").chmod(0o600)
        return f"{leaf.serial_number:040X}"
