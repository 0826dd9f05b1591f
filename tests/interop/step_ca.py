"""
step-ca, the CA of Smallstep.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from tests.interop.authorities import ForeignAuthority, program


class StepCa(ForeignAuthority):
    """
    A step-ca with one ACME provisioner. It issues no certificate for `refused.localhost`.

    Args:
        lifetime: The lifetime of its certificates.
    """

    title = "step-ca"

    def __init__(self, directory: Path, lifetime: timedelta = timedelta(days=1)) -> None:
        super().__init__(directory)
        self._lifetime = lifetime

    @property
    def directory_url(self) -> str:
        """
        The URL of the ACME directory.
        """
        return f"https://127.0.0.1:{self.port}/acme/acme/directory"

    def command(self) -> list[str | Path]:
        """
        Write the configuration and return the command.
        """
        root, intermediate, key = self.hierarchy()
        self.ca_bundle = root
        duration = f"{self._lifetime.total_seconds():.0f}s"
        claims = {"minTLSCertDuration": duration, "defaultTLSCertDuration": duration}
        config = {
            "root": str(root),
            "crt": str(intermediate),
            "key": str(key),
            "address": f"127.0.0.1:{self.port}",
            "dnsNames": ["127.0.0.1"],
            "logger": {"format": "text"},
            "db": {"type": "badgerv2", "dataSource": str(self.directory / "db")},
            "authority": {
                "provisioners": [{"type": "ACME", "name": "acme", "claims": claims}],
                "policy": {"x509": {"deny": {"dns": ["refused.localhost"]}}},
            },
        }
        file = self.directory / "ca.json"
        file.write_text(json.dumps(config))
        ports = ["--insecure", "--acme-http-port", str(self.http_port)]
        return [program("step-ca"), file, "--resolver", self.names.address, *ports]
