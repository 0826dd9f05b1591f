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
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from certworker import durable
from certworker.errors.machine import SchemaTooNew
from certworker.renewal import Life

if TYPE_CHECKING:  # the facts are read without loading cryptography
    from certworker.certificates import Certificate

#: The directories of a volume, from its root.
GENERATIONS = Path(".certworker/generations")
LIVE = Path(".certworker/live")

#: The four files that every reader knows, as certbot names them.
PEM_FILES = ("cert.pem", "chain.pem", "fullchain.pem", "privkey.pem")

META = "meta.json"
SCHEMA = 1

_ID = re.compile(r"(\d{12})-[0-9a-f]{8}")
_DATES = ("not_before", "not_after")


@dataclass(frozen=True)
class Facts:
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
    def of(cls, certificate: Certificate, *, authority: str, kind: str, generation: int) -> Facts:
        """
        The facts about *certificate*.
        """
        return cls(
            names=certificate.names,
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
    def read(cls, directory: Path) -> Facts | None:
        """
        The facts about the generation in *directory*; None if it has none, or none that can be read.

        Raises:
            SchemaTooNew: A newer certworker wrote them.
        """
        try:
            told = json.loads((directory / META).read_bytes())
            if (found := told.get("schema", SCHEMA)) > SCHEMA:
                raise SchemaTooNew(where=directory / META, found=found, known=SCHEMA)
            told["names"] = tuple(told["names"])
            told.setdefault("renewal_id", "")
            told |= {date: datetime.fromisoformat(told[date]) for date in _DATES}
            return cls(**{field: told[field] for field in cls.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def life(self) -> Life:
        """
        What :mod:`certworker.renewal` needs to know of it.
        """
        return Life(self.not_before, self.not_after, self.serial)

    def as_json(self) -> bytes:
        """
        The content of `meta.json`.
        """
        told = {"schema": SCHEMA, **asdict(self)} | {date: getattr(self, date).isoformat() for date in _DATES}
        return json.dumps(told, indent=2).encode() + b"\n"


def build(generations: Path, certificate: Certificate, facts: Facts) -> Path:
    """
    Write *certificate* as a new generation and return its directory.

    A directory with an ID is complete, always. A certificate is public, its key is the worker's alone.
    """
    contents = (certificate.cert_pem, certificate.chain_pem, certificate.fullchain_pem, certificate.key.pem)
    files = {name: (content, _mode(name)) for name, content in zip(PEM_FILES, contents, strict=True)}
    directory = generations / f"{facts.generation:012d}-{secrets.token_hex(4)}"
    durable.write_directory(directory, files | {META: (facts.as_json(), _mode(META))})
    return directory


def token_of(identifier: str) -> int:
    """
    The fencing token in the *identifier* of a generation; 0 if it is none.
    """
    match = _ID.fullmatch(identifier)
    return int(match[1]) if match else 0


def _mode(file: str) -> int:
    return 0o600 if file == "privkey.pem" else 0o644
