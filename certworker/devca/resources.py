"""
The orders, authorizations, and certificates that the CA stores in memory (RFC 8555, section 7.1).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certworker.challenges.challenge import HTTP01
from certworker.devca.messages import Problem


def rfc3339(moment: datetime) -> str:
    """
    Return *moment*, in UTC, in the format of RFC 3339, which the protocol uses.
    """
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def new_id() -> str:
    """
    Return a random id for a resource.
    """
    return secrets.token_urlsafe(12)


def identifier(name: str) -> dict[str, str]:
    """
    Return *name* as an identifier object: `dns`, or `ip` (RFC 8738).
    """
    try:
        ip_address(name)
    except ValueError:
        return {"type": "dns", "value": name}
    return {"type": "ip", "value": name}


@dataclass
class Authorization:
    """
    The authorization of one account for one name, with a challenge of each type that the CA offers for it.

    The challenges share a token. The result of the first challenge that the client responds to is final.
    """

    account: str
    name: str
    expires: datetime
    id: str = field(default_factory=new_id)
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    challenge_types: tuple[str, ...] = (HTTP01,)
    #: The type of the challenge that the client responded to; empty: none yet.
    response_type: str = ""
    #: pending, processing, valid, invalid or deactivated.
    state: str = "pending"
    validated: datetime | None = None
    problem: Problem | None = None

    def status(self, now: datetime) -> str:
        """
        Return the status of the authorization at *now*.
        """
        if self.state in ("pending", "processing"):
            return "pending" if now < self.expires else "invalid"
        return self.state if self.state != "valid" or now < self.expires else "expired"

    def challenge_json(self, challenge_type: str, url: str) -> dict[str, Any]:
        """
        Return the challenge object of *challenge_type*, which is at *url*.
        """
        content: dict[str, Any] = {"type": challenge_type, "url": url, "token": self.token}
        content["status"] = "invalid" if self.state == "deactivated" else self.state
        if self.response_type not in ("", challenge_type):
            return content | {"status": "pending"}
        if self.validated:
            content["validated"] = rfc3339(self.validated)
        if self.problem:
            content["error"] = self.problem.as_json()
        return content


@dataclass(frozen=True)
class Issued:
    """
    A certificate that the CA has issued.
    """

    account: str
    names: tuple[str, ...]
    leaf: x509.Certificate = field(repr=False)
    #: The certificate and the intermediate, as the client downloads them.
    chain_pem: bytes = field(repr=False)

    @property
    def serial(self) -> int:
        """
        Return the serial number of the certificate.
        """
        return self.leaf.serial_number

    @property
    def leaf_pem(self) -> bytes:
        """
        Return the certificate without its chain.
        """
        return self.leaf.public_bytes(Encoding.PEM)


@dataclass
class Order:
    """
    An order for a certificate.
    """

    account: str
    authorizations: tuple[Authorization, ...]
    expires: datetime
    profile: str
    #: The certificate that the order replaces, as the client named it (RFC 9773, section 5).
    replaces: str | None = None
    id: str = field(default_factory=new_id)
    issued: Issued | None = None
    problem: Problem | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """
        Return the names of the order.
        """
        return tuple(authorization.name for authorization in self.authorizations)

    def status(self, now: datetime) -> str:
        """
        Return the status of the order at *now* (RFC 8555, section 7.1.6).
        """
        if self.problem:
            return "invalid"
        if self.issued:
            return "valid"
        statuses = {authorization.status(now) for authorization in self.authorizations}
        if now >= self.expires or statuses - {"pending", "valid"}:
            return "invalid"
        return "ready" if statuses == {"valid"} else "pending"


@dataclass
class Memory:
    """
    The state of the CA without the accounts. It is lost when the process ends.
    """

    orders: dict[str, Order] = field(default_factory=dict)
    authorizations: dict[str, Authorization] = field(default_factory=dict)
    #: The latest authorization of each account for each name.
    latest: dict[tuple[str, str], Authorization] = field(default_factory=dict)
    #: The certificates by serial number.
    issued: dict[int, Issued] = field(default_factory=dict)
    revoked: set[int] = field(default_factory=set)
    #: Certificates of the intermediate (PEM) that other roots have signed, one for each alternate chain.
    cross_signed: list[bytes] = field(default_factory=list)
    #: The latest order that replaces a certificate, by the serial number of the certificate.
    replaced: dict[int, Order] = field(default_factory=dict)

    def authorized(self, account: str, names: tuple[str, ...], now: datetime) -> bool:
        """
        Return whether *account* has valid authorizations for all of *names*.
        """
        latest = (self.latest.get((account, name)) for name in names)
        return all(found is not None and found.status(now) == "valid" for found in latest)
