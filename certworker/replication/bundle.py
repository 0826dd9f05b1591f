"""
The bundles. Each has a certificate in service with its key and its metadata, the removal of a name, or an
account at a CA.

An entry of the stream has the fields `kind`, `names` and `bundle`. The bundle is encrypted, and valid only
for its kind and its names (see :mod:`certworker.replication.sealing`). Its content is JSON. The portions of
comparisons and the ends of their answers have the same form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from certworker.certificates import Certificate, PrivateKey
from certworker.errors import CertworkerError
from certworker.errors.replication import BundleDamaged, BundleTooLarge
from certworker.errors.worker import SchemaTooNew
from certworker.redis.codec import MOST_NAMES, json_in
from certworker.replication.sealing import ReplicationKeys
from certworker.storage.keypair import StoredCertificate
from certworker.storage.metadata import NAME, CertificateMetadata, comparable, is_generation, token_of
from certworker.storage.replica import Copy

#: The maximum number of bytes of an entry. The entry of a certificate with a hundred names of 100 characters
#: has 40,000.
LARGEST_ENTRY = 64 * 1024

#: The kind of the bundle of an account at a CA (see :mod:`certworker.replication.accounts`).
ACCOUNT = "account"

_HIGHEST_TOKEN = 10**12 - 1

Fields = Mapping[str, bytes]


@dataclass(frozen=True)
class RemovedName:
    """
    The removal of a name: of its certificate with this token, and of all earlier ones.
    """

    name: str
    token: int


def encode(item: Copy | RemovedName, keys: ReplicationKeys) -> dict[str, bytes]:
    """
    Return the entry of *item* for the stream.

    Raises:
        BundleTooLarge: The entry has more than :data:`LARGEST_ENTRY` bytes.
    """
    content: dict[str, object]
    if isinstance(item, Copy):
        kind, names = "certificate", item.metadata.names
        content = {
            "generation": item.identifier,
            "fullchain": item.certificate.fullchain_pem.decode("ascii"),
            "key": item.certificate.key.pem.decode("ascii"),
            "metadata": item.metadata.as_json().decode(),
            "serving": item.serving,
        }
    else:
        kind, names, content = "removal", (item.name,), {"token": item.token}
    return sealed_entry(kind, names, json.dumps(content).encode(), keys)


def sealed_entry(
    kind: str, names: tuple[str, ...], content: bytes, keys: ReplicationKeys
) -> dict[str, bytes]:
    """
    Return the entry with *content*, encrypted for *kind* and *names*.

    Raises:
        BundleTooLarge: The entry has more than :data:`LARGEST_ENTRY` bytes.
    """
    fields = {"kind": kind.encode(), "names": json.dumps(names).encode()}
    entry = {**fields, "bundle": keys.seal(content, _context(fields))}
    if (size := sum(map(len, entry.values()))) > LARGEST_ENTRY:
        raise BundleTooLarge(size=size, limit=LARGEST_ENTRY)
    return entry


def opened_entry(fields: Fields, keys: ReplicationKeys) -> tuple[str, bytes]:
    """
    Return the kind and the content of the entry *fields*, which any program may have written.

    Raises:
        ReplicationFailure: The entry is too large, or has no valid bundle for its kind and names.
    """
    if (size := sum(map(len, fields.values()))) > LARGEST_ENTRY:
        raise BundleTooLarge(size=size, limit=LARGEST_ENTRY)
    content = keys.open(fields.get("bundle", b""), _context(fields))
    return fields.get("kind", b"").decode("ascii", "replace"), content


def decode(kind: str, content: bytes, fields: Fields) -> Copy | RemovedName | None:
    """
    Return the item in the *content* of the entry *fields*; None: the entry has another kind.

    Raises:
        BundleDamaged: The entry is invalid. It changes nothing.
    """
    names = _names_in(json_in(fields.get("names")))
    try:
        if kind == "certificate":
            return _copy(json.loads(content), names)
        return _removal(json.loads(content), names) if kind == "removal" else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BundleDamaged(reason="its content is invalid") from error


def copy_of(stored: StoredCertificate, serving: tuple[str, ...]) -> Copy:
    """
    Return the copy of *stored*, a generation to which the names *serving* are linked, for other hosts.
    """
    return Copy(stored.directory.name, stored.certificate, stored.metadata, serving)


def _copy(content: Mapping[str, Any], names: tuple[str, ...] | None) -> Copy:
    identifier, metadata = content["generation"], _metadata(content["metadata"])
    if not is_generation(identifier) or token_of(identifier) != metadata.generation:
        raise BundleDamaged(reason="its generation is invalid")
    if metadata.names != names:
        raise BundleDamaged(reason="it has an invalid name")
    try:
        key = PrivateKey.from_pem(content["key"].encode("ascii"))
        certificate = Certificate.from_pem(content["fullchain"].encode("ascii"), key)
    except CertworkerError as failure:
        raise BundleDamaged(reason=failure.message.rstrip(".")) from failure
    if not set(names) <= set(comparable(certificate.names)):
        raise BundleDamaged(reason="its certificate has other names")
    # An earlier version of certworker sends no list of these names.
    serving = tuple(content.get("serving", names))
    if not set(serving) <= set(names):
        raise BundleDamaged(reason="it has an invalid name")
    return Copy(identifier, certificate, metadata, serving)


def _metadata(text: str) -> CertificateMetadata:
    try:
        return CertificateMetadata.parse(text.encode(), "a bundle of another host")
    except SchemaTooNew as failure:
        raise BundleDamaged(reason=failure.message.rstrip(".")) from failure


def _removal(content: Mapping[str, object], names: tuple[str, ...] | None) -> RemovedName:
    token = content["token"]
    if not names or len(names) != 1 or not isinstance(token, int) or not 0 <= token <= _HIGHEST_TOKEN:
        raise BundleDamaged(reason="it has an invalid name or token")
    return RemovedName(names[0], token)


def _names_in(value: object) -> tuple[str, ...] | None:
    """
    Return the names in *value*, including those with an underscore; None: it is not a valid list of names.

    Other programs may have requested certificates for names with an underscore.
    """
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_NAMES:
        return None
    valid = all(isinstance(name, str) and NAME.fullmatch(name) for name in value)
    return tuple(value) if valid else None


def _context(fields: Fields) -> bytes:
    parts = (fields.get("kind", b""), fields.get("names", b""))
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
