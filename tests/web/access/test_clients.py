"""
Tests of the client of a request: only trusted proxies name another address.
"""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from flask import Flask, Request

from certworker.settings.web import LOOPBACK
from certworker.web.access.clients import Client, client_of

PROXIES = (*LOOPBACK, ip_network("10.0.0.0/8"))


def client(peer: str, host: str = "localhost:8081", **headers: str) -> Client:
    """
    Return the client of a request of *peer* with *headers*.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with Flask("test").test_request_context(
        "/", environ_overrides={"REMOTE_ADDR": peer}, headers={"Host": host, **named}
    ) as context:
        request: Request = context.request
        return client_of(request, PROXIES)


class TestAddress:
    @pytest.mark.parametrize(
        ("peer", "chain", "address"),
        [
            ("192.0.2.1", "", "192.0.2.1"),
            ("::ffff:192.0.2.1", "", "192.0.2.1"),
            ("192.0.2.1", "198.51.100.9", "192.0.2.1"),
            ("10.0.0.1", "198.51.100.9", "198.51.100.9"),
            ("10.0.0.1", "6.6.6.6, 198.51.100.9", "198.51.100.9"),
            ("10.0.0.1", "6.6.6.6, 198.51.100.9, 10.0.0.2", "198.51.100.9"),
            ("10.0.0.1", "2001:db8::7", "2001:db8::7"),
            ("10.0.0.1", "10.0.0.2", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.9, nonsense", "10.0.0.1"),
            ("10.0.0.1", "," * 5000, "10.0.0.1"),
            ("nonsense", "198.51.100.9", "unknown"),
            ("fe80::1%eth0", "", "fe80::1"),
            ("10.0.0.1", "fe80::1%x identity=admin", "fe80::1"),
        ],
    )
    def test_the_last_address_that_no_proxy_has_is_the_client(
        self, peer: str, chain: str, address: str
    ) -> None:
        """
        A client cannot choose its address by a header, neither directly nor through a trusted proxy.
        """
        assert address == client(peer, X_Forwarded_For=chain).address

    def test_only_peers_in_the_networks_are_proxies(self) -> None:
        """
        The peer decides whether the request is one of a trusted proxy.
        """
        assert [True, True, False] == [client(peer).is_by_proxy for peer in ("10.1.1.1", "::1", "192.0.2.1")]


class TestLocal:
    @pytest.mark.parametrize(
        "host", ["localhost", "localhost:8081", "127.0.0.1:8081", "[::1]:8081", "127.8.9.1", "LOCALHOST:1"]
    )
    def test_a_direct_request_of_this_machine_to_a_local_name_is_local(self, host: str) -> None:
        """
        A request through an SSH tunnel arrives as a request of this machine.
        """
        assert client("127.0.0.1", host).is_local
        assert client("::1", host).is_local
        assert not client("192.0.2.1", host).is_local
        assert not client("10.0.0.1", host).is_local

    @pytest.mark.parametrize(
        "host",
        [
            "attacker.example",
            "localhost.attacker.example:8081",
            "127.0.0.1.nip.io",
            "",
            "localhost:x",
            "[::2]",
        ],
    )
    def test_a_foreign_name_is_not_local(self, host: str) -> None:
        """
        A web site whose name has the address 127.0.0.1 (DNS rebinding) gets nothing.
        """
        assert not client("127.0.0.1", host).is_local

    @pytest.mark.parametrize(
        "header",
        ["X_Forwarded_For", "X_Forwarded_Host", "X_Forwarded_Proto", "Forwarded", "Via", "X_Real_IP"],
    )
    def test_a_request_through_a_proxy_is_not_local(self, header: str) -> None:
        """
        A proxy on this machine does not open the page to the world.
        """
        assert not client("127.0.0.1", **{header: ""}).is_local

    def test_only_a_link_of_another_site_is_local(self) -> None:
        """
        An image or a script of another site cannot use the open page, but a link leads to it.
        """
        of_page = client("127.0.0.1", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors")
        image = client("127.0.0.1", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")
        port = client("127.0.0.1", Sec_Fetch_Site="same-site", Sec_Fetch_Mode="no-cors")
        link = client("127.0.0.1", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")

        assert [True, False, False, True] == [each.is_local for each in (of_page, image, port, link)]


class TestSecure:
    @pytest.mark.parametrize(
        ("value", "is_secure"), [("https", True), ("https, http", True), ("http", False), ("", False)]
    )
    def test_the_proxy_reports_https(self, value: str, is_secure: bool) -> None:
        """
        The scheme of the browser is the first one of the header.
        """
        assert is_secure == client("192.0.2.1", X_Forwarded_Proto=value).is_secure
