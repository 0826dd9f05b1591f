"""
Dynamic updates of a name server (RFC 2136) over TCP, signed if there is a TSIG key (RFC 8945).

Each call sends one update message about a single value. The server applies the whole message or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsig
from dns.message import Message
from dns.rcode import Rcode
from dns.rdtypes.ANY.TXT import TXT
from dns.update import UpdateMessage

from certworker.deadline import Deadline
from certworker.dns01.provider import DEADLINE_SECONDS, TTL_SECONDS, TxtRecord
from certworker.errors.dns01 import (
    ChangeForbidden,
    ClocksDiffer,
    CredentialsRejected,
    ProviderFailed,
    UpdateRefused,
    ZoneMissing,
)

#: The variables to correct if the server rejects the signature.
ALGORITHM = "RFC2136_TSIG_ALGORITHM"
VARIABLES = f"RFC2136_TSIG_KEY, RFC2136_TSIG_SECRET, and {ALGORITHM}"

#: The response codes of a server that does not have the zone, and their meanings for messages.
NO_ZONE: Mapping[Rcode, str] = {
    Rcode.NOTAUTH: "it is not authoritative for the zone (NOTAUTH)",
    Rcode.NOTZONE: "the record is outside the zone (NOTZONE)",
}

FAILED: Mapping[Rcode, str] = {
    Rcode.NOTIMP: "it does not support dynamic updates (NOTIMP)",
    Rcode.FORMERR: "it does not understand the update (FORMERR)",
}


@dataclass(frozen=True)
class TsigKey:
    """
    The key that signs updates.
    """

    name: str
    #: In base64.
    secret: str = field(repr=False)
    #: The name of the algorithm in RFC 8945.
    algorithm: str = "hmac-sha256"


@dataclass(frozen=True)
class Rfc2136:
    """
    A name server that accepts updates. It may be a hidden primary.
    """

    host: str
    port: int = 53
    #: None if the server authorizes updates by the address of the client.
    key: TsigKey | None = None
    #: The time limit of one update, including its response.
    deadline_seconds: float = DEADLINE_SECONDS
    label: str = field(default="rfc2136", init=False)

    def present(self, record: TxtRecord) -> None:
        """
        Add only this value. The server ignores a duplicate (RFC 2136, section 2.5.1).
        """
        self._send(record, add=True)

    def withdraw(self, record: TxtRecord) -> None:
        """
        Delete only this value (RFC 2136, section 2.5.4).
        """
        self._send(record, add=False)

    @property
    def _shown(self) -> str:
        return f"{self.label} ({self.host}, port {self.port})"

    def _send(self, record: TxtRecord, *, add: bool) -> None:
        update = self._update(record, add=add)
        wire = update.to_wire()
        deadline = Deadline(self.deadline_seconds)
        try:
            with deadline.connect_to(self.host, self.port) as connection:
                # The length precedes each message (RFC 1035, section 4.2.2).
                connection.sendall(len(wire).to_bytes(2, "big") + wire)
                with connection.makefile("rb") as answer:
                    content = answer.read(int.from_bytes(answer.read(2), "big"))
        except OSError as error:
            self._fail(record, error.strerror or str(error))
        reply = self._reply(record, update, content)
        self._check_reply(record, reply)

    def _update(self, record: TxtRecord, *, add: bool) -> UpdateMessage:
        try:
            update = UpdateMessage(record.zone)
            owner = dns.name.from_text(record.fqdn)
        except dns.exception.DNSException as error:
            self._fail(record, f"the name is invalid ({error})")
        if self.key:
            update.use_tsig(dns.tsig.Key(self.key.name, self.key.secret, self.key.algorithm))
        value = TXT(dns.rdataclass.IN, dns.rdatatype.TXT, [record.value.encode()])
        if add:
            update.add(owner, TTL_SECONDS, value)
        else:
            update.delete(owner, value)
        return update

    def _reply(self, record: TxtRecord, update: UpdateMessage, content: bytes) -> Message:
        """
        Return the answer in *content*, and verify its signature, if it has one.
        """
        try:
            reply = dns.message.from_wire(content, keyring=False)
            if reply.had_tsig and self.key:
                reply = dns.message.from_wire(content, keyring=update.keyring, request_mac=update.mac)
        except (dns.tsig.PeerBadTime, dns.tsig.BadTime):
            raise ClocksDiffer(provider=self._shown) from None
        except dns.tsig.PeerBadKey:
            self._reject("it does not know the key or its algorithm (BADKEY)")
        except dns.tsig.PeerBadSignature:
            self._reject("the secret is wrong (BADSIG)")
        except dns.tsig.PeerBadTruncation:
            self._reject("the signature of this algorithm is too short (BADTRUNC)", ALGORITHM)
        except dns.tsig.PeerError as error:
            self._fail(record, f"it rejects the signature ({error})")
        except (dns.exception.DNSException, ValueError):
            # Another program may be listening there, or the signature may be from another key.
            self._fail(record, "its answer is not a DNS message with a valid signature")
        if not update.is_response(reply):
            self._fail(record, "its answer belongs to another message")
        # An error may have no signature (RFC 8945, section 5.3.2), but a confirmation must have one.
        if self.key and reply.rcode() == Rcode.NOERROR and not reply.had_tsig:
            self._fail(record, "its answer is not signed")
        return reply

    def _check_reply(self, record: TxtRecord, reply: Message) -> None:
        code = reply.rcode()
        if code == Rcode.NOERROR:
            return
        if code == Rcode.REFUSED and self.key:
            raise UpdateRefused(
                provider=self._shown,
                fqdn=record.fqdn,
                zone=record.zone,
                reason="it answers REFUSED",
                key=self.key.name,
            )
        if code == Rcode.REFUSED:
            raise ChangeForbidden(
                provider=self._shown,
                fqdn=record.fqdn,
                zone=record.zone,
                reason="it answers REFUSED to an update without a signature",
                variables=VARIABLES,
            )
        if code in NO_ZONE:
            raise ZoneMissing(provider=self._shown, zone=record.zone, reason=NO_ZONE[code])
        self._fail(record, FAILED.get(code) or f"it answers {dns.rcode.to_text(code)}")

    def _reject(self, reason: str, variables: str = VARIABLES) -> NoReturn:
        raise CredentialsRejected(provider=self._shown, reason=reason, variables=variables)

    def _fail(self, record: TxtRecord, reason: str) -> NoReturn:
        raise ProviderFailed(provider=self._shown, fqdn=record.fqdn, reason=reason)
