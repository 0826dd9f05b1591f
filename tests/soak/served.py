"""
The certificates that a proxy serves during a soak, read by code that is independent of certworker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

PAUSE_SECONDS = 0.5


@dataclass
class Served:
    """
    A monitor of the certificates of *names* in the proxy's directory.

    Attributes:
        least_left: The smallest remaining share of the validity of a certificate in service, by name.
        serials: The serial numbers in service, by name.
        faults: The faults in service: an expired certificate, a key that does not match, or a missing file.
    """

    config: Path
    names: Sequence[str]
    least_left: dict[str, float] = field(default_factory=dict)
    serials: dict[str, set[int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="served", daemon=True)

    def start(self) -> None:
        """
        Start monitoring.
        """
        self._thread.start()

    def stop(self) -> None:
        """
        Stop monitoring.
        """
        self._stopped.set()
        self._thread.join()

    def missing(self) -> list[str]:
        """
        Return the names without a file in the proxy's directory.
        """
        return [name for name in self.names if not (self.config / f"{name}.yml").exists()]

    def _run(self) -> None:
        while not self._stopped.wait(PAUSE_SECONDS):
            for name in self.names:
                try:
                    self._check(name)
                except Exception as error:
                    self._fault(f"{name}: {error!r}")

    def _check(self, name: str) -> None:
        file = self.config / f"{name}.yml"
        if not file.exists():
            if name in self.serials:
                self._fault(f"{name}: its file is gone")
            return
        (pair,) = yaml.safe_load(file.read_bytes())["tls"]["certificates"]
        leaf = x509.load_pem_x509_certificates(Path(pair["certFile"]).read_bytes())[0]
        key = load_pem_private_key(Path(pair["keyFile"]).read_bytes(), password=None)
        if leaf.public_key() != key.public_key():
            self._fault(f"{name}: the key is not that of the certificate")
        life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
        left = (leaf.not_valid_after_utc - datetime.now(UTC)) / life
        if left <= 0:
            self._fault(f"{name}: expired in service")
        self.serials.setdefault(name, set()).add(leaf.serial_number)
        self.least_left[name] = min(left, self.least_left.get(name, 1.0))

    def _fault(self, text: str) -> None:
        if text not in self.faults:
            self.faults.append(text)
