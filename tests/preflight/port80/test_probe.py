"""
Test requests that follow the rules of a CA.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest

from certworker.domains.address import Address
from certworker.preflight.port80.http_get import FetchError
from certworker.preflight.port80.probe import Fetch, Probe
from tests.servers.ports import free_port
from tests.servers.web import Respond, WebServer, always, key_authorizations, redirects, response

HOME = IPv4Address("127.0.0.1")
OTHER = IPv4Address("127.0.0.2")
NAME, PATH = "shop.example.org", "/.well-known/acme-challenge/token"
EXPECTED = "token.thumbprint"


def probe(port: int, www: str = "127.0.0.1", *, public_only: bool = False, seconds: float = 5) -> Probe:
    """
    Return a probe that resolves each other name to *www*.
    """

    def resolve(_name: str) -> Sequence[Address]:
        return [ip_address(www)]

    return Probe(port, public_only, resolve, seconds)


def fetched(respond: Respond, www: str = "127.0.0.1") -> Fetch:
    """
    Return the result of a request to a server that answers with *respond*.
    """
    with WebServer(respond) as server:
        return probe(server.port, www).fetch(NAME, PATH, HOME)


class TestFetch:
    def test_the_correct_response_matches(self) -> None:
        """
        The correct response matches.
        """
        result = fetched(key_authorizations())

        assert result.matches(EXPECTED)
        assert [(f"http://{NAME}{PATH}", HOME)] == [(stop.url, stop.address) for stop in result.hops]

    @pytest.mark.parametrize("body", [EXPECTED, f"{EXPECTED}\n", f"{EXPECTED} \t\r\n"])
    def test_whitespace_at_the_end_is_ignored(self, body: str) -> None:
        """
        Whitespace at the end is ignored, because some users write the file with an editor.
        """
        assert fetched(always(200, body)).matches(EXPECTED)

    @pytest.mark.parametrize(
        "respond",
        [
            always(200, f"\n{EXPECTED}"),
            always(200, b"\xef\xbb\xbf" + EXPECTED.encode()),
            always(200, f"<html>{EXPECTED}</html>"),
            always(200, EXPECTED + " " * 120),
            always(200, "token.other"),
            always(200, ""),
            always(203, EXPECTED),
            always(404, EXPECTED),
        ],
    )
    def test_another_response_does_not_match(self, respond: Respond) -> None:
        """
        Another response does not match. Boulder compares at most 127 bytes, and requires status 200.
        """
        assert not fetched(respond).matches(EXPECTED)


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_redirects_that_a_ca_follows_are_followed(self, status: int) -> None:
        """
        Each redirect that a CA follows leads to the address of its own host.
        """
        with (
            WebServer(redirects("http://www.example.org{path}", status)) as first,
            WebServer(key_authorizations(), host="127.0.0.2", port=first.port),
        ):
            result = probe(first.port, www="127.0.0.2").fetch(NAME, PATH, HOME)

        assert result.matches(EXPECTED)
        assert [HOME, OTHER] == [stop.address for stop in result.hops]

    def test_https_is_followed_without_a_trusted_certificate(self, pair: tuple[Path, Path]) -> None:
        """
        A redirect to HTTPS is followed without a trusted certificate.
        """
        port = free_port()
        with (
            WebServer(redirects(f"https://www.example.org:{port}{{path}}"), port=port),
            WebServer(key_authorizations(), host="127.0.0.2", port=port, pair=pair),
        ):
            assert probe(port, www="127.0.0.2").fetch(NAME, PATH, HOME).matches(EXPECTED)

    @pytest.mark.parametrize("status", [300, 303, 304, 305])
    def test_other_redirects_are_responses(self, status: int) -> None:
        """
        Another redirect is the response, because Boulder does not follow it.
        """
        result = fetched(redirects("http://www.example.org/", status))

        assert result.reply
        assert status == result.reply.status

    @pytest.mark.parametrize(
        ("location", "text"),
        [
            ("", "nowhere"),
            ("ftp://www.example.org/", "ftp://"),
            ("https://www.example.org:8443/", "80 and 443"),
            ("http://www.example.org:0/", "www.example.org:0"),
            ("http://user@www.example.org/", "user@"),
            ("http://www.example.org:port/", ":port"),
            ("http://[::1/", "[::1"),
            ("http://a b.example.org/", "a b"),
            (f"http://www.example.org/{'x' * 2000}", "www.example.org"),
        ],
    )
    def test_redirects_that_no_ca_follows_are_errors(self, location: str, text: str) -> None:
        """
        A redirect that no CA follows is an error with its target.
        """
        result = fetched(redirects(location), www="127.0.0.2")

        assert FetchError.BAD_REDIRECT is result.error
        assert f"http://{NAME}{PATH} redirects (302) to " in result.detail
        assert text in result.detail

    def test_the_same_url_twice_is_a_loop(self) -> None:
        """
        A redirect to the same URL is a loop, as with the mode Flexible of Cloudflare.
        """
        assert FetchError.LOOP is fetched(redirects(f"http://{NAME}{{path}}")).error

    def test_ten_redirects_are_followed(self) -> None:
        """
        Ten redirects are followed, as by Boulder, and the next redirect is an error.
        """

        def counting(path: str, _visitor: object) -> bytes:
            number = int(path.rpartition("/")[2]) if path[-1].isdigit() else 0
            if number == last:
                return response(200, EXPECTED)
            return response(302, Location=f"http://www.example.org/{number + 1}")

        last = 10
        assert fetched(counting).matches(EXPECTED)
        last = 11
        assert FetchError.LOOP is fetched(counting).error

    def test_all_hops_share_one_timeout(self) -> None:
        """
        All hops share one timeout, as at a CA. Each of eight hops uses a quarter of it.
        """

        def slow(path: str, _visitor: object) -> bytes:
            time.sleep(0.2)
            number = int(path.rpartition("/")[2]) if path[-1].isdigit() else 0
            if number == 7:
                return response(200, EXPECTED)
            return response(302, Location=f"http://www.example.org/{number + 1}")

        with WebServer(slow) as server:
            result = probe(server.port, seconds=0.8).fetch(NAME, PATH, HOME)

        assert result.error in (FetchError.SILENT, FetchError.TIMEOUT)
        assert len(result.hops) < 7


class TestPrivateAddresses:
    def test_a_public_name_at_a_private_address_is_not_connected_to(self) -> None:
        """
        A public name at a private address causes no connection.
        """
        with WebServer(key_authorizations()) as server:
            result = probe(server.port, public_only=True).fetch(NAME, PATH, HOME)

        assert FetchError.UNREACHABLE is result.error
        assert [] == server.requests

    @pytest.mark.parametrize(
        "location",
        [
            "http://www.example.org{path}",
            "http://127.0.0.2{path}",
            "http://2130706434{path}",
            "http://0x7f000002{path}",
            "http://metadata.internal{path}",
            "http://localhost{path}",
            "http://[::ffff:127.0.0.2]{path}",
        ],
    )
    def test_a_redirect_to_a_private_address_is_not_followed(self, location: str) -> None:
        """
        A redirect to a private address causes no connection, in any notation.
        """
        with (
            WebServer(redirects(location)) as first,
            WebServer(key_authorizations(), host="127.0.0.2", port=first.port) as neighbor,
        ):
            prober = probe(first.port, public_only=True, www="127.0.0.2")
            result = prober.fetch_inside("appwrite.example.org", PATH, HOME, first.port)

        assert FetchError.BAD_REDIRECT is result.error
        assert [] == neighbor.requests

    def test_a_name_is_resolved_once_for_each_hop(self) -> None:
        """
        Each hop resolves its name once, so a changed answer of DNS has no effect.
        """
        resolved: list[str] = []

        def resolve(name: str) -> Sequence[Address]:
            resolved.append(name)
            return [HOME if len(resolved) > 1 else OTHER]

        with (
            WebServer(redirects("http://www.example.org{path}")) as first,
            WebServer(key_authorizations(), host="127.0.0.2", port=first.port),
        ):
            result = Probe(first.port, False, resolve).fetch(NAME, PATH, HOME)

        assert result.matches(EXPECTED)
        assert ["www.example.org"] == resolved


class TestFetchInside:
    def test_a_redirect_of_an_internal_hop_stays_at_its_address(self) -> None:
        """
        A redirect of Traefik to another port is followed at the address of the internal hop.
        """
        port = free_port()
        with (
            WebServer(redirects(f"http://{NAME}:{port}{{path}}/again"), host="127.0.0.2") as traefik,
            WebServer(key_authorizations(), host="127.0.0.2", port=port),
        ):
            result = probe(port).fetch_inside(NAME, PATH, OTHER, traefik.port)

        assert result.matches("token/again.thumbprint")
        assert [OTHER, OTHER] == [stop.address for stop in result.hops]
