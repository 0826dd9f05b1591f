"""
What goes wrong on the way to a CA.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from certworker.acme.transport import LARGEST_ANSWER, Reply, Transport
from certworker.errors.authority import AuthorityUnreachable, NotAcme
from certworker.errors.reach import ContainerResolver
from tests.servers.oddities import Oddity, OddServer, odd_server
from tests.servers.ports import free_port


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
