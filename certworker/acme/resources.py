"""
What a CA answers with, as values: directory, order, authorization (RFC 8555, section 7.1).

Only what certworker uses is read, and each value is read from one answer; whatever does not look like
ACME there is the failure `ca.not_json`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from certworker.acme.transport import Reply
from certworker.challenges.challenge import TOKEN
from certworker.errors import CertworkerError

logger = logging.getLogger(__name__)

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

    @property
    def urls(self) -> set[str]:
        """
        The URLs that requests go to.
        """
        urls = (
            self.new_nonce,
            self.new_account,
            self.new_order,
            self.revoke,
            self.change_key,
            self.renewal_info,
        )
        return set(filter(None, urls))

    @staticmethod
    def is_one(reply: Reply) -> bool:
        """
        Return whether *reply* has the members of a directory, whatever they are.
        """
        try:
            return {"newNonce", "newAccount", "newOrder"} <= reply.document.keys()
        except CertworkerError:
            return False

    @classmethod
    def read(cls, reply: Reply) -> Directory:
        """
        Return the directory in *reply*.

        A member that a CA may leave out counts as left out if it is strange.

        Raises:
            NotAcme: One of the three URLs that each order needs is missing, or none that this CA may name.
        """
        document = reply.document
        meta = _optional(document, "meta", dict) or {}
        return cls(
            new_nonce=reply.url_of(document.get("newNonce"), "newNonce"),
            new_account=reply.url_of(document.get("newAccount"), "newAccount"),
            new_order=reply.url_of(document.get("newOrder"), "newOrder"),
            revoke=_url(reply, document, "revokeCert"),
            change_key=_url(reply, document, "keyChange"),
            renewal_info=_url(reply, document, "renewalInfo"),
            terms_of_service=_optional(meta, "termsOfService", str),
            external_account_required=meta.get("externalAccountRequired") is True,
            profiles={name: str(text) for name, text in (_optional(meta, "profiles", dict) or {}).items()},
            caa_identities=tuple(each.lower() for each in _texts(meta.get("caaIdentities"))),
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
        Return the order in *reply*.

        Raises:
            NotAcme: It has no status, no `finalize` URL, or is pending without authorizations.
        """
        document = reply.document
        status = _field(reply, document, "status", str)
        urls = _texts(_field(reply, document, "authorizations", list))
        authorizations = tuple(dict.fromkeys(reply.url_of(each, "an authorization") for each in urls))
        if status == "pending" and not authorizations:
            raise reply.unusable("no authorizations")
        return cls(
            status=status,
            names=tuple(_names(document.get("identifiers"))),
            expires=_moment(document.get("expires")),
            authorizations=authorizations,
            finalize=reply.url_of(document.get("finalize"), "finalize"),
            certificate=_url(reply, document, "certificate"),
            replaces=_optional(document, "replaces", str),
            error=document.get("error"),
        )


@dataclass(frozen=True)
class Challenge:
    """
    One way to prove control of a name, and its state (sections 7.1.5 and 8).
    """

    kind: str
    url: str
    #: pending, processing, valid or invalid; pending where the CA does not say.
    status: str
    token: str
    #: The problem document of the last failed validation; None: there is none.
    error: object
    #: The address that the CA connected to last (`validationRecord`, which Let's Encrypt and Pebble send).
    address: str | None

    @classmethod
    def read(cls, document: object, reply: Reply) -> Challenge | None:
        """
        Return the challenge in *document*, a part of *reply*; None if it has no type or no URL.
        """
        members = document if isinstance(document, dict) else {}
        kind, status, token = (members.get(name) for name in ("type", "status", "token"))
        url = _url(reply, members, "url")
        if not isinstance(kind, str) or url is None:
            return None
        return cls(
            kind=kind,
            url=url,
            status=status if isinstance(status, str) else "pending",
            token=token if isinstance(token, str) else "",
            error=members.get("error"),
            address=_address(members.get("validationRecord")),
        )


@dataclass(frozen=True)
class Authorization:
    """
    Whether the account may order certificates for a name (section 7.1.4).
    """

    name: str
    #: pending, valid, invalid, deactivated, expired or revoked.
    status: str
    #: Those that have a type and a URL.
    challenges: tuple[Challenge, ...]
    #: A problem document of its own, which some CAs add.
    error: object

    @classmethod
    def read(cls, reply: Reply) -> Authorization:
        """
        Return the authorization in *reply*.

        Raises:
            NotAcme: It has no identifier, no status or no list of challenges.
        """
        document = reply.document
        found = (Challenge.read(each, reply) for each in _field(reply, document, "challenges", list))
        return cls(
            name=_field(reply, _field(reply, document, "identifier", dict), "value", str),
            status=_field(reply, document, "status", str),
            challenges=tuple(challenge for challenge in found if challenge),
            error=document.get("error"),
        )

    @property
    def http01(self) -> Challenge | None:
        """
        Return the HTTP-01 challenge, one with a usable token if there is one; None if the CA offers none.
        """
        offered = [challenge for challenge in self.challenges if challenge.kind == "http-01"]
        usable = (challenge for challenge in offered if TOKEN.fullmatch(challenge.token))
        return next(usable, offered[0] if offered else None)

    @property
    def failed(self) -> bool:
        """
        Return whether this authorization never becomes valid: it, or its challenge, has a final state.
        """
        if self.status not in ("pending", "valid"):
            return True
        return self.status == "pending" and self.http01 is not None and self.http01.status == "invalid"


def _field(reply: Reply, document: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind:
    value = document.get(name)
    if not isinstance(value, kind):
        raise reply.unusable(f"no {name}")
    return value


def _optional(document: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind | None:
    # What a CA may leave out counts as left out where it has another type.
    value = document.get(name)
    return value if isinstance(value, kind) else None


def _url(reply: Reply, document: Mapping[str, Any], name: str) -> str | None:
    # What a CA may leave out counts as left out where it is no URL that this CA may name.
    try:
        return reply.url_of(document.get(name), name)
    except CertworkerError as failure:
        if document.get(name) is not None:
            logger.warning("%s", failure.message)
        return None


def _texts(values: object) -> list[str]:
    # One member of another type costs itself only.
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _names(identifiers: object) -> Iterator[str]:
    for identifier in identifiers if isinstance(identifiers, list) else ():
        value = identifier.get("value") if isinstance(identifier, dict) else None
        if isinstance(value, str):
            yield value.lower()


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
        # Without a zone it is none; in UTC it may be before the year 1.
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _address(records: object) -> str | None:
    # The last record is the last hop of the redirections, where the CA ended up.
    last = records[-1] if isinstance(records, list) and records else None
    address = last.get("addressUsed") if isinstance(last, dict) else None
    return address if isinstance(address, str) and address else None
