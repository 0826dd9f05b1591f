"""
A name server for one zone on the loopback interface. It accepts signed updates (RFC 2136, RFC 8945).

The demo and the tests use it for DNS-01. It supports only what certworker and the development CA need.
"""

from __future__ import annotations

import base64
import secrets
import socketserver
import struct
import threading
from collections import defaultdict
from types import TracebackType
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.tsigkeyring
import dns.update
from dns.message import Message, QueryMessage
from dns.name import Name
from dns.rdtypes.ANY.TSIG import TSIG

HOST = "127.0.0.1"
KEY_NAME = "certworker-demo"
TTL_SECONDS = 60

#: SOA timers (RFC 1035, section 3.3.13): refresh, retry, expire and minimum, in seconds.
TIMERS = "60 60 3600 1"

#: The seconds after which the server closes an idle connection, which occupies a thread.
IDLE_SECONDS = 10


class DevelopmentNameServer:
    """
    Serves *zone* until the end of the `with` block. All names in the zone resolve to this machine.

    Args:
        zone: The name of the zone.

    Attributes:
        secret: The secret of the key :data:`KEY_NAME`, in base64.
    """

    def __init__(self, zone: str) -> None:
        self.zone = dns.name.from_text(zone)
        self.secret = base64.b64encode(secrets.token_bytes(32)).decode()
        self._keyring = dns.tsigkeyring.from_text({KEY_NAME: self.secret})
        self._serial = 1
        self._texts: defaultdict[Name, set[str]] = defaultdict(set)
        self._lock = threading.Lock()
        self._tcp = _Tcp((HOST, 0), _TcpHandler)
        self._udp = _Udp(self.address, _UdpHandler)
        self._servers: tuple[_Tcp | _Udp, ...] = (self._tcp, self._udp)

    @property
    def address(self) -> tuple[str, int]:
        """
        Return the address and the port.
        """
        return HOST, int(self._tcp.server_address[1])

    @property
    def records(self) -> dict[str, set[str]]:
        """
        Return the TXT records by name, without final dots.
        """
        with self._lock:
            return {
                name.to_text(omit_final_dot=True): set(texts) for name, texts in self._texts.items() if texts
            }

    def __enter__(self) -> Self:
        for server in self._servers:
            server.name_server = self
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def reply(self, wire: bytes) -> bytes | None:
        """
        Return the reply to the message *wire*; None if it is invalid, or itself a reply.
        """
        try:
            message = dns.message.from_wire(wire, keyring=self._keyring)
        except dns.message.UnknownTSIGKey:
            return _refusal(wire, dns.rcode.BADKEY)
        except (dns.tsig.BadSignature, dns.tsig.BadTime):
            return _refusal(wire, dns.rcode.BADSIG)
        except (dns.exception.DNSException, ValueError):
            return None
        if message.flags & dns.flags.QR:
            return None
        reply = dns.message.make_response(message)
        if isinstance(message, dns.update.UpdateMessage):
            reply.set_rcode(self._update(message))
        elif isinstance(message, QueryMessage) and message.opcode() == dns.opcode.QUERY and message.question:
            self._answer(message, reply)
        else:
            reply.set_rcode(dns.rcode.NOTIMP)
        return reply.to_wire()

    def _update(self, message: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        if not message.had_tsig:
            return dns.rcode.REFUSED
        if not message.zone or message.zone[0].name != self.zone:
            return dns.rcode.NOTZONE
        # Each record is checked before the first change (RFC 2136, section 3.4).
        for records in message.update:
            if not records.name.is_subdomain(self.zone):
                return dns.rcode.NOTZONE
            if records.rdtype != dns.rdatatype.TXT:
                return dns.rcode.REFUSED
        with self._lock:
            for records in message.update:
                texts = {
                    b"".join(getattr(each, "strings", ())).decode("ascii", "replace") for each in records
                }
                if records.deleting is None:
                    self._texts[records.name] |= texts
                elif records.deleting == dns.rdataclass.NONE:
                    self._texts[records.name] -= texts
                else:
                    self._texts[records.name].clear()
            self._serial += 1
        return dns.rcode.NOERROR

    def _answer(self, message: QueryMessage, reply: Message) -> None:
        question = message.question[0]
        if not question.name.is_subdomain(self.zone):
            reply.set_rcode(dns.rcode.REFUSED)
            return
        reply.flags |= dns.flags.AA
        values = self._values(question.name, question.rdtype)
        if values:
            kind = dns.rdatatype.to_text(question.rdtype)
            reply.answer.append(dns.rrset.from_text(question.name, TTL_SECONDS, "IN", kind, *values))
        else:
            reply.authority.append(dns.rrset.from_text(self.zone, TTL_SECONDS, "IN", "SOA", self._soa()))

    def _values(self, name: Name, kind: dns.rdatatype.RdataType) -> list[str]:
        if kind == dns.rdatatype.TXT:
            with self._lock:
                return [f'"{text}"' for text in sorted(self._texts.get(name, ()))]
        if kind == dns.rdatatype.A:
            return [HOST]
        if name != self.zone:
            return []
        return {dns.rdatatype.SOA: [self._soa()], dns.rdatatype.NS: [f"ns1.{self.zone}"]}.get(kind, [])

    def _soa(self) -> str:
        return f"ns1.{self.zone} hostmaster.{self.zone} {self._serial} {TIMERS}"


def _refusal(wire: bytes, error: dns.rcode.Rcode) -> bytes | None:
    """
    Return NOTAUTH for a message with an unknown key or a wrong signature; None if the message is invalid.

    The TSIG record of the reply has *error* (RFC 8945, section 5.2).
    """
    try:
        message = dns.message.from_wire(wire, keyring=False)
    except (dns.exception.DNSException, ValueError):
        return None
    refusal = Message(message.id)
    refusal.flags = dns.flags.QR | (message.flags & dns.flags.RD)
    refusal.set_opcode(message.opcode())
    refusal.set_rcode(dns.rcode.NOTAUTH)
    if message.tsig:
        (given,) = message.tsig
        # dnspython has no types here.
        tsig = TSIG(  # type: ignore[no-untyped-call]
            *(dns.rdataclass.ANY, dns.rdatatype.TSIG, given.algorithm, given.time_signed, given.fudge),
            *(b"", message.id, error, b""),
        )
        refusal.additional.append(dns.rrset.from_rdata(message.tsig.name, 0, tsig))
    return refusal.to_wire()


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    name_server: DevelopmentNameServer


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True
    name_server: DevelopmentNameServer


class _UdpHandler(socketserver.BaseRequestHandler):
    server: _Udp

    def handle(self) -> None:
        wire, connection = self.request
        if reply := self.server.name_server.reply(wire):
            connection.sendto(reply, self.client_address)


class _TcpHandler(socketserver.StreamRequestHandler):
    server: _Tcp
    timeout = IDLE_SECONDS

    def handle(self) -> None:
        try:
            # The length precedes each message (RFC 1035, section 4.2.2).
            while length := self.rfile.read(2):
                reply = self.server.name_server.reply(self.rfile.read(struct.unpack("!H", length)[0]))
                if reply is None:
                    return
                self.wfile.write(struct.pack("!H", len(reply)) + reply)
        except (OSError, struct.error):
            return  # The client has closed the connection, or was idle for too long.
