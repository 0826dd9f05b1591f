"""
The stand-in for Traefik, and the visitor who checks it.
"""

from __future__ import annotations

import ssl

import pytest

from certworker.assembly import House
from certworker.development.authority import DevelopmentAuthority
from certworker.development.proxy import DevelopmentProxy, handshake


class TestDevelopmentProxy:
    def test_it_serves_what_the_files_name_at_each_handshake(
        self, house: House, door_authority: DevelopmentAuthority
    ) -> None:
        """
        A renewal is served without a restart.
        """
        proxy = DevelopmentProxy(house.traefik.files)
        proxy.start()
        serials = []
        for _ in range(2):
            house.issuer.issue(("shop.localhost",), force=True)
            serials.append(handshake("shop.localhost", proxy.port, door_authority.root_path)["serialNumber"])
        proxy.stop()

        assert 2 == len(set(serials))

    def test_a_visitor_who_asks_for_an_unknown_name_is_refused(
        self, house: House, door_authority: DevelopmentAuthority
    ) -> None:
        """
        No certificate is better than one for somebody else.
        """
        proxy = DevelopmentProxy(house.traefik.files)
        proxy.start()

        with pytest.raises(ssl.SSLError):
            handshake("unknown.localhost", proxy.port, door_authority.root_path)
        proxy.stop()
