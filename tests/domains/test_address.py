"""
Tests of IP addresses as names.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.domains import is_address, normalize
from certworker.domains.address import accepted_address, is_loopback, is_public, read_address
from certworker.errors.name import IpAddress


class TestReadAddress:
    @pytest.mark.parametrize("text", ["8.8.8.8", "::1", "2606:4700::1111"])
    def test_the_plain_forms_are_addresses(self, text: str) -> None:
        """
        The forms that are valid in an identifier of type ip (RFC 8738) are addresses.
        """
        assert str(read_address(text)) == text
        assert is_address(text)

    @pytest.mark.parametrize(
        "text", ["127.1", "0x7f.0.0.1", "010.8.8.8", "3405803783", "8.8.8.8.", "a.org", ""]
    )
    def test_any_other_text_is_none(self, text: str) -> None:
        """
        Other forms, which some resolvers accept and no CA accepts, are not addresses.
        """
        assert read_address(text) is None
        assert not is_address(text)


class TestIsLoopback:
    @pytest.mark.parametrize(
        "host",
        ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"],
    )
    def test_a_host_on_the_loopback_interface_is_loopback(self, host: str) -> None:
        """
        Names below localhost and addresses of the loopback interface are loopback, without a DNS query.
        """
        assert is_loopback(host)

    @pytest.mark.parametrize(
        "host", ["", "localhost.org", "notlocalhost", "10.0.0.1", "::2", "::ffff:8.8.8.8"]
    )
    def test_another_host_is_not_loopback(self, host: str) -> None:
        """
        Another name is not loopback, whatever a resolver answers.
        """
        assert not is_loopback(host)


class TestIsPublic:
    @pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
    def test_an_address_on_the_internet_is_public(self, address: str) -> None:
        """
        An address on the Internet is public, also one that a gateway translates to it.
        """
        assert is_public(ip_address(address))

    @pytest.mark.parametrize(
        "address",
        [
            "0.0.0.0",
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
    def test_another_address_is_not_public(self, address: str) -> None:
        """
        A private or special address is not public, in any form.

        Otherwise, a name server or a CA could direct requests of certworker to a private network.
        """
        assert not is_public(ip_address(address))


class TestAcceptedAddress:
    @given(st.ip_addresses())
    def test_an_address_is_normalized_or_refused(self, address: IPv4Address | IPv6Address) -> None:
        """
        An accepted address has one form, and so one directory, one lock and one key in Redis.
        """
        for private in (False, True):
            try:
                name = accepted_address(address.exploded, address, private=private)
            except IpAddress:
                continue
            assert name == normalize(address.exploded, private=private)
            assert name == normalize(name, private=private)

    @pytest.mark.parametrize("text", ["192.168.1.10", "fd00::1", "fec0::1"])
    def test_a_private_address_needs_a_private_ca(self, text: str) -> None:
        """
        A private address is accepted only for a private CA, because a public one cannot reach it.
        """
        address = ip_address(text)

        assert text == accepted_address(text, address, private=True)
        with pytest.raises(IpAddress):
            accepted_address(text, address, private=False)
