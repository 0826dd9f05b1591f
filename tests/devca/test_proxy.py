"""
Tests of the proxy that replaces Traefik, and the client that checks it.
"""

from __future__ import annotations

import ssl

import pytest

from certworker.app import App
from certworker.devca.proxy import DevelopmentProxy, handshake
from tests.servers.faulty_authority import FaultyAuthority


class TestDevelopmentProxy:
    def test_a_renewed_certificate_is_served_without_a_restart(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        The proxy reads the files at each handshake, so it serves a renewed certificate without a
        restart.
        """
        proxy = DevelopmentProxy(app.traefik.files)
        proxy.start()
        serials = []
        for _ in range(2):
            app.issuance.issue(("shop.localhost",), force=True)
            serials.append(handshake("shop.localhost", proxy.port, app_authority.root_path)["serialNumber"])
        proxy.stop()

        assert 2 == len(set(serials))

    def test_a_handshake_for_an_unknown_name_fails(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        The proxy never serves the certificate of another name.
        """
        proxy = DevelopmentProxy(app.traefik.files)
        proxy.start()

        with pytest.raises(ssl.SSLError):
            handshake("unknown.localhost", proxy.port, app_authority.root_path)
        proxy.stop()
