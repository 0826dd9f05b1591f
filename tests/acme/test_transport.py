"""
Tests of the failures on the way to a CA.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.acme import transport as module
from certworker.acme.transport import (
    LARGEST_RESPONSE,
    MAX_LINKS,
    MAX_REDIRECTS,
    Link,
    Reply,
    Transport,
    is_secure,
    links_of,
    resolved,
)
from certworker.errors.ca import CaUnreachable, NotAcme
from certworker.errors.dns import ContainerResolver
from tests.servers.oddities import Oddity, OddServer, odd_server
from tests.servers.ports import free_port
from tests.servers.trickling import trickling


@pytest.fixture
def server() -> Iterator[OddServer]:
    """
    Run a server whose responses a test sets.
    """
    with odd_server() as started:
        yield started


def transport_to(url: str) -> Transport:
    """
    Return the transport of a worker with two slots.
    """
    return Transport(url, ca_bundle=None, connections=2)


class TestFaults:
    def test_a_refused_connection_is_an_outage(self) -> None:
        """
        The failure has the address, which an operator can find in the log of a firewall.
        """
        url = f"http://127.0.0.1:{free_port()}/"

        with pytest.raises(CaUnreachable) as caught:
            transport_to(url).send("GET", url)

        assert url.removeprefix("http://").removesuffix("/") in caught.value.message

    def test_an_unresolvable_ca_is_a_failure_of_the_container(self) -> None:
        """
        The failure names the resolver of the container, not the requested domain.
        """
        with pytest.raises(ContainerResolver) as caught:
            transport_to("https://ca.invalid/").send("GET", "https://ca.invalid/directory")

        assert "ca.invalid" in caught.value.message
        assert caught.value.remedy.endswith("getent hosts ca.invalid")

    def test_a_response_that_is_too_large_is_not_read(self, server: OddServer) -> None:
        """
        The client stops reading a response that is too large. Sixteen such responses would exhaust
        the memory.
        """
        server.answers["/"] = Oddity(b"x" * (LARGEST_RESPONSE + 1))

        with pytest.raises(NotAcme):
            transport_to(server.url).send("GET", server.url)

    @pytest.mark.parametrize("url", ["http://[", "ftp://x/", "nothing", "http://x:99999/", "", "file:///etc"])
    def test_an_invalid_url_is_not_requested(self, url: str) -> None:
        """
        An invalid URL fails with a code, whether it comes from a CA, from Redis or from a file.
        """
        with pytest.raises(NotAcme, match="is not an ACME response"):
            transport_to("http://127.0.0.1:9/").send("POST", url, b"{}")

    def test_an_invalid_host_name_is_an_outage(self) -> None:
        """
        A host name that the codec refuses is an outage, such as a label of more than 63 characters.
        """
        url = f"http://{'x' * 70}.example/"

        with pytest.raises((CaUnreachable, ContainerResolver)):
            transport_to(url).send("GET", url)

    def test_a_ca_with_https_leads_to_no_http_url(self) -> None:
        """
        The client refuses the change from HTTPS to HTTP, so an attacker cannot read the next request.
        """
        with pytest.raises(NotAcme, match=r"the URL .http://ca\.example/order., which is not allowed"):
            transport_to("https://ca.example/directory").send("POST", "http://ca.example/order", b"{}")


class TestDeadline:
    @pytest.fixture(autouse=True)
    def short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Limit an exchange to half a second.
        """
        monkeypatch.setattr(module, "REQUEST_SECONDS", 0.5)

    @pytest.mark.parametrize(
        "beginning",
        [
            b"",
            b"HTTP/1.1 200 ",
            b"HTTP/1.1 200 OK\r\nX: ",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ],
        ids=["nothing", "status", "headers", "body", "chunks"],
    )
    def test_a_response_byte_by_byte_ends_at_the_deadline(self, beginning: bytes) -> None:
        """
        A response that arrives byte by byte fails at the deadline, although no single read times out.
        """
        with trickling(greeting=beginning) as port, pytest.raises(CaUnreachable) as caught:
            transport_to(f"http://127.0.0.1:{port}/").send("POST", f"http://127.0.0.1:{port}/", b"{}")

        assert f"127.0.0.1:{port} did not respond: no complete response within 0.5 s." == caught.value.message

    def test_a_handshake_byte_by_byte_ends_at_the_deadline(self) -> None:
        """
        A TLS record that announces more bytes than arrive fails at the deadline.
        """
        with trickling(greeting=b"\x16\x03\x03\x40\x00") as port, pytest.raises(CaUnreachable):
            transport_to(f"https://127.0.0.1:{port}/").send("GET", f"https://127.0.0.1:{port}/")

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_a_proxy_that_responds_byte_by_byte_ends_at_the_deadline(
        self, scheme: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The response to CONNECT ends at the deadline, and so does the handshake with an HTTPS proxy.
        """
        with trickling(greeting=b"HTTP/1.1 200 OK\r\nX: ") as port:
            monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{port}")
            with pytest.raises(CaUnreachable):
                transport_to("https://ca.example/").send("GET", "https://ca.example/")

    def test_redirects_share_the_deadline(self, server: OddServer) -> None:
        """
        A chain of slow redirects has one deadline.
        """
        for number in range(MAX_REDIRECTS):
            server.answers[f"/{number}"] = Oddity(
                status=302, headers={"Location": f"/{number + 1}"}, delay_seconds=0.2
            )

        with pytest.raises(CaUnreachable, match="within"):
            transport_to(server.url).send("GET", f"{server.url}/0")

    def test_a_silent_resolver_is_a_failure_of_the_container(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The client stops waiting for a silent resolver at the deadline. The C library waits for 30
        seconds and more.
        """
        released = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(30) and [])

        with pytest.raises(ContainerResolver, match=r"no address of ca\.example within"):
            transport_to("http://ca.example/").send("GET", "http://ca.example/")
        released.set()

    def test_each_exchange_of_a_connection_has_a_new_deadline(
        self, server: OddServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Each exchange over a connection that stays open has a new deadline.
        """
        monkeypatch.setattr(module, "REQUEST_SECONDS", 60)
        real = time.monotonic
        transport = transport_to(server.url)
        transport.send("POST", server.url, b"{}")
        monkeypatch.setattr(time, "monotonic", lambda: real() + 3600)

        transport.send("POST", server.url, b"{}")

        assert 1 == server.connections


class TestRedirects:
    def test_a_get_follows_redirects(self, server: OddServer) -> None:
        """
        The reply has the URL after the redirects, against which its relative references are resolved.
        """
        server.answers["/"] = Oddity(status=302, headers={"Location": "/acme/"})
        server.answers["/acme/"] = Oddity(status=301, headers={"Location": "directory"})
        server.answers["/acme/directory"] = Oddity(b'{"a": 1}')

        reply = transport_to(server.url).send("GET", f"{server.url}/")

        assert {"a": 1} == reply.document
        assert f"{server.url}/acme/directory" == reply.url

    def test_a_post_follows_no_redirect(self, server: OddServer) -> None:
        """
        The client follows no redirect of a POST, because a JWS names its URL (RFC 8555, section 6.4).
        """
        server.answers["/"] = Oddity(status=307, headers={"Location": "/other"})

        assert 307 == transport_to(server.url).send("POST", f"{server.url}/", b"{}").status

    @pytest.mark.parametrize("location", ["/", "http://[::1", "file:///etc/passwd", None])
    def test_an_invalid_redirect_is_not_acme(self, server: OddServer, location: str | None) -> None:
        """
        A redirect loop, an invalid URL and a missing Location are not ACME.
        """
        server.answers["/"] = Oddity(status=302, headers={"Location": location} if location else {})

        with pytest.raises(NotAcme):
            transport_to(server.url).send("GET", f"{server.url}/")

        assert len(server.requests) <= 1 + MAX_REDIRECTS


class TestReply:
    def test_links_are_found_by_their_relation(self) -> None:
        """
        The Link header has the URLs of alternate chains and of the terms of service.
        """
        header = '<https://ca/1>;rel="alternate", </2>; rel="alternate", <https://ca/d>;rel="index"'
        reply = Reply("https://ca/", 200, {"Link": header}, b"")

        assert ["https://ca/1", "https://ca/2"] == reply.links("alternate")
        assert [] == reply.links("up")

    def test_links_of_another_resource_and_invalid_links_are_skipped(self) -> None:
        """
        A link with another anchor or an invalid target is skipped.
        """
        header = '</1>;rel=up;anchor="/other", <mailto:a@b>;rel=up, </2>;rel=up;anchor="", <http://[>;rel=up'

        assert ["https://ca/2"] == Reply("https://ca/", 200, {"Link": header}, b"").links("up")

    def test_the_location_is_absolute(self) -> None:
        """
        A relative Location is resolved. It becomes the key ID of an account or the URL of an order.
        """
        reply = Reply("https://ca.example/acme/new-order", 201, {"Location": "/order/1"}, b"")

        assert "https://ca.example/order/1" == reply.location

    @pytest.mark.parametrize(
        ("headers", "found"),
        [
            ({}, "HTTP 201 without a Location header"),
            ({"Location": "gopher://x/"}, "Location is 'gopher://x/', which is not an HTTP URL"),
            ({"Location": "http://ca.example/1"}, "Location leads from HTTPS to 'http://ca.example/1'"),
        ],
    )
    def test_an_unusable_location_is_not_acme(self, headers: dict[str, str], found: str) -> None:
        """
        The failure has the value that the CA sent.
        """
        with pytest.raises(NotAcme) as caught:
            _ = Reply("https://ca.example/new-order", 201, headers, b"").location

        assert f"The response from ca.example is not an ACME response ({found})." == caught.value.message

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"\xff", b"[" * 100_000])
    def test_a_body_that_is_no_json_object_is_not_acme(self, body: bytes) -> None:
        """
        A body that is no JSON object is not ACME. A captive portal returns a page with HTTP 200, for
        example.
        """
        with pytest.raises(NotAcme) as caught:
            _ = Reply("https://ca.example/x", 200, {"Content-Type": "text/html"}, body).document

        assert "ca.example is not an ACME response (HTTP 200, text/html)" in str(caught.value)


BASE = "https://ca.example/acme/new-order"


class TestResolved:
    @pytest.mark.parametrize(
        ("reference", "url"),
        [
            ("https://ca.example/order/1", "https://ca.example/order/1"),
            ("/order/1", "https://ca.example/order/1"),
            ("order/1", "https://ca.example/acme/order/1"),
            ("../order/1?a=b", "https://ca.example/order/1?a=b"),
            ("//other.example/1", "https://other.example/1"),
            ("?page=2", "https://ca.example/acme/new-order?page=2"),
            ("", BASE),
            (" /order/1 ", "https://ca.example/order/1"),
            ("/order/1#part", "https://ca.example/order/1"),
        ],
    )
    def test_a_relative_reference_is_resolved(self, reference: str, url: str) -> None:
        """
        Location and Link can be relative references (RFC 9110, section 10.2.2; RFC 8288, section
        3.1).
        """
        assert url == resolved(reference, BASE)

    @pytest.mark.parametrize(
        "reference",
        ["ftp://ca.example/", "file:///etc", "http://[", "https://:443/", "http://x:99999/", "mailto:a@b"],
    )
    def test_a_reference_to_another_scheme_or_no_host_is_refused(self, reference: str) -> None:
        """
        A reference must lead to an HTTP URL with a host and a valid port.
        """
        with pytest.raises(ValueError, match=r".+"):
            resolved(reference, BASE)

    @given(st.text())
    def test_any_text_is_a_url_or_a_value_error(self, reference: str) -> None:
        """
        A text from a CA raises no exception but ValueError.
        """
        try:
            url = resolved(reference, BASE)
        except ValueError:
            return
        assert url.isprintable()
        assert url == resolved(url, BASE)


class TestIsSecure:
    def test_https_is_secure(self) -> None:
        """
        The scheme HTTPS is secure, in either case of the letters.
        """
        assert is_secure("https://ca.example/")
        assert is_secure("HTTPS://ca.example/")
        assert not is_secure("http://ca.example/")


class TestLinks:
    @pytest.mark.parametrize(
        ("header", "links"),
        [
            ("<https://ca/1>;rel=up", [("https://ca/1", ("up",))]),
            ('</1> ; rel = "Alternate index"', [("/1", ("alternate", "index"))]),
            ('</a,b;c>; rel="up", </2>; REL=index', [("/a,b;c", ("up",)), ("/2", ("index",))]),
            (r'</1>; title="a \"quoted\", <comma>"; rel=up', [("/1", ("up",))]),
            ("</1>; rel=up; rel=index", [("/1", ("up",))]),
            ("</1>", [("/1", ())]),
            ("</1>; crossorigin; rel=up", [("/1", ("up",))]),
            (", ,</1>;rel=up,", [("/1", ("up",))]),
            ("</1", []),
            ("nonsense, </1>; rel=up", []),
            ("", []),
        ],
    )
    def test_a_link_header_is_parsed_by_rfc_8288(
        self, header: str, links: list[tuple[str, tuple[str, ...]]]
    ) -> None:
        """
        Relation types are case-insensitive, a link can have several, and its first `rel` counts.
        """
        assert links == [(link.target, link.relations) for link in links_of(header)]

    def test_an_anchor_is_part_of_the_link(self) -> None:
        """
        A link has its anchor, which names another resource than the response (RFC 8288, section 3.2).
        """
        assert [Link("/1", ("up",), "/other")] == list(links_of('</1>; rel=up; anchor="/other"'))

    def test_the_number_of_links_is_limited(self) -> None:
        """
        The parser returns at most MAX_LINKS links of a header.
        """
        assert MAX_LINKS == len(list(links_of("</1>;rel=up," * 10_000)))

    @given(st.text(alphabet='<>;,="\\ relup/1\t', max_size=60))
    def test_any_header_can_be_read(self, header: str) -> None:
        """
        No header of a CA raises an exception.
        """
        assert all(isinstance(link, Link) for link in links_of(header))
