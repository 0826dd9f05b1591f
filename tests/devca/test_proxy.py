"""
Tests of the proxy that replaces Traefik, and the client that checks it.
"""

from __future__ import annotations

import socket
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

    def test_a_stopped_proxy_takes_no_connection(self) -> None:
        """
        After the stop, the thread has ended, and the port refuses connections.
        """
        proxy = DevelopmentProxy(lambda _name: None)
        proxy.start()
        # The thread waits for the next connection.
        socket.create_connection(("127.0.0.1", proxy.port)).close()
        proxy.stop()

        assert not proxy._thread.is_alive()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port)).close()
