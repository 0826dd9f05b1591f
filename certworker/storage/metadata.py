"""
One certificate on the volume: an immutable directory with its metadata.

`generations/ID` holds the four PEM files and `meta.json`. The ID begins with the fencing token of the lease,
so generations of later leases sort after earlier ones. A check reads `meta.json` in microseconds and parses
no certificate, so checks of 50,000 names are fast.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certworker.errors.worker import SchemaTooNew
from certworker.storage import durable
from certworker.supervision import beat
from certworker.validity import Validity

if TYPE_CHECKING:  # the metadata is read without loading cryptography
    from certworker.certificates import Certificate

#: The directories of the generations and of the links to them, relative to the root of a volume.
GENERATIONS = Path(".certworker/generations")
LIVE = Path(".certworker/live")

#: The four PEM files, with the names that certbot uses.
PEM_FILES = ("cert.pem", "chain.pem", "fullchain.pem", "privkey.pem")

META = "meta.json"
SCHEMA = 1

#: The kind and the authority of a certificate that an operator imported. certworker does not renew it.
IMPORTED = "imported"

#: The names and IP addresses in metadata. No name begins with a dot, so no directory of a name is `..`,
#: `.certworker` or `.well-known`. No name begins with `_.`, as the directory of a wildcard does.
NAME = re.compile(r"(?:\*\.)?(?!_\.)[a-z0-9_:][a-z0-9_.:-]{0,252}")

#: The maximum size of `meta.json`. A hundred names of 253 characters take a tenth of it.
LARGEST_META_BYTES = 256 * 1024

_ID = re.compile(r"(\d{12})-[0-9a-f]{8}")
_HIGHEST_TOKEN = 10**12 - 1
_DATES = ("not_before", "not_after")
_TEXTS = ("serial", "issuer", "renewal_id", "authority", "kind")


@dataclass(frozen=True)
class CertificateMetadata:
    """
    The metadata of a stored certificate, as in its `meta.json`.
    """

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    #: The serial number in hexadecimal digits.
    serial: str
    issuer: str
    #: The identifier for the renewal information of the CA (RFC 9773); empty if the certificate has none.
    renewal_id: str
    #: The label of the CA, or :data:`IMPORTED`; empty for the files of another program.
    authority: str
    #: The kind of the CA: `public`, `staging`, `development` or `private`; :data:`IMPORTED`: an operator
    #: imported the certificate.
    kind: str
    #: The fencing token of the lease on the names; 0 for the files of another program.
    generation: int

    @classmethod
    def of(
        cls, certificate: Certificate, *, authority: str, kind: str, generation: int
    ) -> CertificateMetadata:
        """
        Return the metadata of *certificate*.
        """
        return cls(
            names=comparable(certificate.names),
            not_before=certificate.not_before,
            not_after=certificate.not_after,
            serial=certificate.serial,
            issuer=certificate.issuer,
            renewal_id=certificate.renewal_id,
            authority=authority,
            kind=kind,
            generation=generation,
        )

    @classmethod
    def read(cls, directory: Path) -> CertificateMetadata | None:
        """
        Return the metadata in *directory*; None if it is missing, unreadable or invalid.

        Raises:
            SchemaTooNew: A newer version of certworker wrote it.
        """
        beat()  # reading all certificates takes long, and each file is progress
        path = directory / META
        try:
            return cls.parse(durable.read(path, LARGEST_META_BYTES), path)
        except (OSError, ValueError):
            return None

    @classmethod
    def parse(cls, content: bytes, where: object) -> CertificateMetadata:
        """
        Return the metadata in *content*, which is a `meta.json` from *where*.

        Raises:
            SchemaTooNew: A newer version of certworker wrote it.
            ValueError: It is invalid.
        """
        try:
            fields = json.loads(content)
            if (found := _integer(fields.get("schema", SCHEMA))) > SCHEMA:
                raise SchemaTooNew(where=where, found=found, known=SCHEMA)
            return cls._checked(fields)
        except (LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError("invalid metadata") from error

    @classmethod
    def _checked(cls, fields: dict[str, Any]) -> CertificateMetadata:
        begins, ends = (_time(fields[date]) for date in _DATES)
        texts = {"renewal_id": "", **{key: fields[key] for key in _TEXTS if key in fields}}
        if not isinstance(fields["names"], list):
            raise TypeError("a list of names is expected")
        names = tuple(name for name in comparable(fields["names"]) if NAME.fullmatch(name))
        token = _integer(fields["generation"])
        if not (names and begins < ends and 0 <= token <= _HIGHEST_TOKEN):
            raise ValueError("no name, or a validity or token out of range")
        if not all(isinstance(text, str) for text in texts.values()):
            raise TypeError("a string is expected")
        return cls(names=names, not_before=begins, not_after=ends, generation=token, **texts)

    @property
    def is_imported(self) -> bool:
        """
        Return whether an operator imported the certificate.
        """
        return self.kind == IMPORTED

    @property
    def validity(self) -> Validity:
        """
        Return the validity period.
        """
        return Validity(self.not_before, self.not_after, self.serial)

    @property
    def certificate(self) -> tuple[str, str, datetime]:
        """
        Return the identity of the certificate: a serial number is unique only within one CA.
        """
        return self.serial, self.issuer, self.not_before

    def as_json(self) -> bytes:
        """
        Return the content of `meta.json`.
        """
        dates = {date: getattr(self, date).isoformat() for date in _DATES}
        return json.dumps({"schema": SCHEMA, **asdict(self), **dates}, indent=2).encode() + b"\n"


def comparable(names: Iterable[str]) -> tuple[str, ...]:
    """
    Return *names* in the form for comparisons (RFC 4343): in lower case, without a final dot, each once.
    """
    return tuple(dict.fromkeys(name.lower().removesuffix(".") for name in names))


def new_directory(generations: Path, token: int) -> Path:
    """
    Return a path for the next generation with *token*.
    """
    return generations / f"{token:012d}-{secrets.token_hex(4)}"


def build(
    directory: Path, certificate: Certificate, metadata: CertificateMetadata, *, also: Sequence[Path] = ()
) -> None:
    """
    Write *certificate* as a new generation to *directory*, whose name is the ID of the generation.

    The directory appears only with all its files. Apart from root, only the user of the worker can read the
    key.

    Args:
        also: Other directories to sync; see :func:`certworker.storage.durable.write_directory`.
    """
    contents = (certificate.cert_pem, certificate.chain_pem, certificate.fullchain_pem, certificate.key.pem)
    files = {name: (content, _mode(name)) for name, content in zip(PEM_FILES, contents, strict=True)}
    durable.write_directory(directory, files | {META: (metadata.as_json(), _mode(META))}, also=also)


def known_generations(
    generations: Path, identifiers: Iterable[str]
) -> Iterator[tuple[Path, CertificateMetadata | None]]:
    """
    Yield the directory and the metadata of each of *identifiers*, except those of a newer certworker.

    The metadata is None if it is missing, unreadable or invalid.
    """
    for identifier in identifiers:
        directory = generations / identifier
        try:
            metadata = CertificateMetadata.read(directory)
        except SchemaTooNew:
            continue  # the newer version handles it
        yield directory, metadata


def is_generation(identifier: str) -> bool:
    """
    Return whether *identifier* is the name of a generation, not of a temporary directory.
    """
    return _ID.fullmatch(identifier) is not None


def token_of(identifier: str) -> int:
    """
    Return the fencing token in the *identifier* of a generation; 0 if it is invalid.
    """
    match = _ID.fullmatch(identifier)
    return int(match[1]) if match else 0


def no_generation(token: int) -> str:
    """
    Return an identifier with *token* that no generation has.
    """
    return f"{token:012d}-{0:08x}"


def _integer(number: object) -> int:
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError("a whole number is expected")
    return number


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without a time zone")
    return time.astimezone(UTC)


def _mode(file: str) -> int:
    return 0o600 if file == "privkey.pem" else 0o644
