"""
What goes wrong on the way to a CA.
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
    LARGEST_ANSWER,
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
    A server that answers as a test wants.
    """
    with odd_server() as started:
        yield started


def transport_to(url: str) -> Transport:
    """
    A transport as a worker with two slots has it.
    """
    return Transport(url, ca_bundle=None, connections=2)


class TestFaults:
    def test_a_refused_connection_is_an_outage(self) -> None:
        """
        With the address, so that a firewall's log can be searched for it.
        """
        url = f"http://127.0.0.1:{free_port()}/"

        with pytest.raises(CaUnreachable) as caught:
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

    @pytest.mark.parametrize("url", ["http://[", "ftp://x/", "nothing", "http://x:99999/", "", "file:///etc"])
    def test_a_url_that_is_none_is_not_requested(self, url: str) -> None:
        """
        URLs come from a CA's answers, from Redis and from files: a broken one ends in a failure with a code.
        """
        with pytest.raises(NotAcme, match="is not ACME"):
            transport_to("http://127.0.0.1:9/").send("POST", url, b"{}")

    def test_a_host_that_is_none_is_an_outage(self) -> None:
        """
        The codec for host names refuses a label of more than 63 characters.
        """
        url = f"http://{'x' * 70}.example/"

        with pytest.raises((CaUnreachable, ContainerResolver)):
            transport_to(url).send("GET", url)

    def test_a_ca_of_https_leads_to_no_url_of_http(self) -> None:
        """
        An attacker who can change one answer must not read the next request.
        """
        with pytest.raises(NotAcme, match=r"the URL .http://ca\.example/order., which is not allowed"):
            transport_to("https://ca.example/directory").send("POST", "http://ca.example/order", b"{}")


class TestDeadline:
    @pytest.fixture(autouse=True)
    def short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        An exchange takes half a second at most.
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
    def test_an_answer_that_comes_byte_by_byte_is_ended(self, beginning: bytes) -> None:
        """
        No single read is late; a slot must not wait for the whole.
        """
        with trickling(greeting=beginning) as port, pytest.raises(CaUnreachable) as caught:
            transport_to(f"http://127.0.0.1:{port}/").send("POST", f"http://127.0.0.1:{port}/", b"{}")

        assert f"127.0.0.1:{port} did not answer: no complete answer within 0.5 s." == caught.value.message

    def test_a_handshake_that_comes_byte_by_byte_is_ended(self) -> None:
        """
        The header of a TLS record announces more bytes than ever come.
        """
        with trickling(greeting=b"\x16\x03\x03\x40\x00") as port, pytest.raises(CaUnreachable):
            transport_to(f"https://127.0.0.1:{port}/").send("GET", f"https://127.0.0.1:{port}/")

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_a_proxy_that_answers_byte_by_byte_is_ended(
        self, scheme: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        What answers CONNECT is one more peer; a proxy of HTTPS does not get as far as that.
        """
        with trickling(greeting=b"HTTP/1.1 200 OK\r\nX: ") as port:
            monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{port}")
            with pytest.raises(CaUnreachable):
                transport_to("https://ca.example/").send("GET", "https://ca.example/")

    def test_redirects_share_it(self, server: OddServer) -> None:
        """
        A chain of slow redirects is one exchange.
        """
        for number in range(MAX_REDIRECTS):
            server.answers[f"/{number}"] = Oddity(
                status=302, headers={"Location": f"/{number + 1}"}, delay_seconds=0.2
            )

        with pytest.raises(CaUnreachable, match="within"):
            transport_to(server.url).send("GET", f"{server.url}/0")

    def test_a_resolver_that_is_silent_is_the_container_s_fault(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The C library waits for half a minute and more.
        """
        released = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(30) and [])

        with pytest.raises(ContainerResolver, match=r"no address of ca\.example within"):
            transport_to("http://ca.example/").send("GET", "http://ca.example/")
        released.set()

    def test_a_kept_connection_has_a_new_one_for_each_exchange(
        self, server: OddServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A connection stays open for hours.
        """
        monkeypatch.setattr(module, "REQUEST_SECONDS", 60)
        later = time.monotonic
        transport = transport_to(server.url)
        transport.send("POST", server.url, b"{}")
        monkeypatch.setattr(time, "monotonic", lambda: later() + 3600)

        transport.send("POST", server.url, b"{}")

        assert 1 == server.connections


class TestRedirects:
    def test_a_get_follows_them(self, server: OddServer) -> None:
        """
        The answer has the URL of its own, so that its relative references are resolved against that one.
        """
        server.answers["/"] = Oddity(status=302, headers={"Location": "/acme/"})
        server.answers["/acme/"] = Oddity(status=301, headers={"Location": "directory"})
        server.answers["/acme/directory"] = Oddity(b'{"a": 1}')

        reply = transport_to(server.url).send("GET", f"{server.url}/")

        assert {"a": 1} == reply.document
        assert f"{server.url}/acme/directory" == reply.url

    def test_a_post_stays(self, server: OddServer) -> None:
        """
        A JWS names the URL that it is for (RFC 8555, section 6.4).
        """
        server.answers["/"] = Oddity(status=307, headers={"Location": "/other"})

        assert 307 == transport_to(server.url).send("POST", f"{server.url}/", b"{}").status

    @pytest.mark.parametrize("location", ["/", "http://[::1", "file:///etc/passwd", None])
    def test_one_that_leads_nowhere_ends(self, server: OddServer, location: str | None) -> None:
        """
        A circle, a URL that is none, and no URL at all are answers of something that is no CA.
        """
        server.answers["/"] = Oddity(status=302, headers={"Location": location} if location else {})

        with pytest.raises(NotAcme):
            transport_to(server.url).send("GET", f"{server.url}/")

        assert len(server.requests) <= 1 + MAX_REDIRECTS


class TestReply:
    def test_links_are_found_by_their_relation(self) -> None:
        """
        Alternate chains and the terms of service are in Link headers only.
        """
        header = '<https://ca/1>;rel="alternate", </2>; rel="alternate", <https://ca/d>;rel="index"'
        reply = Reply("https://ca/", 200, {"Link": header}, b"")

        assert ["https://ca/1", "https://ca/2"] == reply.links("alternate")
        assert [] == reply.links("up")

    def test_links_of_another_resource_and_to_no_url_are_left_out(self) -> None:
        """
        One odd link costs itself only.
        """
        header = '</1>;rel=up;anchor="/other", <mailto:a@b>;rel=up, </2>;rel=up;anchor="", <http://[>;rel=up'

        assert ["https://ca/2"] == Reply("https://ca/", 200, {"Link": header}, b"").links("up")

    def test_the_location_is_absolute(self) -> None:
        """
        It becomes the key id of an account, and the URL that an order is resumed by.
        """
        reply = Reply("https://ca.example/acme/new-order", 201, {"Location": "/order/1"}, b"")

        assert "https://ca.example/order/1" == reply.location

    @pytest.mark.parametrize(
        ("headers", "found"),
        [
            ({}, "HTTP 201 without a Location header"),
            ({"Location": "gopher://x/"}, "Location is 'gopher://x/', which is not a URL"),
            ({"Location": "http://ca.example/1"}, "Location leads from HTTPS to 'http://ca.example/1'"),
        ],
    )
    def test_a_location_that_cannot_be_used_is_not_acme(self, headers: dict[str, str], found: str) -> None:
        """
        The failure has the value that the CA sent.
        """
        with pytest.raises(NotAcme) as caught:
            _ = Reply("https://ca.example/new-order", 201, headers, b"").location

        assert f"The answer of ca.example is not ACME ({found})." == caught.value.message

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"\xff", b"[" * 100_000])
    def test_what_is_no_json_object_is_not_acme(self, body: bytes) -> None:
        """
        A captive portal answers everything with a page and 200.
        """
        with pytest.raises(NotAcme) as caught:
            _ = Reply("https://ca.example/x", 200, {"Content-Type": "text/html"}, body).document

        assert "The answer of ca.example is not ACME (HTTP 200, text/html)" in str(caught.value)


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
        Location and Link are URI references (RFC 9110, section 10.2.2; RFC 8288, section 3.1).
        """
        assert url == resolved(reference, BASE)

    @pytest.mark.parametrize(
        "reference",
        ["ftp://ca.example/", "file:///etc", "http://[", "https://:443/", "http://x:99999/", "mailto:a@b"],
    )
    def test_a_reference_to_something_else_is_refused(self, reference: str) -> None:
        """
        A request goes to a URL of HTTP with a host and a valid port.
        """
        with pytest.raises(ValueError, match=r".+"):
            resolved(reference, BASE)

    @given(st.text())
    def test_any_text_is_a_url_or_a_value_error(self, reference: str) -> None:
        """
        A text that a CA sends never raises another exception.
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
        The scheme decides, in capitals as well.
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
    def test_a_header_is_read_as_rfc_8288_has_it(
        self, header: str, links: list[tuple[str, tuple[str, ...]]]
    ) -> None:
        """
        Relation types compare without case, may be several, and the first `rel` of a link counts.
        """
        assert links == [(link.target, link.relations) for link in links_of(header)]

    def test_an_anchor_is_part_of_the_link(self) -> None:
        """
        Such a link may start from another resource than the answer (RFC 8288, section 3.2).
        """
        assert [Link("/1", ("up",), "/other")] == list(links_of('</1>; rel=up; anchor="/other"'))

    def test_an_endless_header_is_cut_off(self) -> None:
        """
        A CA that sends thousands of links costs no more than one that sends a hundred.
        """
        assert MAX_LINKS == len(list(links_of("</1>;rel=up," * 10_000)))

    @given(st.text(alphabet='<>;,="\\ relup/1\t', max_size=60))
    def test_any_header_can_be_read(self, header: str) -> None:
        """
        A header of a CA never raises an exception.
        """
        assert all(isinstance(link, Link) for link in links_of(header))
