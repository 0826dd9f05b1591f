"""
Hosts, addresses and URLs in the spellings that users write.
"""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.hosts import HttpAddress, Origin, host_and_port_in, host_in, web_url_in, with_port

#: Hosts, and texts that are similar to hosts.
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
        The function accepts names and addresses, and returns an IPv6 address without brackets.
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
        The function rejects each text for which the codec of host names raises an exception.
        """
        with pytest.raises(ValueError, match="not a"):
            host_in(text)

    @given(PIECES)
    def test_the_socket_module_accepts_each_host(self, text: str) -> None:
        """
        A lookup of an accepted host returns addresses or raises an `OSError`, never an exception of a codec.
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
    def test_the_port_follows_the_last_colon(self, text: str, expected: tuple[str, int]) -> None:
        """
        The function splits host and port. An IPv6 address needs brackets.
        """
        assert expected == host_and_port_in(text)
        assert text == with_port(*expected)

    @pytest.mark.parametrize(
        ("text", "expected"), [("redis", ("redis", 6379)), ("[::1]", ("::1", 6379)), ("a:1", ("a", 1))]
    )
    def test_a_port_may_have_a_default(self, text: str, expected: tuple[str, int]) -> None:
        """
        A text without a port gets the default port, if there is one.
        """
        assert expected == host_and_port_in(text, 6379)

    @pytest.mark.parametrize(
        "text", ["8080", "a", "a:", ":80", "a:65536", "a:http", "a:٣", "a:-1", "::1:80", "[::1]80"]
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        """
        The error message does not contain the rejected text, which may be a password.
        """
        with pytest.raises(ValueError, match=r"not a|no port|without brackets") as refused:
            host_and_port_in(text)

        assert text not in str(refused.value) or len(text) < 4


class TestHttpAddress:
    @pytest.mark.parametrize("text", ["0.0.0.0:8080", "[::]:8080", "localhost:0", "[2001:db8::1]:65535"])
    def test_its_text_is_the_text_of_the_setting(self, text: str) -> None:
        """
        The address has the same text in the log as in the setting.
        """
        assert str(HttpAddress.parse(text)) == text

    def test_the_brackets_are_not_part_of_the_host(self) -> None:
        """
        The host of an IPv6 address has no brackets, as a socket needs it.
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
        The function returns host and port. The port, the user and the password are optional.
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
    def test_another_text_is_rejected_without_its_value(self, text: str) -> None:
        """
        The error message does not contain the URL, which may have a password.
        """
        with pytest.raises(ValueError, match=r"^(not a|neither|no)") as refused:
            web_url_in(text)

        assert text not in str(refused.value)


class TestOrigin:
    @pytest.mark.parametrize(
        ("url", "host", "port"),
        [
            ("https://ca.example/dir", "ca.example", 443),
            ("HTTPS://CA.Example:443", "ca.example", 443),
            ("http://user:password@ca.example/", "ca.example", 80),
            ("https://[::1]:14000/dir", "::1", 14000),
            ("https://bücher.example/", "xn--bcher-kva.example", 443),
        ],
    )
    def test_all_spellings_of_an_origin_are_equal(self, url: str, host: str, port: int) -> None:
        """
        An origin is a scheme, a host in lowercase ASCII, and a port.
        """
        assert (url.partition(":")[0].lower(), host, port) == Origin.of(url)

    @pytest.mark.parametrize("url", ["null", "ftp://a", "http://a:x", "http://[::1", "http://" + "a" * 64])
    def test_another_url_has_no_origin(self, url: str) -> None:
        """
        A text without an HTTP URL, and an invalid host or port, have no origin.
        """
        with pytest.raises(ValueError):  # noqa: PT011 (the messages are those of the library)
            Origin.of(url)


class TestLoopback:
    @pytest.mark.parametrize(
        ("host", "local"),
        [
            *(("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True)),
            *(("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("page.internal", False)),
        ],
    )
    def test_only_loopback_addresses_are_open(self, host: str, local: bool) -> None:
        """
        An unspecified address and a name are reachable from elsewhere.
        """
        assert local == HttpAddress(host, 80).is_loopback
