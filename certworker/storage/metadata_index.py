"""
The most important metadata of all certificates in one file.

Reading the `meta.json` of 100,000 generations takes six seconds, and reading `.certworker/index` a tenth of a
second. A generation never changes, so a line of this file is valid as long as its generation exists.
The file is only a copy: without it, or for a newer generation, certworker reads `meta.json`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zlib import crc32

from certworker.errors import CertworkerError
from certworker.storage import durable
from certworker.storage.metadata import IMPORTED, CertificateMetadata
from certworker.validity import Validity

#: With fewer certificates, the file is not written.
LEAST_CERTIFICATES = 1_000
#: The file is written again when more than this share of its lines is missing or superfluous.
SHARE_OF_CHANGES = 1 / 100

#: The maximum number of lines in one write.
LINES_AT_A_TIME = 1_000

#: The maximum size of the file in bytes. A line has about 130 bytes.
LARGEST_INDEX = 512 * 1024 * 1024

_HEADER = b"certworker index 1\n"
_FOOTER = re.compile(rb"end ([0-9a-f]{8})\n")
_FOOTER_BYTES = 13

#: All lines. Each has an identifier, the Unix times of the start and the end, and four strings. With
#: possessive quantifiers, the check of 100,000 lines takes 30 ms.
_TIME = "(?:-[0-9]{11}|[0-9]{12})"
_LINES = re.compile(rf"(?:[0-9]{{12}}-[0-9a-f]{{8}} {_TIME} {_TIME} (?:[^\t\n]*+\t){{3}}[^\t\n]*+\n)*+")
#: The Unix times of the first and the last moment that Python's dates can have.
_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_799
_IDENTIFIER = slice(21)
_IMPORTED = f"\t{IMPORTED}"
#: The parts of a line with the Unix times of the start and the end of a certificate.
BEGIN, END = slice(22, 34), slice(35, 47)
_TEXTS = slice(48, None)


@dataclass(frozen=True, slots=True)
class CertificateSummary:
    """
    The metadata of one certificate, from a line of the index.
    """

    not_before: datetime
    not_after: datetime
    serial: str
    issuer: str
    authority: str
    kind: str

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


def is_imported(line: str) -> bool:
    """
    Return whether an operator imported the certificate in *line*.
    """
    return line.endswith(_IMPORTED)


def summary_in(line: str) -> CertificateSummary:
    """
    Return the metadata in *line*, a line of :meth:`MetadataIndex.lines`.
    """
    times = (min(max(int(line[part]), _EARLIEST), _LATEST) for part in (BEGIN, END))
    begin, end = (datetime.fromtimestamp(time, UTC) for time in times)
    return CertificateSummary(begin, end, *line[_TEXTS].split("\t"))


class MetadataIndex:
    """
    The index of the generations in the directory *generations* of a volume.
    """

    def __init__(self, generations: Path) -> None:
        self._generations = generations
        self.path = generations.parent / "index"

    def lines(self) -> dict[str, str]:
        """
        Return the lines of the file by identifier; empty if the file is missing or damaged.
        """
        try:
            content = durable.read(self.path, LARGEST_INDEX)
            footer = _FOOTER.fullmatch(content[-_FOOTER_BYTES:])
            body = memoryview(content)[len(_HEADER) : -_FOOTER_BYTES]
            if not (footer and content.startswith(_HEADER) and int(footer[1], 16) == crc32(body)):
                return {}
            text = str(body, "utf-8")
            if not _LINES.fullmatch(text):
                return {}
            return {line[_IDENTIFIER]: line for line in text.split("\n")[:-1]}
        except (OSError, ValueError):
            return {}

    def update(self, linked: Collection[str]) -> bool:
        """
        Write the file again if it lacks many of the *linked* identifiers, or has many others.

        Returns:
            Whether it was written.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: The file cannot be written. The old file remains.
        """
        if len(linked) < LEAST_CERTIFICATES:
            return False
        known, wanted = self.lines(), set(linked)
        if len(known.keys() ^ wanted) <= len(wanted) * SHARE_OF_CHANGES:
            return False
        durable.write(self.path, self._written(sorted(wanted), known), 0o644, self._generations)
        return True

    def _written(self, identifiers: Sequence[str], known: Mapping[str, str]) -> Iterator[bytes]:
        yield _HEADER
        checksum = 0
        for first in range(0, len(identifiers), LINES_AT_A_TIME):
            batch = identifiers[first : first + LINES_AT_A_TIME]
            lines = filter(None, (known.get(each) or self._line_of(each) for each in batch))
            piece = "".join(f"{line}\n" for line in lines).encode()
            checksum = crc32(piece, checksum)
            yield piece
        yield b"end %08x\n" % checksum

    def _line_of(self, identifier: str) -> str | None:
        metadata = None
        with suppress(CertworkerError):  # a newer version wrote it
            metadata = CertificateMetadata.read(self._generations / identifier)
        if metadata is None:
            return None
        begin, end = metadata.not_before.timestamp(), metadata.not_after.timestamp()
        texts = metadata.serial, metadata.issuer, metadata.authority, metadata.kind
        line = f"{identifier} {begin:012.0f} {end:012.0f} " + "\t".join(texts)
        # Fractions of a second, and strings with tabs or line breaks, do not fit into a line.
        if not _LINES.fullmatch(f"{line}\n"):
            return None
        found = summary_in(line)
        fits = (found.not_before, found.not_after) == (metadata.not_before, metadata.not_after)
        return line if fits else None
