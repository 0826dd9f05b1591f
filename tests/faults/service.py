"""
What is in service, as whoever follows Traefik's file finds it.
"""

from __future__ import annotations

from certworker.assembly import House

NAME = "shop.localhost"


def in_service(house: House, name: str) -> str:
    """
    The serial number of what Traefik serves for *name*; the pair is whole.
    """
    files, stored = house.traefik.files(name), house.volume.current(name)
    assert files is not None
    assert stored is not None
    assert files == (stored.directory / "fullchain.pem", stored.directory / "privkey.pem")
    return stored.facts.serial
