"""
DNS queries as bytes, and the check of whether a message responds to a query (RFC 1035, section 4.1).

The lookup of a name sends more than ten queries. dnspython needs a tenth of a millisecond to build each of
them, so this module writes the bytes.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from struct import Struct, pack

import dns.exception
import dns.name
from dns.rdataclass import IN
from dns.rdatatype import OPT, RdataType

#: Networks transport datagrams of this size without fragmentation (DNS flag day 2020).
MAX_DATAGRAM_BYTES = 1232

#: The id, the flags, and the numbers of records in the four sections.
_HEADER = Struct("!6H")

#: Flags of the header, and the masks of the opcode and of the response code.
RESPONSE, RECURSION_DESIRED, CHECKING_DISABLED = 0x8000, 0x0100, 0x0010
_OPCODE, _CODE = 0x7800, 0x000F

#: The errors with which a server may leave out the question: FORMERR, SERVFAIL, NOTIMP and REFUSED.
WITHOUT_QUESTION = (1, 2, 4, 5)

#: EDNS without options (RFC 6891, section 6.1.2).
_EDNS = b"\0" + pack("!HHIH", OPT, MAX_DATAGRAM_BYTES, 0, 0)


@dataclass(frozen=True)
class WireQuery:
    """
    One query.
    """

    content: bytes
    #: The name in the question, in wire format.
    name: bytes

    @classmethod
    def of(cls, name: str, kind: str, *, unchecked: bool = False, own: bool = False) -> WireQuery | None:
        """
        Return a query for the records of *name*; None if a query cannot contain the name.

        Args:
            kind: The record type.
            unchecked: Whether the resolver should skip the validation of signatures.
            own: Whether to query only the server's own records, without recursion.
        """
        try:
            wire = dns.name.from_text(name).to_wire() or b""
        except dns.exception.DNSException:
            return None
        flags = CHECKING_DISABLED if unchecked else 0
        if not own:
            flags |= RECURSION_DESIRED
        header = _HEADER.pack(secrets.randbits(16), flags, 1, 0, 0, 1)
        return cls(header + wire + pack("!HH", RdataType[kind], IN) + _EDNS, wire)

    def is_answered_by(self, message: bytes) -> bool:
        """
        Return whether *message* is a response with the id and the question of this query.

        An error of :data:`WITHOUT_QUESTION` needs only the id.

        Only the header and the question are parsed, because one message is compared with several queries.
        """
        if message[:2] != self.content[:2] or len(message) < _HEADER.size:
            return False
        _, flags, questions, *_ = _HEADER.unpack_from(message)
        if not flags & RESPONSE or flags & _OPCODE:
            return False
        if not questions:
            return flags & _CODE in WITHOUT_QUESTION
        end = _HEADER.size + len(self.name)
        # Names are case-insensitive. The type and the class follow the name.
        return (
            questions == 1
            and message[_HEADER.size : end].lower() == self.name.lower()
            and message[end : end + 4] == self.content[end : end + 4]
        )
