"""
A reader as Traefik is one: it follows the YAML to a chain and a key, in two steps.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from certworker.certificates import Certificate, PrivateKey


def followed(config: Path, name: str) -> Certificate | None:
    """
    The certificate that the file of *name* in *config* leads to; None if there is no file.

    Raises:
        Exception: The file is broken, or what it names is missing, broken, or not a pair.
    """
    file = config / f"{name}.yml"
    if not file.exists():
        return None
    [pair] = yaml.safe_load(file.read_bytes())["tls"]["certificates"]
    fullchain = Path(pair["certFile"]).read_bytes()
    return Certificate.from_pem(fullchain, PrivateKey.from_pem(Path(pair["keyFile"]).read_bytes()))


def found(certificates: Path, name: str) -> Certificate | None:
    """
    The certificate in the four files of *name* in *certificates*; None if they lead nowhere.

    Raises:
        Exception: They do not fit each other.
    """
    directory = certificates / name
    if not (directory / "fullchain.pem").exists():
        assert [] == [path.name for path in directory.glob("*.pem") if path.exists()]
        return None
    fullchain = (directory / "fullchain.pem").read_bytes()
    assert fullchain == (directory / "cert.pem").read_bytes() + (directory / "chain.pem").read_bytes()
    return Certificate.from_pem(fullchain, PrivateKey.from_pem((directory / "privkey.pem").read_bytes()))
