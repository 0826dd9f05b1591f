"""
The content of the file of a name, and of the files of other programs.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import yaml

from certworker import text_yaml
from certworker.domains import file_name, name_of_file
from certworker.storage.metadata import GENERATIONS, token_of
from certworker.traefik.shards import EXTENSION, bits_in, content_of, parse

#: A file name has at most 255 bytes, a domain name 253, and the extension four.
_LONGEST_STEM = 251

#: The errors of a file that another program wrote. PyYAML raises ValueError for an impossible date.
_UNREADABLE = (
    yaml.YAMLError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
)

#: The C dumper writes the same YAML ten times as fast. It exists if PyYAML was built with libyaml.
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

#: The damage of a file: it is missing, Traefik cannot read it, it names another certificate, or it names the
#: right one and was changed.
Damage = Literal["missing", "unreadable", "elsewhere", "changed"]

#: The form of the files that certworker writes; the file of an IP address also has the default certificate.
#: Matching 50,000 files is much faster than parsing them.
_OWN = re.compile(
    rb"tls:\n  certificates:\n  - certFile: ([\w/.-]+)\n    keyFile: ([\w/.-]+)\n"
    rb"(?:  stores:\n    default:\n      defaultCertificate:\n        certFile: \1\n        keyFile: \2\n)?"
)

#: A path that YAML represents without quotes.
_PLAIN = re.compile(r"/[\w/.-]+", re.ASCII)

_GENERATION = re.compile(rb"/" + re.escape(bytes(GENERATIONS)) + rb"/([0-9a-f-]+)/")


def file_name_of(name: str) -> str:
    """
    Return the name of the file of *name*.
    """
    stem = file_name(name)
    if len(name) > _LONGEST_STEM:
        stem = f"{stem[:180]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return f"{stem}{EXTENSION}"


def _entries_in(file: Path) -> dict[str, bytes]:
    """
    Return the content of the file of each name in *file*, by the name of that file without its extension.
    """
    content = content_of(file)
    return {file.stem: content} if bits_in(file.name) is None else parse(content) or {}


def damage_of(found: bytes, content: bytes) -> Damage:
    """
    Return the damage of a file that contains *found* instead of *content*.
    """
    if not found:
        return "missing"
    if reason_to_fail(Path("name.yml"), found):
        return "unreadable"
    return "changed" if _directory_in(found) == _directory_in(content) else "elsewhere"


def is_outdated(content: bytes, found: bytes) -> bool:
    """
    Return whether the generation of *content* is missing, or older than an existing one of *found*.
    """
    own = _directory_in(content)
    if own is None or not own.is_dir():
        return True
    # After the restoration of a volume, *found* may name a generation that is missing, which does not count.
    return any(
        token_of(identifier) > token_of(own.name) and (own.parent / identifier).is_dir()
        for identifier in generations_in(found)
    )


def pair_in(content: bytes) -> tuple[Path, Path] | None:
    """
    Return the paths of the chain and the key that *content* names first; None: it names none.
    """
    try:
        pair = _yaml(content)["tls"]["certificates"][0]
        return Path(pair["certFile"]), Path(pair["keyFile"])
    except _UNREADABLE:
        return None


def missing_in(file: Path) -> list[str]:
    """
    Return the names in *file*, a file of certworker, whose certificate is missing.
    """
    return [
        name_of_file(stem)
        for stem, content in _entries_in(file).items()
        if (named := _OWN.fullmatch(content)) and not Path(named[1].decode()).exists()
    ]


def _directory_in(content: bytes) -> Path | None:
    if found := _OWN.match(content):
        return Path(os.fsdecode(found[1])).parent
    try:
        return Path(_yaml(content)["tls"]["certificates"][0]["certFile"]).parent
    except _UNREADABLE:
        return None


def configuration(directory: Path, *, address: bool) -> bytes:
    """
    Return the content of the file of a name whose generation is in *directory*.

    Args:
        address: Whether the name is an IP address.

    Raises:
        ValueError: The path contains a Go template, which Traefik would render.
    """
    if not address and _PLAIN.fullmatch(str(directory)):
        # This is the output of the dumper, made a hundred times as fast.
        return (
            f"tls:\n  certificates:\n  - certFile: {directory}/fullchain.pem\n"
            f"    keyFile: {directory}/privkey.pem\n"
        ).encode()
    files = {"certFile": str(directory / "fullchain.pem"), "keyFile": str(directory / "privkey.pem")}
    tls: dict[str, object] = {"certificates": [files]}
    if address:
        # A client that connects to an IP address sends no SNI (RFC 6066, section 3). Traefik then selects the
        # certificate by its own address, which differs in a container. Among the default certificates of all
        # files, Traefik uses the first one.
        tls["stores"] = {"default": {"defaultCertificate": dict(files)}}
    content: str = yaml.dump({"tls": tls}, Dumper=_Dumper)
    if "{{" in content:
        # Traefik renders its files as Go templates before it parses them.
        raise ValueError(f"Traefik would take {directory} for a template")
    return content.encode()


def reason_to_fail(file: Path, content: bytes) -> str | None:
    """
    Return why Traefik cannot read *content* of *file*; None: it can, or only Traefik can render it.
    """
    is_shard = bits_in(file.name) is not None and parse(content) is not None
    if b"{{" in content or _OWN.fullmatch(content) or is_shard:
        return None
    try:
        text = content.decode()
        loaded = tomllib.loads(text) if file.suffix == ".toml" else _yaml(text)
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except _UNREADABLE as error:
        return " ".join(str(error).split())
    return None if loaded is None or isinstance(loaded, dict) else "its top level is not a mapping"


def _yaml(text: str | bytes) -> Any:
    return text_yaml.load(text)


def generations_in(content: bytes) -> list[str]:
    """
    Return the identifiers of the generations that *content* names.
    """
    return [identifier.decode() for identifier in _GENERATION.findall(content)]
