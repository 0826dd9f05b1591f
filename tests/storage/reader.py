"""
Reads certificates as other programs do: through the YAML file of Traefik, and from the four files.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from certworker.certificates import Certificate, PrivateKey


def followed(config: Path, name: str) -> Certificate | None:
    """
    Return the certificate that the file of *name* in *config* refers to, or None without a file.

    Raises:
        Exception: The file is invalid, or its certificate and key are missing, invalid or do not match.
    """
    file = config / f"{name}.yml"
    if not file.exists():
        return None
    [pair] = yaml.safe_load(file.read_bytes())["tls"]["certificates"]
    fullchain = Path(pair["certFile"]).read_bytes()
    return Certificate.from_pem(fullchain, PrivateKey.from_pem(Path(pair["keyFile"]).read_bytes()))


def found(certificates: Path, name: str) -> Certificate | None:
    """
    Return the certificate in the four files of *name* in *certificates*, or None without files.

    Raises:
        Exception: The files do not match.
    """
    directory = certificates / name
    if not (directory / "fullchain.pem").exists():
        assert [] == [path.name for path in directory.glob("*.pem") if path.exists()]
        return None
    fullchain = (directory / "fullchain.pem").read_bytes()
    assert fullchain == (directory / "cert.pem").read_bytes() + (directory / "chain.pem").read_bytes()
    return Certificate.from_pem(fullchain, PrivateKey.from_pem((directory / "privkey.pem").read_bytes()))
