"""
What a CA answers with, as values: directory, order, authorization (RFC 8555, section 7.1).

Only what certworker uses is read, and each value is read from one answer; whatever does not look like
ACME there is the failure `ca.not_json`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from certworker.acme.transport import Reply

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Directory:
    """
    Where a CA offers what, and on which terms (section 7.1.1).
    """

    new_nonce: str
    new_account: str
    new_order: str
    #: Where a certificate is revoked, and where the key of an account is changed; None: nowhere.
    revoke: str | None
    change_key: str | None
    terms_of_service: str | None
    #: Where it suggests when to renew (RFC 9773); None: it does not.
    renewal_info: str | None
    external_account_required: bool
    #: Kinds of certificates it offers by name, each with a sentence; none: it has only one.
    profiles: Mapping[str, str]
    #: What stands for it in CAA records; none: it does not say.
    caa_identities: tuple[str, ...]

    @classmethod
    def read(cls, reply: Reply) -> Directory:
        """
        The directory in *reply*; raises NotAcme.
        """
        document = reply.document
        meta = _optional(reply, document, "meta", dict) or {}
        return cls(
            new_nonce=reply.url_of(document.get("newNonce"), "newNonce"),
            new_account=reply.url_of(document.get("newAccount"), "newAccount"),
            new_order=reply.url_of(document.get("newOrder"), "newOrder"),
            revoke=_optional(reply, document, "revokeCert", str),
            change_key=_optional(reply, document, "keyChange", str),
            renewal_info=_optional(reply, document, "renewalInfo", str),
            terms_of_service=_optional(reply, meta, "termsOfService", str),
            external_account_required=meta.get("externalAccountRequired") is True,
            profiles=_optional(reply, meta, "profiles", dict) or {},
            caa_identities=tuple(
                each.lower() for each in meta.get("caaIdentities") or () if isinstance(each, str)
            ),
        )


@dataclass(frozen=True)
class OrderState:
    """
    An order as the CA sees it at a moment (section 7.1.3).
    """

    #: pending, ready, processing, valid or invalid.
    status: str
    #: What the certificate is for.
    names: tuple[str, ...]
    #: Until when the CA keeps it; None: it does not say.
    expires: datetime | None
    authorizations: tuple[str, ...]
    finalize: str
    #: Where the certificate is, once the order is valid.
    certificate: str | None
    #: The certificate that the CA counts as replaced by it (RFC 9773, section 5).
    replaces: str | None
    error: object

    @classmethod
    def read(cls, reply: Reply) -> OrderState:
        """
        The order in *reply*; raises NotAcme.
        """
        document = reply.document
        return cls(
            status=_field(reply, document, "status", str),
            names=tuple(_names(document.get("identifiers"))),
            expires=_moment(document.get("expires")),
            authorizations=tuple(_texts(reply, document, "authorizations")),
            finalize=_field(reply, document, "finalize", str),
            certificate=_optional(reply, document, "certificate", str),
            replaces=_optional(reply, document, "replaces", str),
            error=document.get("error"),
        )


@dataclass(frozen=True)
class Challenge:
    """
    One way to prove that a domain is ours, and how it went (section 7.1.5, 8).
    """

    kind: str
    url: str
    token: str
    error: object
    #: The address that the CA spoke to last (`validationRecord`, which Let's Encrypt and Pebble send).
    address: str | None


@dataclass(frozen=True)
class Authorization:
    """
    Whether the CA counts a name as ours (section 7.1.4).
    """

    name: str
    #: pending, valid, invalid, deactivated, expired or revoked.
    status: str
    challenges: tuple[Challenge, ...]

    @classmethod
    def read(cls, reply: Reply) -> Authorization:
        """
        The authorization in *reply*; raises NotAcme.
        """
        document = reply.document
        challenges = _field(reply, document, "challenges", list)
        return cls(
            name=_field(reply, _field(reply, document, "identifier", dict), "value", str),
            status=_field(reply, document, "status", str),
            challenges=tuple(
                Challenge(
                    kind=_field(reply, challenge, "type", str),
                    url=_field(reply, challenge, "url", str),
                    token=_optional(reply, challenge, "token", str) or "",
                    error=challenge.get("error"),
                    address=_address(challenge.get("validationRecord")),
                )
                for challenge in challenges
                if isinstance(challenge, dict)
            ),
        )


def _field(reply: Reply, document: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind:
    value = document.get(name)
    if not isinstance(value, kind):
        raise reply.unusable(f"no {name}")
    return value


def _optional(reply: Reply, document: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind | None:
    return None if document.get(name) is None else _field(reply, document, name, kind)


def _texts(reply: Reply, document: Mapping[str, Any], name: str) -> list[str]:
    values = _field(reply, document, name, list)
    if not all(isinstance(value, str) for value in values):
        raise reply.unusable(f"no {name}")
    return values


def _names(identifiers: object) -> Iterator[str]:
    for identifier in identifiers if isinstance(identifiers, list) else ():
        value = identifier.get("value") if isinstance(identifier, dict) else None
        if isinstance(value, str):
            yield value.lower()


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _address(records: object) -> str | None:
    # The last record is the last hop of the redirections, where the CA ended up.
    last = records[-1] if isinstance(records, list) and records else None
    address = last.get("addressUsed") if isinstance(last, dict) else None
    return address if isinstance(address, str) and address else None
