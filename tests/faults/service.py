"""
The certificates in service according to Traefik's files.
"""

from __future__ import annotations

from certworker.app import App

NAME = "shop.localhost"


def in_service(app: App, name: str) -> str:
    """
    Return the serial number of the certificate that Traefik serves for *name*. Assert that the pair matches.
    """
    files, stored = app.traefik.files(name), app.certificates.current(name)
    assert files is not None
    assert stored is not None
    assert files == (stored.directory / "fullchain.pem", stored.directory / "privkey.pem")
    return stored.metadata.serial
