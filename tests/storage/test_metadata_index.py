"""
Tests of the index of the metadata of all certificates.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

import pytest

from certworker.storage import metadata_index
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import IMPORTED, META, CertificateMetadata
from certworker.storage.metadata_index import MetadataIndex, is_imported, summary_in
from tests.storage.authority import Signer
from tests.storage.stored import NAME, store

METADATA = CertificateMetadata(
    names=("shop.example.org",),
    not_before=datetime(2026, 11, 1, tzinfo=UTC),
    not_after=datetime(2027, 1, 30, tzinfo=UTC),
    serial="a1",
    issuer="Größte CA",
    renewal_id="",
    authority="production",
    kind="public",
    generation=7,
)
IDENTIFIER = "000000000007-{:08x}"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MetadataIndex:
    """
    Return an empty index, which is written for the first certificate.
    """
    monkeypatch.setattr(metadata_index, "LEAST_CERTIFICATES", 1)
    (tmp_path / "generations").mkdir()
    return MetadataIndex(tmp_path / "generations")


def add(index: MetadataIndex, number: int, metadata: CertificateMetadata = METADATA) -> str:
    """
    Write *metadata* as the generation *number*; return its identifier.
    """
    identifier = IDENTIFIER.format(number)
    directory = index.path.with_name("generations") / identifier
    directory.mkdir(exist_ok=True)
    (directory / META).write_bytes(metadata.as_json())
    return identifier


class TestLines:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"kind": IMPORTED, "authority": IMPORTED},
            {"authority": "", "issuer": ""},
            {"not_before": datetime(1950, 1, 1, tzinfo=UTC), "not_after": datetime(9999, 12, 31, tzinfo=UTC)},
        ],
    )
    def test_a_line_has_the_fields_of_its_certificate(
        self, index: MetadataIndex, changes: dict[str, object]
    ) -> None:
        """
        The summary in a line equals the metadata, and its times are at fixed positions.
        """
        metadata = replace(METADATA, **changes)  # type: ignore[arg-type] # a parameter
        identifier = add(index, 1, metadata)
        index.update([identifier])
        line = index.lines()[identifier]
        summary = summary_in(line)

        fields = ("not_before", "not_after", "serial", "issuer", "authority", "kind", "validity")
        assert [getattr(metadata, field) for field in fields] == [getattr(summary, field) for field in fields]
        assert metadata.is_imported == summary.is_imported == is_imported(line)
        assert metadata.not_before.timestamp() == int(line[metadata_index.BEGIN])
        assert metadata.not_after.timestamp() == int(line[metadata_index.END])

    @pytest.mark.parametrize(
        "metadata",
        [
            replace(METADATA, issuer="two\nlines"),
            replace(METADATA, issuer="a\ttab"),
            replace(METADATA, not_before=METADATA.not_before + timedelta(microseconds=1)),
        ],
    )
    def test_what_no_line_can_have_is_left_out(
        self, index: MetadataIndex, metadata: CertificateMetadata
    ) -> None:
        """
        Metadata that does not fit into a line, and missing metadata, do not affect the other lines.
        """
        linked = [add(index, 1, metadata), add(index, 2), IDENTIFIER.format(3)]
        index.update(linked)

        assert [linked[1]] == list(index.lines())

    def test_a_damaged_file_has_no_lines(self, index: MetadataIndex) -> None:
        """
        A file that is truncated, changed, of another version or missing counts as empty.
        """
        index.update([add(index, number) for number in range(3)])
        content = index.path.read_bytes()
        for damaged in (
            b"",
            content[:-1],
            content[:100] + content[-13:],
            content.replace(b"a1", b"a2", 1),
            content.replace(b"index 1", b"index 2"),
        ):
            index.path.write_bytes(damaged)
            assert {} == index.lines()
        index.path.unlink()
        assert {} == index.lines()

    @pytest.mark.parametrize(
        "line",
        [
            *(
                "",
                "x",
                f"{IDENTIFIER.format(2)} soon",
                f"{IDENTIFIER.format(2)} {'9' * 12} {'9' * 11}x a\tb\tc\td",
            ),
            *(f"{IDENTIFIER.format(2)} {'0' * 12} {'0' * 12} a\tb\tc", "0" * 12 + "-" + "g" * 8),
        ],
    )
    def test_a_forged_line_makes_the_file_invalid(self, index: MetadataIndex, line: str) -> None:
        """
        A program that can compute the checksum cannot make a reader fail.
        """
        index.update([add(index, 1)])
        forge(index, index.lines()[IDENTIFIER.format(1)], line)

        assert {} == index.lines()

    @pytest.mark.parametrize("time", ["9" * 12, "-" + "9" * 11])
    def test_a_time_that_no_date_can_have_becomes_the_nearest(self, index: MetadataIndex, time: str) -> None:
        """
        The reader of a forged time gets the first or the last date.
        """
        forge(index, f"{IDENTIFIER.format(1)} {time} {time} a\tb\tc\td")

        (line,) = index.lines().values()
        assert summary_in(line).not_after.year in (1, 9999)


def forge(index: MetadataIndex, *lines: str) -> None:
    """
    Write an index with these lines and the right checksum.
    """
    body = "".join(f"{line}\n" for line in lines).encode()
    index.path.write_bytes(b"certworker index 1\n" + body + b"end %08x\n" % crc32(body))


class TestUpdate:
    def test_it_is_written_again_after_many_changes(self, index: MetadataIndex) -> None:
        """
        One of a hundred new certificates leaves the file as it is, and two of them replace it.
        """
        linked = [add(index, number) for number in range(200)]

        assert index.update(linked)
        assert not index.update(linked)
        assert not index.update([*linked[1:], add(index, 200)])
        assert index.update([*linked[2:], add(index, 200), add(index, 201)])
        assert {*linked[2:], IDENTIFIER.format(200), IDENTIFIER.format(201)} == set(index.lines())

    def test_known_lines_are_not_read_again(self, index: MetadataIndex) -> None:
        """
        An update reads only the metadata of new generations.
        """
        linked = [add(index, number) for number in range(10)]
        index.update(linked)
        for identifier in linked:
            (index.path.with_name("generations") / identifier / META).unlink()

        assert index.update([*linked, add(index, 10)])
        assert 11 == len(index.lines())

    def test_a_small_volume_has_no_index(self, volume: CertificateStore, signer: Signer) -> None:
        """
        With few certificates, no file is written.
        """
        store(volume, signer.certificate(NAME))
        volume.links.update_index()

        assert not volume.links.index.path.exists()
