"""
The addresses of names, as this machine knows them.
"""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from certworker.preflight.addresses import of_the_loopback, resolve_system


class TestAddressesOf:
    def test_localhost_is_this_machine(self) -> None:
        """
        Few resolvers know the names under it.
        """
        assert of_the_loopback("shop.localhost")
        assert not of_the_loopback("localhost.example.org")
        assert [IPv4Address("127.0.0.1")] == resolve_system("shop.localhost")

    @pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 300, "\udcff"])
    def test_an_unknown_name_has_none(self, host: str) -> None:
        """
        It is no reason to crash.
        """
        assert [] == resolve_system(host)
