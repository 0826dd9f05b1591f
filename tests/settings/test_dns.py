"""
Whom to ask in DNS, and where custom domains are to point.
"""

from __future__ import annotations

import pytest

from certworker.errors.config import InvalidSettings
from certworker.settings import load


class TestNameServers:
    def test_a_public_one_is_the_default(self) -> None:
        """
        The same as Appwrite's.
        """
        assert (("8.8.8.8", 53),) == load({}).name_servers

    @pytest.mark.parametrize(
        ("text", "servers"),
        [
            ("1.1.1.1", [("1.1.1.1", 53)]),
            ("1.1.1.1, 8.8.4.4", [("1.1.1.1", 53), ("8.8.4.4", 53)]),
            ("127.0.0.1:5353", [("127.0.0.1", 5353)]),
            ("2001:4860:4860::8888", [("2001:4860:4860::8888", 53)]),
            ("[::1]:5353", [("::1", 5353)]),
        ],
    )
    def test_addresses_with_or_without_a_port(self, text: str, servers: list[tuple[str, int]]) -> None:
        """
        A resolver of one's own often listens elsewhere.
        """
        assert tuple(servers) == load({"_APP_DNS": text}).name_servers

    @pytest.mark.parametrize(
        "text", ["dns.google", "1.1.1", ",", "1.1.1.1:99999", "https://1.1.1.1/dns-query"]
    )
    def test_a_resolver_needs_an_address(self, text: str) -> None:
        """
        To resolve its name one would need a resolver.
        """
        with pytest.raises(InvalidSettings, match="_APP_DNS must be addresses"):
            load({"_APP_DNS": text})


class TestTargets:
    def test_none_is_set(self) -> None:
        """
        Then nothing is demanded of a custom domain.
        """
        assert {} == load({}).targets

    def test_what_appwrite_passes_as_its_defaults_is_not_set(self) -> None:
        """
        Else no custom domain would ever point to the right place.
        """
        defaults = {
            "_APP_DOMAIN_TARGET": "localhost",
            "_APP_DOMAIN_TARGET_CNAME": "localhost",
            "_APP_DOMAIN_TARGET_A": "127.0.0.1",
            "_APP_DOMAIN_TARGET_AAAA": "::1",
            "_APP_DOMAIN_TARGET_CAA": "",
        }

        assert {} == load(defaults).targets

    def test_those_that_somebody_set(self) -> None:
        """
        Compared with what DNS says, which has neither capitals nor a dot at the end here.
        """
        given = {"_APP_DOMAIN_TARGET_CNAME": "API.Example.ORG.", "_APP_DOMAIN_TARGET_A": "203.0.113.7"}

        assert {
            "_APP_DOMAIN_TARGET_CNAME": "api.example.org",
            "_APP_DOMAIN_TARGET_A": "203.0.113.7",
        } == load(given).targets
