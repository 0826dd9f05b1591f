"""
Test DNS records as values.
"""

from __future__ import annotations

from certworker.dns.records import DnsRecords, ServerView, in_ca_order


class TestRecords:
    def test_the_domains_own_servers_count_first(self) -> None:
        """
        The records of the domain's own name servers count, because a CA queries these. A resolver may
        have old records.
        """
        own = ServerView("ns1.shop.org", ("203.0.113.7",))
        public = ServerView("8.8.8.8", ("198.51.100.9",))

        assert own == DnsRecords("shop.org", authoritative=(own,), resolvers=(public,)).view

    def test_the_next_server_counts_after_a_failure(self) -> None:
        """
        The next server counts after a failed server.
        """
        lame, public = ServerView("ns1.shop.org", error="REFUSED"), ServerView("8.8.8.8", ("203.0.113.7",))

        assert public == DnsRecords("shop.org", authoritative=(lame,), resolvers=(public,)).view
        assert None is DnsRecords("shop.org", authoritative=(lame,)).view


class TestOrder:
    def test_ipv6_comes_first(self) -> None:
        """
        IPv6 addresses come first, as a CA tries them. An old AAAA record can hide a correct A record.
        """
        assert ("2001:db8::1", "203.0.113.7", "203.0.113.8") == in_ca_order(
            ["203.0.113.7", "2001:db8::1", "203.0.113.8", "203.0.113.7"]
        )
