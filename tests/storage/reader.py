"""
Reads certificates as other programs do: through the YAML file of Traefik, and from the four files.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from certworker.certificates import Certificate, PrivateKey


@lru_cache(maxsize=1_000)
def pairs_in(content: bytes) -> list[dict[str, Any]]:
    """
    Return the pairs of files in the YAML file of Traefik with this *content*.

    Thousands of states have the same contents. So each content is parsed once, here and below.
    """
    pairs: list[dict[str, Any]] = yaml.safe_load(content)["tls"]["certificates"]
    return pairs


@lru_cache(maxsize=1_000)
def matching(fullchain: bytes, key: bytes) -> Certificate:
    """
    Return the certificate in *fullchain*, which matches *key*.

    Raises:
        Exception: One of them is invalid, or they do not match.
    """
    return Certificate.from_pem(fullchain, PrivateKey.from_pem(key))


def followed(config: Path, name: str) -> Certificate | None:
    """
    Return the certificate that the file of *name* in *config* refers to, or None without a file.

    Raises:
        Exception: The file is invalid, or its certificate and key are missing, invalid or do not match.
    """
    file = config / f"{name}.yml"
    if not file.exists():
        return None
    [pair] = pairs_in(file.read_bytes())
    return matching(Path(pair["certFile"]).read_bytes(), Path(pair["keyFile"]).read_bytes())


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
    return matching(fullchain, (directory / "privkey.pem").read_bytes())
