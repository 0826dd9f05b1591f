"""
DNSSEC (RFC 4033 to 4035): a signed zone for a resolver that verifies signatures.

::

    org          DS of shop.org, signed with the key that the resolver trusts
    shop.org     its records, signed with the key of that DS
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.dnssec
import dns.dnssectypes
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from dns.message import Message
from dns.rdtypes.dnskeybase import Flag

from tests.servers.unbound import Unbound

LIFETIME = timedelta(days=14)

NSEC, RRSIG = dns.rdatatype.NSEC, dns.rdatatype.RRSIG


class SignedZone:
    """
    The zone *name* with *rows* by host and type. Each record set has its signature, and each gap its proof.

    Args:
        ended: The time since the end of the signatures. A negative value is the time until their end.
    """

    def __init__(
        self, name: str, rows: Mapping[str, Mapping[str, list[str]]], *, ended: timedelta = -LIFETIME / 2
    ) -> None:
        self.name = name
        key = ec.generate_private_key(ec.SECP256R1())
        algorithm = dns.dnssectypes.Algorithm.ECDSAP256SHA256
        self.dnskey = dns.dnssec.make_dnskey(key.public_key(), algorithm, Flag.ZONE | Flag.SEP)
        lines = [f"{name}. 60 IN SOA ns1.{name}. hostmaster.{name}. 1 3600 600 86400 60"]
        lines += [
            f"{host}. 60 IN {kind} {value}{'.' if kind in ('NS', 'CNAME') else ''}"
            for host, kinds in rows.items()
            for kind, values in kinds.items()
            for value in values
        ]
        self._zone = dns.zone.from_text("\n".join(lines), f"{name}.", relativize=False)
        end = datetime.now(UTC) - ended
        with self._zone.writer() as changes:
            dns.dnssec.sign_zone(
                self._zone, changes, [(key, self.dnskey)], inception=end - LIFETIME, expiration=end
            )

    @property
    def ds(self) -> str:
        """
        The DS record of the key in the parent zone (RFC 4034, section 5).
        """
        return dns.dnssec.make_ds(f"{self.name}.", self.dnskey, dns.dnssectypes.DSDigest.SHA256).to_text()

    def fill(self, answer: Message, name: str, kind: str, *, signatures: bool) -> None:
        """
        Add the records of *name* and *kind* to *answer*, or the proof that there are none.
        """
        owner, rdtype = dns.name.from_text(name), dns.rdatatype.from_text(kind)
        if self._add(answer.answer, owner, rdtype, signatures=signatures):
            return
        if owner not in self._zone:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        apex = dns.name.from_text(self.name)
        self._add(answer.authority, apex, dns.rdatatype.SOA, signatures=signatures)
        if signatures:
            # The zone is small, so the answer has all proofs, including the necessary ones.
            for each in self._zone:
                self._add(answer.authority, each, NSEC, signatures=True)

    def _add(
        self,
        section: list[dns.rrset.RRset],
        owner: dns.name.Name,
        kind: dns.rdatatype.RdataType,
        *,
        signatures: bool,
    ) -> bool:
        found = self._zone.get_rrset(owner, kind)
        if found is None:
            return False
        section.append(found)
        if signatures and (signature := self._zone.get_rrset(owner, RRSIG, covers=kind)):
            section.append(signature)
        return True


def validating(
    directory: Path, address: tuple[str, int], trusted: SignedZone, zones: Mapping[str, tuple[str, int]]
) -> Unbound:
    """
    Return a resolver at *address* that trusts the key of one zone, and has the server of each of *zones*.
    """
    stubs = {f"{name}.": f"{host}@{port}" for name, (host, port) in zones.items()}
    return Unbound(
        directory,
        address,
        [
            'module-config: "validator iterator"',
            f'trust-anchor: "{trusted.name}. DS {trusted.ds}"',
            # The resolver reports the reason of an invalid signature (RFC 8914).
            "ede: yes",
        ],
        stubs,
    )
