"""
The certificates in service, as a reader of Traefik's files finds them.
"""

from __future__ import annotations

from certworker.app import App

NAME = "shop.localhost"


def in_service(app: App, name: str) -> str:
    """
    The serial number of what Traefik serves for *name*; the pair is whole.
    """
    files, stored = app.traefik.files(name), app.certificates.current(name)
    assert files is not None
    assert stored is not None
    assert files == (stored.directory / "fullchain.pem", stored.directory / "privkey.pem")
    return stored.metadata.serial
