"""
Hosts as people write them.
"""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.hosts import HttpAddress, host_and_port_in, host_in, web_url_in, with_port

#: Hosts, and texts that only resemble one.
PIECES = st.text(st.sampled_from("ab9-_.:[]%@/ \nüß\ud800"), max_size=300)


class TestHostIn:
    @pytest.mark.parametrize(
        ("text", "host"),
        [
            ("redis", "redis"),
            ("my_redis.internal.", "my_redis.internal."),
            ("127.0.0.1", "127.0.0.1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("x" * 63 + ".org", "x" * 63 + ".org"),
        ],
    )
    def test_names_and_addresses_are_hosts(self, text: str, host: str) -> None:
        """
        A socket wants them without brackets.
        """
        assert host == host_in(text)

    @pytest.mark.parametrize(
        "text",
        [
            *("", ".", "a..b", ".a", "x" * 64, "a." * 130, "a b", "a\n", "bücher.example", "a/b", "me@host"),
            *(
                "a:80",
                ":::",
                "[::1",
                "::1]",
                "[::1]:80",
                "[a]",
                "1::2::3",
                "fe80::1%",
                "fe80::1%a\nb",
                "\ud800",
            ),
        ],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        """
        Many of them are errors of their own kind for the codec of host names.
        """
        with pytest.raises(ValueError, match="not a"):
            host_in(text)

    @given(PIECES)
    def test_the_socket_module_can_ask_for_each_host(self, text: str) -> None:
        """
        It answers, or raises an OSError; never an error of a codec.
        """
        try:
            host = host_in(text)
        except ValueError:
            return
        with suppress(OSError):
            socket.getaddrinfo(host, 80, flags=socket.AI_NUMERICHOST)


class TestHostAndPortIn:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("traefik:443", ("traefik", 443)),
            ("[::1]:8080", ("::1", 8080)),
            ("localhost:0", ("localhost", 0)),
            ("a:65535", ("a", 65535)),
        ],
    )
    def test_the_port_is_behind_the_last_colon(self, text: str, expected: tuple[str, int]) -> None:
        """
        An IPv6 address has brackets before it.
        """
        assert expected == host_and_port_in(text)
        assert text == with_port(*expected)

    @pytest.mark.parametrize(
        ("text", "expected"), [("redis", ("redis", 6379)), ("[::1]", ("::1", 6379)), ("a:1", ("a", 1))]
    )
    def test_a_port_may_have_a_default(self, text: str, expected: tuple[str, int]) -> None:
        """
        Where the protocol has one.
        """
        assert expected == host_and_port_in(text, 6379)

    @pytest.mark.parametrize(
        "text", ["8080", "a", "a:", ":80", "a:65536", "a:http", "a:٣", "a:-1", "::1:80", "[::1]80"]
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        """
        The words do not repeat it: it may be a password in the wrong line.
        """
        with pytest.raises(ValueError, match=r"not a|no port|without brackets") as refused:
            host_and_port_in(text)

        assert text not in str(refused.value) or len(text) < 4


class TestHttpAddress:
    @pytest.mark.parametrize("text", ["0.0.0.0:8080", "[::]:8080", "localhost:0", "[2001:db8::1]:65535"])
    def test_it_reads_as_it_is_written(self, text: str) -> None:
        """
        The log has it as the operator wrote it.
        """
        assert str(HttpAddress.parse(text)) == text

    def test_the_brackets_are_not_part_of_the_host(self) -> None:
        """
        A socket binds to the bare address.
        """
        assert HttpAddress.parse("[::]:8080") == HttpAddress("::", 8080)


class TestWebUrl:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("https://ca.example.org/dir", "ca.example.org", None),
            ("http://me:word@[2001:db8::1]:8080/?a=b", "2001:db8::1", 8080),
        ],
    )
    def test_its_parts_are_returned(self, text: str, host: str, port: int | None) -> None:
        """
        A port is optional, and so are a user and a password.
        """
        url = web_url_in(text)

        assert (host, port) == (url.hostname, url.port)

    @pytest.mark.parametrize(
        "text",
        [
            *("ftp://a", "a.org", "http://", "http://a:0", "http://a:x", "http://[::1", "http://a b"),
            *("http://a..b", "http://a\\b", "http://a/\n"),
        ],
    )
    def test_another_text_is_refused_without_its_value(self, text: str) -> None:
        """
        A URL may contain a password, and logs have the message.
        """
        with pytest.raises(ValueError, match=r"^(not a|neither|no)") as refused:
            web_url_in(text)

        assert text not in str(refused.value)
