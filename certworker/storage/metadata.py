"""
One issued certificate on the volume: an immutable directory, and the facts about it.

`generations/ID` holds the four PEM files and `meta.json`. The ID begins with the fencing token under
which it was stored, so that later ones sort behind earlier ones. What is known of a certificate is
read from `meta.json`, which costs some microseconds; with 50,000 names nobody parses certificates.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certworker.errors.worker import SchemaTooNew
from certworker.storage import durable
from certworker.supervision import beat
from certworker.validity import Validity

if TYPE_CHECKING:  # the facts are read without loading cryptography
    from certworker.certificates import Certificate

#: The directories of a volume, from its root.
GENERATIONS = Path(".certworker/generations")
LIVE = Path(".certworker/live")

#: The four files that every reader knows, as certbot names them.
PEM_FILES = ("cert.pem", "chain.pem", "fullchain.pem", "privkey.pem")

META = "meta.json"
SCHEMA = 1

#: What may be a directory of the volume: a name, or an IP address. It has no dot in front, so it is neither
#: `..` nor `.certworker` nor `.well-known`.
NAME = re.compile(r"[a-z0-9_:][a-z0-9_.:-]{0,252}")

#: A hundred names of 253 characters take a tenth of this.
LARGEST_META_BYTES = 256 * 1024

_ID = re.compile(r"(\d{12})-[0-9a-f]{8}")
_HIGHEST_TOKEN = 10**12 - 1
_DATES = ("not_before", "not_after")
_TEXTS = ("serial", "issuer", "renewal_id", "authority", "kind")


@dataclass(frozen=True)
class CertificateMetadata:
    """
    What is known of a stored certificate without reading it.
    """

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    #: Hexadecimal.
    serial: str
    issuer: str
    #: What the CA's renewal information knows it by; empty if it has no such name.
    renewal_id: str
    #: The label of the authority; empty where somebody else put the files there.
    authority: str
    #: `public`, `staging`, `development` or `private`.
    kind: str
    #: The fencing token under which it was stored; 0 where somebody else put the files there.
    generation: int

    @classmethod
    def of(
        cls, certificate: Certificate, *, authority: str, kind: str, generation: int
    ) -> CertificateMetadata:
        """
        The facts about *certificate*.
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
        Return the facts about the generation in *directory*; None if it has none, or none that make sense.

        Raises:
            SchemaTooNew: A newer certworker wrote them.
        """
        beat()  # a round over all certificates takes long, and this is its progress
        try:
            told = json.loads(durable.read(directory / META, LARGEST_META_BYTES))
            if (found := _whole(told.get("schema", SCHEMA))) > SCHEMA:
                raise SchemaTooNew(where=directory / META, found=found, known=SCHEMA)
            return cls._checked(told)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
            return None

    @classmethod
    def _checked(cls, told: dict[str, Any]) -> CertificateMetadata:
        begins, ends = (_moment(told[date]) for date in _DATES)
        texts = {"renewal_id": "", **{key: told[key] for key in _TEXTS if key in told}}
        if not isinstance(told["names"], list):
            raise TypeError("the names are a list")
        names = tuple(name for name in comparable(told["names"]) if NAME.fullmatch(name))
        token = _whole(told["generation"])
        if not (names and begins < ends and 0 <= token <= _HIGHEST_TOKEN):
            raise ValueError("no certificate is like that")
        if not all(isinstance(text, str) for text in texts.values()):
            raise TypeError("these are texts")
        return cls(names=names, not_before=begins, not_after=ends, generation=token, **texts)

    @property
    def validity(self) -> Validity:
        """
        What :mod:`certworker.renewal.policy` needs to know of it.
        """
        return Validity(self.not_before, self.not_after, self.serial)

    @property
    def certificate(self) -> tuple[str, str, datetime]:
        """
        What tells the certificate from every other one: no CA gives a serial number twice, another CA may.
        """
        return self.serial, self.issuer, self.not_before

    def as_json(self) -> bytes:
        """
        The content of `meta.json`.
        """
        told = {"schema": SCHEMA, **asdict(self)} | {date: getattr(self, date).isoformat() for date in _DATES}
        return json.dumps(told, indent=2).encode() + b"\n"


def comparable(names: Iterable[str]) -> tuple[str, ...]:
    """
    Return *names* as they are compared (RFC 4343): in lower case, without a dot at the end, each once.
    """
    return tuple(dict.fromkeys(name.lower().removesuffix(".") for name in names))


def new_directory(generations: Path, token: int) -> Path:
    """
    Return where the next generation with *token* is built.
    """
    return generations / f"{token:012d}-{secrets.token_hex(4)}"


def build(directory: Path, certificate: Certificate, metadata: CertificateMetadata) -> None:
    """
    Write *certificate* as a new generation to *directory*, which :func:`new_directory` has named.

    A directory with such a name is complete, always. A certificate is public, its key is the worker's alone.
    """
    contents = (certificate.cert_pem, certificate.chain_pem, certificate.fullchain_pem, certificate.key.pem)
    files = {name: (content, _mode(name)) for name, content in zip(PEM_FILES, contents, strict=True)}
    durable.write_directory(directory, files | {META: (metadata.as_json(), _mode(META))})


def is_generation(identifier: str) -> bool:
    """
    Return whether *identifier* is the name of a complete generation; what is being written has another one.
    """
    return _ID.fullmatch(identifier) is not None


def token_of(identifier: str) -> int:
    """
    The fencing token in the *identifier* of a generation; 0 if it is none.
    """
    match = _ID.fullmatch(identifier)
    return int(match[1]) if match else 0


def _whole(number: object) -> int:
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError("this is a whole number")
    return number


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment.astimezone(UTC)


def _mode(file: str) -> int:
    return 0o600 if file == "privkey.pem" else 0o644
