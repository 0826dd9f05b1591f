"""
Tests of the name server of the demo.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsigkeyring
import dns.update
import pytest
from dns.message import Message

from certworker.devca.name_server import HOST, KEY_NAME, DevelopmentNameServer

ZONE = "demo.localhost"
OWNER = f"_acme-challenge.{ZONE}"


@pytest.fixture
def server() -> Iterator[DevelopmentNameServer]:
    """
    Run a server with an empty zone.
    """
    with DevelopmentNameServer(ZONE) as server:
        yield server


def query(server: DevelopmentNameServer, name: str, kind: str, *, tcp: bool = False) -> Message:
    """
    Return the reply to a query.
    """
    send = dns.query.tcp if tcp else dns.query.udp
    return send(dns.message.make_query(name, kind), HOST, timeout=10, port=server.address[1])


def update(server: DevelopmentNameServer, *, zone: str = ZONE, secret: str = "") -> dns.update.UpdateMessage:
    """
    Return an empty update, signed with *secret* or with the secret of the server.
    """
    keyring = dns.tsigkeyring.from_text({KEY_NAME: secret or server.secret})
    return dns.update.UpdateMessage(zone, keyring=keyring)


def send(server: DevelopmentNameServer, message: Message) -> str:
    """
    Return the response code to *message*.
    """
    reply = dns.query.tcp(message, HOST, timeout=10, port=server.address[1])
    return dns.rcode.to_text(reply.rcode())


def texts(server: DevelopmentNameServer, name: str = OWNER) -> set[str]:
    """
    Return the values of the TXT records at *name*.
    """
    reply = query(server, name, "TXT")
    return {record.to_text().strip('"') for records in reply.answer for record in records}


class TestAnswer:
    def test_the_zone_has_the_records_of_a_validation(self, server: DevelopmentNameServer) -> None:
        """
        The zone has an SOA, an NS and an A record.
        """
        for kind in ("SOA", "NS", "A"):
            reply = query(server, ZONE, kind)
            assert 1 == len(reply.answer)
            assert reply.flags & dns.flags.AA

    @pytest.mark.parametrize("tcp", [False, True])
    def test_a_name_without_records_has_the_soa(self, server: DevelopmentNameServer, tcp: bool) -> None:
        """
        A negative response has the SOA record of the zone (RFC 2308, section 3).
        """
        reply = query(server, OWNER, "TXT", tcp=tcp)

        assert [] == reply.answer
        assert [dns.rdatatype.SOA] == [records.rdtype for records in reply.authority]

    def test_other_zones_are_refused(self, server: DevelopmentNameServer) -> None:
        """
        The server refuses queries for names outside its zone.
        """
        assert dns.rcode.REFUSED == query(server, "shop.org", "A").rcode()

    def test_a_reply_gets_no_reply(self, server: DevelopmentNameServer) -> None:
        """
        The server ignores replies. Two servers could otherwise exchange replies without end.
        """
        reply = dns.message.make_response(dns.message.make_query("example.test", "A"))

        assert None is server.reply(reply.to_wire())

    def test_an_invalid_message_is_ignored(self, server: DevelopmentNameServer) -> None:
        """
        The server ignores invalid messages, and answers the next query.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"hello", server.address)
        with socket.create_connection(server.address) as client:
            client.sendall(b"\x00\x05hello")
            assert b"" == client.recv(10)

        assert 1 == len(query(server, ZONE, "SOA").answer)


class TestUpdate:
    def test_values_are_added_and_deleted_one_by_one(self, server: DevelopmentNameServer) -> None:
        """
        Each value of a name is added and deleted separately. A domain and its wildcard share one
        name.
        """
        for value in ("One", "Two"):
            added = update(server)
            added.add(f"{OWNER}.", 60, "TXT", value)
            assert "NOERROR" == send(server, added)
        assert {"One", "Two"} == texts(server)
        assert {OWNER: {"One", "Two"}} == server.records

        deleted = update(server)
        deleted.delete(f"{OWNER}.", "TXT", "One")
        assert "NOERROR" == send(server, deleted)
        assert {"Two"} == texts(server)

        deleted = update(server)
        deleted.delete(f"{OWNER}.", "TXT")
        assert "NOERROR" == send(server, deleted)
        assert set() == texts(server)

    def test_a_wrong_secret_is_refused(self, server: DevelopmentNameServer) -> None:
        """
        An update with another secret does not change the zone.
        """
        wrong = update(server, secret=base64.b64encode(b"x" * 32).decode())
        wrong.add(f"{OWNER}.", 60, "TXT", "One")

        reply = server.reply(wrong.to_wire())

        assert reply is not None
        assert dns.rcode.NOTAUTH == dns.message.from_wire(reply, keyring=False).rcode()
        assert set() == texts(server)

    def test_an_unsigned_update_is_refused(self, server: DevelopmentNameServer) -> None:
        """
        An unsigned update is refused, because any program on this machine can reach the port.
        """
        unsigned = dns.update.UpdateMessage(ZONE)
        unsigned.add(f"{OWNER}.", 60, "TXT", "One")

        assert "REFUSED" == send(server, unsigned)
        assert set() == texts(server)

    @pytest.mark.parametrize(("zone", "code"), [("shop.org", "NOTZONE"), ("localhost", "NOTZONE")])
    def test_another_zone_is_refused(self, server: DevelopmentNameServer, zone: str, code: str) -> None:
        """
        An update for another zone is refused with NOTZONE.
        """
        other = update(server, zone=zone)
        other.add(f"_acme-challenge.{zone}.", 60, "TXT", "One")

        assert code == send(server, other)

    @pytest.mark.parametrize(
        ("owner", "kind", "value", "code"),
        [(f"www.{ZONE}.", "A", "127.0.0.1", "REFUSED"), ("shop.org.", "TXT", "Two", "NOTZONE")],
    )
    def test_a_refused_update_changes_nothing(
        self, server: DevelopmentNameServer, owner: str, kind: str, value: str, code: str
    ) -> None:
        """
        An update is applied completely or not at all (RFC 2136, sections 3.4.1 and 3.4.2).
        """
        mixed = update(server)
        mixed.add(f"{OWNER}.", 60, "TXT", "One")
        mixed.add(owner, 60, kind, value)

        assert code == send(server, mixed)
        assert set() == texts(server)
