"""
What the proxy serves during a soak, read as a proxy reads it: by other code than the worker's own.
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
    Watches the certificates of *names* in the proxy's directory until it is stopped.

    Attributes:
        least_left: The smallest share of its life that a certificate in service had left, by name.
        serials: The serial numbers that were served, by name.
        faults: What a visitor would have met: an expired certificate, a key of another one, a missing file.
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
        Begin to watch.
        """
        self._thread.start()

    def stop(self) -> None:
        """
        End.
        """
        self._stopped.set()
        self._thread.join()

    def missing(self) -> list[str]:
        """
        Return the names that have no file at the proxy.
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
