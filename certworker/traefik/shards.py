"""
Shards: files of Traefik's file provider with the certificates of many names each.

A file costs Traefik as much time as the certificate in it, so shards halve the time of a reload. The names of
a shard are those whose hash begins with the bits in its file name. A shard that becomes too large is replaced
by two, whose file names have one more bit.

The entry of a name is the content of its file, with a comment instead of the first two lines::

    tls:
      certificates:
      # example.com
      - certFile: /storage/certificates/.certworker/generations/ID/fullchain.pem
        keyFile: /storage/certificates/.certworker/generations/ID/privkey.pem
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from certworker.storage import durable
from certworker.supervision import beat

#: A larger shard is split, so a shard has about 250 names.
LARGEST_SHARD = 400

#: The file name of a shard has at most this many bits, which suffice for 20 million names.
MOST_BITS = 16

EXTENSION = ".yml"
FILE_MODE = 0o644

#: The maximum size of a configuration. Other programs may put any file into the directory.
LARGEST_FILE_BYTES = 16 * 1024 * 1024

#: A requested name contains no underscore, and the file of a wildcard begins with `_.`, so no name has a file
#: like this.
_FILE = "certworker_shard_{}.yml"
_FILE_NAME = re.compile(r"certworker_shard_([01]{1,16})\.yml")

#: The first two lines of the file of a name, and of a shard.
_HEAD = b"tls:\n  certificates:\n"
_ENTRY = re.compile(rb"  # ([^\n]+)\n(  - certFile: [^\n]+\n    keyFile: [^\n]+\n)")
_ENTRIES = re.compile(rb"(?:" + _ENTRY.pattern + rb")+")
_FILE_OF_NAME = re.compile(re.escape(_HEAD) + rb"  - certFile: [^\n]+\n    keyFile: [^\n]+\n")


def bits_of(name: str) -> str:
    """
    Return the bits that decide which shard has *name*, the name of a file without its extension.
    """
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[: MOST_BITS // 8])
    return f"{digest:0{MOST_BITS}b}"


def shard_file(bits: str) -> str:
    """
    Return the file name of the shard of the names whose hash begins with *bits*.
    """
    return _FILE.format(bits)


def bits_in(file_name: str) -> str | None:
    """
    Return the bits in *file_name*; None: it is not the file name of a shard.
    """
    found = _FILE_NAME.fullmatch(file_name)
    return found[1] if found else None


def fits(content: bytes) -> bool:
    """
    Return whether *content*, the file of a name, can be the entry of a shard.

    The file of an IP address cannot: it also sets the default certificate.
    """
    return _FILE_OF_NAME.fullmatch(content) is not None


def render(entries: Mapping[str, bytes]) -> bytes:
    """
    Return the shard with *entries*, the content of each file by its name without the extension.
    """
    lines = (
        b"  # " + name.encode() + b"\n" + content.removeprefix(_HEAD)
        for name, content in sorted(entries.items())
    )
    return _HEAD + b"".join(lines)


def parse(shard: bytes) -> dict[str, bytes] | None:
    """
    Return the entries of *shard*, as for :func:`render`; None: it is empty, or another program changed it.
    """
    if not shard.startswith(_HEAD) or not _ENTRIES.fullmatch(shard, len(_HEAD)):
        return None
    try:
        return {name.decode(): _HEAD + pair for name, pair in _ENTRY.findall(shard)}
    except UnicodeDecodeError:
        return None


def entry_in(shard: bytes, name: str) -> bytes:
    """
    Return the content of the file of *name* according to *shard*; empty if *shard* has no such entry.

    This is much faster than :func:`parse`.
    """
    comment = b"\n  # " + name.encode() + b"\n"
    start = shard.find(comment)
    if start < 0:
        return b""
    found = _ENTRY.match(shard, start + 1)
    return _HEAD + found[2] if found else b""


def count_in(shard: bytes) -> int:
    """
    Return the number of entries of *shard*.
    """
    return shard.count(b"\n  # ")


def shards_in(file_names: Iterable[str]) -> set[str]:
    """
    Return the bits of each shard among *file_names*.
    """
    return {bits for file_name in file_names if (bits := bits_in(file_name)) is not None}


def content_of(file: Path) -> bytes:
    """
    Return the content of *file*; empty if it is missing or cannot be a configuration.

    Raises:
        VolumeReadOnly, VolumeFault: The file cannot be read.
    """
    beat()  # reading all files takes long, and each file is progress
    with durable.translate_os_errors(file):
        try:
            return durable.read(file, LARGEST_FILE_BYTES)
        except (FileNotFoundError, IsADirectoryError, durable.UnsuitableFile):
            return b""
