"""
What goes wrong on the way to a CA.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from certworker.acme.transport import LARGEST_ANSWER, Reply, Transport
from certworker.errors.authority import AuthorityUnreachable, NotAcme, TlsIntercepted
from certworker.errors.reach import ContainerResolver
from tests.servers.oddities import Oddity, OddServer, odd_server
from tests.servers.pebble import Pebble
from tests.servers.redis import free_port


@pytest.fixture
def server() -> Iterator[OddServer]:
    """
    A server that answers as a test wants.
    """
    with odd_server() as started:
        yield started


def transport_to(url: str, ca_bundle: Path | None = None) -> Transport:
    """
    A transport as a worker with two slots has it.
    """
    return Transport(url, ca_bundle=ca_bundle, connections=2)


class TestConnections:
    def test_one_is_kept_for_all_requests(self, server: OddServer) -> None:
        """
        A new connection costs more than the rest of an order together.
        """
        server.answers["/"] = Oddity(b'{"a": 1}')
        server.answers["/empty"] = Oddity(b"")
        transport = transport_to(server.url)

        for path in ("/", "/empty", "/", "/missing", "/"):
            transport.send("POST", server.url + path, b"{}")
        transport.send("HEAD", server.url)
        transport.send("GET", server.url)

        assert 1 == server.connections

    def test_we_say_who_we_are(self, server: OddServer) -> None:
        """
        RFC 8555, section 6.1: the operator of a CA must be able to tell clients apart.
        """
        transport_to(server.url).send("POST", server.url, b"{}")

        assert server.requests[0]["User-Agent"].startswith("certworker/")
        assert "application/jose+json" == server.requests[0]["Content-Type"]

    def test_cookies_are_not_kept(self, server: OddServer) -> None:
        """
        Sixteen threads share the session; nothing that one of them was told may go out with another.
        """
        server.answers["/"] = Oddity(headers={"Set-Cookie": "seen=1"})
        transport = transport_to(server.url)

        transport.send("GET", server.url)
        transport.send("GET", server.url)

        assert "Cookie" not in server.requests[1]


class TestTls:
    def test_the_bundle_is_trusted(self, pebble: Pebble) -> None:
        """
        A CA of one's own has a root of its own.
        """
        transport = transport_to(pebble.directory_url, pebble.ca_bundle)

        assert 200 == transport.send("GET", pebble.directory_url).status

    def test_the_bundle_wins_over_the_environment(
        self, pebble: Pebble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        REQUESTS_CA_BUNDLE, set for something else, would silently replace it.
        """
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nothing.pem"))
        transport = transport_to(pebble.directory_url, pebble.ca_bundle)

        assert 200 == transport.send("GET", pebble.directory_url).status

    def test_what_nobody_vouches_for_is_refused(self, pebble: Pebble) -> None:
        """
        A proxy that intercepts TLS could read nothing but deny everything; it is named as what it is.
        """
        with pytest.raises(TlsIntercepted) as caught:
            transport_to(pebble.directory_url).send("GET", pebble.directory_url)

        assert "CERTWORKER_CA_BUNDLE=" in caught.value.remedy
        assert "certificate verify failed" in caught.value.message

    def test_a_certificate_for_another_name_is_refused(self, pebble: Pebble) -> None:
        """
        The one shared context checks names, too.
        """
        url = pebble.directory_url.replace("127.0.0.1", "127.0.0.2")
        other = transport_to(url, pebble.ca_bundle)

        with pytest.raises((TlsIntercepted, AuthorityUnreachable)):
            other.send("GET", url)


class TestFaults:
    def test_a_refused_connection_is_an_outage(self) -> None:
        """
        With the address, so that a firewall's log can be searched for it.
        """
        url = f"http://127.0.0.1:{free_port()}/"

        with pytest.raises(AuthorityUnreachable) as caught:
            transport_to(url).send("GET", url)

        assert url.removeprefix("http://").removesuffix("/") in caught.value.message

    def test_a_name_without_an_address_is_the_container_s_fault(self) -> None:
        """
        It must not be mistaken for a mistake in the domain that is to be certified.
        """
        with pytest.raises(ContainerResolver) as caught:
            transport_to("https://ca.invalid/").send("GET", "https://ca.invalid/directory")

        assert "ca.invalid" in caught.value.message
        assert caught.value.remedy.endswith("getent hosts ca.invalid")

    def test_an_endless_answer_is_not_read_to_its_end(self, server: OddServer) -> None:
        """
        Sixteen slots that each keep what a broken server sends would end the worker.
        """
        server.answers["/"] = Oddity(b"x" * (LARGEST_ANSWER + 1))

        with pytest.raises(NotAcme):
            transport_to(server.url).send("GET", server.url)

    @pytest.mark.parametrize("url", ["http://[", "ftp://x/", "nothing", "http://x:99999/", ""])
    def test_a_url_that_is_none_is_an_outage(self, url: str) -> None:
        """
        URLs come from the CA's answers, and a broken one must not break us.
        """
        with pytest.raises((AuthorityUnreachable, ContainerResolver)):
            transport_to("http://127.0.0.1/").send("POST", url, b"{}")


class TestReply:
    def test_links_are_found_by_their_relation(self) -> None:
        """
        Alternate chains and the terms of service stand in Link headers only.
        """
        header = '<https://ca/1>;rel="alternate", <https://ca/2>; rel="alternate", <https://ca/d>;rel="index"'
        reply = Reply("https://ca/", 200, {"Link": header}, b"")

        assert ["https://ca/1", "https://ca/2"] == reply.links("alternate")
        assert [] == reply.links("up")

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"\xff", b"[" * 100_000])
    def test_what_is_no_json_object_is_not_acme(self, body: bytes) -> None:
        """
        A captive portal answers everything with a page and 200.
        """
        with pytest.raises(NotAcme) as caught:
            _ = Reply("https://ca.example/x", 200, {"Content-Type": "text/html"}, body).document

        assert "ca.example answered with something that is not ACME (HTTP 200, text/html)" in str(
            caught.value
        )
