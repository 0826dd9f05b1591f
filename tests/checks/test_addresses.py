"""
Which addresses a public CA connects to.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest

from certworker.checks.addresses import addresses_of, is_public, of_the_loopback


class TestIsPublic:
    @pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
    def test_an_address_of_the_internet_is(self, address: str) -> None:
        """
        Also one that a gateway translates.
        """
        assert is_public(ip_address(address))

    @pytest.mark.parametrize(
        "address",
        [
            "0.0.0.0",  # noqa: S104 (nothing is bound)
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.18.0.2",
            "192.168.1.10",
            "203.0.113.7",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2001:db8::1",
            "2002:a00:1::1",
            "fc00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ],
    )
    def test_one_of_a_private_network_is_not_however_it_is_written(self, address: str) -> None:
        """
        Whoever controls a domain could have us knock at the machines beside us.
        """
        assert not is_public(ip_address(address))


class TestAddressesOf:
    def test_localhost_is_this_machine(self) -> None:
        """
        Few resolvers know the names under it.
        """
        assert of_the_loopback("shop.localhost")
        assert not of_the_loopback("localhost.example.org")
        assert [IPv4Address("127.0.0.1")] == addresses_of("shop.localhost")

    @pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 300, "\udcff"])
    def test_an_unknown_name_has_none(self, host: str) -> None:
        """
        It is no reason to crash.
        """
        assert [] == addresses_of(host)
