"""
The resources of a CA as values: directory, order, authorization, challenge (RFC 8555, section 7.1).

Each value contains those members of a response that certworker uses. Reading a response that is not valid in
ACME raises the failure `ca.not_json`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from certworker.acme.transport import Reply
from certworker.challenges.challenge import TOKEN
from certworker.errors import CertworkerError

Kind = TypeVar("Kind")

#: The prefix of a wildcard. The identifier of its authorization lacks this prefix (RFC 8555, section 7.1.3).
WILDCARD = "*."


@dataclass(frozen=True)
class Directory:
    """
    The directory of a CA: its URLs and metadata (section 7.1.1).
    """

    new_nonce: str
    new_account: str
    new_order: str
    #: The URLs for revocation and key change; None if not offered.
    revoke: str | None
    change_key: str | None
    terms_of_service: str | None
    #: The URL of renewal information (RFC 9773); None if not offered.
    renewal_info: str | None
    external_account_required: bool
    #: The profiles by name, each with a description; empty if the CA has none.
    profiles: Mapping[str, str]
    #: The names of the CA in CAA records; empty if unknown.
    caa_identities: tuple[str, ...]

    @property
    def urls(self) -> set[str]:
        """
        Return the URLs that requests go to.
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
        Return whether *reply* has the required members of a directory, with any values.
        """
        try:
            return {"newNonce", "newAccount", "newOrder"} <= reply.document.keys()
        except CertworkerError:
            return False

    @classmethod
    def read(cls, reply: Reply) -> Directory:
        """
        Return the directory in *reply*.

        An optional member with an invalid value counts as missing.

        Raises:
            NotAcme: The response is not a JSON object, or one of the three required URLs is missing or not
                allowed.
        """
        document = reply.document
        meta = _optional(document, "meta", dict) or {}
        return cls(
            new_nonce=reply.url_of(document.get("newNonce"), "newNonce"),
            new_account=reply.url_of(document.get("newAccount"), "newAccount"),
            new_order=reply.url_of(document.get("newOrder"), "newOrder"),
            revoke=reply.optional_url_of(document.get("revokeCert"), "revokeCert"),
            change_key=reply.optional_url_of(document.get("keyChange"), "keyChange"),
            renewal_info=reply.optional_url_of(document.get("renewalInfo"), "renewalInfo"),
            terms_of_service=_optional(meta, "termsOfService", str),
            external_account_required=meta.get("externalAccountRequired") is True,
            profiles={name: str(text) for name, text in (_optional(meta, "profiles", dict) or {}).items()},
            caa_identities=tuple(identity.lower() for identity in _texts(meta.get("caaIdentities"))),
        )


@dataclass(frozen=True)
class OrderState:
    """
    The state of an order with the CA (section 7.1.3).
    """

    #: `pending`, `ready`, `processing`, `valid` or `invalid`.
    status: str
    #: The names of the certificate.
    names: tuple[str, ...]
    #: When the order expires; None if unknown.
    expires: datetime | None
    authorizations: tuple[str, ...]
    finalize: str
    #: The URL of the certificate; None before the issuance.
    certificate: str | None
    #: The renewal id of the certificate that the order replaces (RFC 9773, section 5); None without one.
    replaces: str | None
    error: object

    @classmethod
    def read(cls, reply: Reply) -> OrderState:
        """
        Return the order in *reply*.

        Raises:
            NotAcme: The response is not a JSON object; the status, the list of authorizations or the
                `finalize` URL is missing or invalid; or a pending order has no authorizations.
        """
        document = reply.document
        status = _field(reply, document, "status", str)
        urls = _texts(_field(reply, document, "authorizations", list))
        authorizations = tuple(dict.fromkeys(reply.url_of(url, "an authorization") for url in urls))
        if status == "pending" and not authorizations:
            raise reply.unusable("a pending order with no authorizations")
        return cls(
            status=status,
            names=tuple(_names(document.get("identifiers"))),
            expires=_time(document.get("expires")),
            authorizations=authorizations,
            finalize=reply.url_of(document.get("finalize"), "finalize"),
            certificate=reply.optional_url_of(document.get("certificate"), "certificate"),
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
    #: `pending`, `processing`, `valid` or `invalid`; `pending` if the document has no status.
    status: str
    token: str
    #: The problem document of the last failed validation, if any.
    error: object
    #: The address of the CA's last connection; None if unknown. Let's Encrypt and Pebble send it in
    #: `validationRecord`.
    address: str | None

    @classmethod
    def read(cls, document: object, reply: Reply) -> Challenge | None:
        """
        Return the challenge in *document*, a part of *reply*, or None without a valid type and URL.
        """
        members = document if isinstance(document, dict) else {}
        kind, status, token = (members.get(name) for name in ("type", "status", "token"))
        url = reply.optional_url_of(members.get("url"), "url")
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
    The authorization of the account to order certificates for a name (section 7.1.4).
    """

    #: The authorized name; a wildcard begins with `*.`.
    name: str
    #: `pending`, `valid`, `invalid`, `deactivated`, `expired` or `revoked`.
    status: str
    #: The challenges with a type and a URL.
    challenges: tuple[Challenge, ...]
    #: The problem document that some CAs add to the authorization.
    error: object

    @classmethod
    def read(cls, reply: Reply) -> Authorization:
        """
        Return the authorization in *reply*.

        Raises:
            NotAcme: The response is not a JSON object, or the identifier, the status or the list of
                challenges is missing or invalid.
        """
        document = reply.document
        found = (Challenge.read(item, reply) for item in _field(reply, document, "challenges", list))
        name = _field(reply, _field(reply, document, "identifier", dict), "value", str).lower()
        if document.get("wildcard") is True and not name.startswith(WILDCARD):
            name = WILDCARD + name
        return cls(
            name=name,
            status=_field(reply, document, "status", str),
            challenges=tuple(challenge for challenge in found if challenge),
            error=document.get("error"),
        )

    def challenge(self, kind: str) -> Challenge | None:
        """
        Return the challenge of type *kind*, preferably one with a valid token, or None.
        """
        offered = [challenge for challenge in self.challenges if challenge.kind == kind]
        usable = (challenge for challenge in offered if TOKEN.fullmatch(challenge.token))
        return next(usable, offered[0] if offered else None)

    def has_failed(self, kind: str) -> bool:
        """
        Return whether this authorization can never become valid.

        This is the case if it has failed or ended, or if its challenge of type *kind* has failed.
        """
        if self.status not in ("pending", "valid"):
            return True
        challenge = self.challenge(kind)
        return self.status == "pending" and challenge is not None and challenge.status == "invalid"


def _field(reply: Reply, document: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind:
    value = document.get(name)
    if not isinstance(value, kind):
        raise reply.unusable(f"no valid {name}")
    return value


def _optional(document: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind | None:
    # An optional member of another type counts as missing.
    value = document.get(name)
    return value if isinstance(value, kind) else None


def _texts(values: object) -> list[str]:
    # An item of another type does not affect the others.
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _names(identifiers: object) -> Iterator[str]:
    for identifier in identifiers if isinstance(identifiers, list) else ():
        value = identifier.get("value") if isinstance(identifier, dict) else None
        if isinstance(value, str):
            yield value.lower()


def _time(text: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(text))
        # A time without a zone is invalid. The conversion to UTC may exceed the range of `datetime`.
        return time.astimezone(UTC) if time.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _address(records: object) -> str | None:
    # The last record belongs to the last redirect.
    last = records[-1] if isinstance(records, list) and records else None
    address = last.get("addressUsed") if isinstance(last, dict) else None
    return address if isinstance(address, str) and address else None
