"""
The metadata of a certificate on the disk, and the sequence of generations.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from certworker.errors.worker import SchemaTooNew
from certworker.storage.metadata import META, SCHEMA, CertificateMetadata, build, new_directory, token_of
from tests.storage.authority import Signer
from tests.storage.stored import NAME


def built(place: Path, signer: Signer, token: int) -> Path:
    """
    Return a generation with *token*.
    """
    certificate = signer.certificate(NAME)
    metadata = CertificateMetadata.of(certificate, authority="letsencrypt", kind="public", generation=token)
    directory = new_directory(place, token)
    build(directory, certificate, metadata)
    return directory


class TestFacts:
    def test_they_come_back_as_they_went(self, tmp_path: Path, signer: Signer) -> None:
        """
        Renewals are computed from these dates.
        """
        certificate = signer.certificate(NAME, "www.example.com")
        metadata = CertificateMetadata.of(certificate, authority="letsencrypt", kind="public", generation=7)

        build(tmp_path / "generation", certificate, metadata)

        assert metadata == CertificateMetadata.read(tmp_path / "generation")

    def test_they_say_which_schema_they_have(self, tmp_path: Path, signer: Signer) -> None:
        """
        A later version may have added fields that this one does not know.
        """
        directory = built(tmp_path, signer, 7)
        metadata = CertificateMetadata.read(directory)
        fields = json.loads((directory / "meta.json").read_bytes())
        (directory / "meta.json").write_text(json.dumps(fields | {"something": "new"}))

        assert fields["schema"] == 1
        assert metadata == CertificateMetadata.read(directory)

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "{",
            "[]",
            "null",
            "{}",
            '{"names": 1}',
            '{"names": ["a"], "not_before": 1}',
            "[" * 100_000,
            '{"schema": "2"}',
            '{"schema": ' + "9" * 5_000 + "}",
            " " * 300_000,
        ],
        ids=range(11),
    )
    def test_damaged_ones_are_none(self, tmp_path: Path, signer: Signer, content: str) -> None:
        """
        Lost metadata is read from the certificate again.
        """
        directory = built(tmp_path, signer, 7)
        (directory / "meta.json").write_text(content)

        assert CertificateMetadata.read(directory) is None

    @pytest.mark.parametrize(
        "change",
        [
            {"names": []},
            {"names": "shop"},
            {"names": [7]},
            {"names": ["../../etc/passwd"]},
            {"names": {"a": 1}},
            {"not_after": "2026-11-23T00:00:00"},
            {"not_after": "0001-01-01T00:00:00+23:59"},
            {"not_after": "1970-01-01T00:00:00+00:00"},
            {"not_after": None},
            {"generation": "7"},
            {"generation": True},
            {"generation": -1},
            {"generation": 10**12},
            {"generation": 1e300},
            {"serial": 5},
            {"issuer": ["a"]},
            {"authority": None},
            {"kind": {}},
        ],
        ids=str,
    )
    def test_those_that_no_certificate_has_are_none(
        self, tmp_path: Path, signer: Signer, change: dict[str, object]
    ) -> None:
        """
        Metadata that was read has valid types, dates and names.
        """
        directory = built(tmp_path, signer, 7)
        fields = json.loads((directory / META).read_bytes())
        (directory / META).write_text(json.dumps(fields | change))

        assert CertificateMetadata.read(directory) is None

    def test_names_are_compared_without_case_and_without_a_dot_at_the_end(
        self, tmp_path: Path, signer: Signer
    ) -> None:
        """
        Names compare without case (RFC 4343); one that cannot be a directory is left out.
        """
        certificate = signer.certificate("Shop.Example.COM", "shop.example.com.", "WWW.shop.example.com")
        metadata = CertificateMetadata.of(certificate, authority="letsencrypt", kind="public", generation=7)
        directory = tmp_path / "generation"
        build(directory, certificate, metadata)
        fields = json.loads((directory / META).read_bytes())
        (directory / META).write_text(
            json.dumps(fields | {"names": ["Shop.Example.com.", "../evil", "WWW.shop.example.com"]})
        )

        assert ("shop.example.com", "www.shop.example.com") == metadata.names
        assert metadata == CertificateMetadata.read(directory)

    def test_reading_them_loads_no_cryptography(self, tmp_path: Path, signer: Signer) -> None:
        """
        The status of 50,000 names costs no more than reading small files.
        """
        directory = built(tmp_path, signer, 7)
        program = (
            "import sys; from pathlib import Path\n"
            "from certworker.storage.metadata import CertificateMetadata\n"
            "assert CertificateMetadata.read(Path(sys.argv[1])); sys.exit('cryptography' in sys.modules)"
        )

        assert subprocess.run([sys.executable, "-c", program, str(directory)], check=False).returncode == 0

    def test_those_of_a_newer_certworker_are_refused(self, tmp_path: Path, signer: Signer) -> None:
        """
        Metadata of a newer version is not replaced or pruned.
        """
        directory = built(tmp_path, signer, 7)
        fields = json.loads((directory / META).read_bytes())
        (directory / META).write_text(
            json.dumps(fields | {"schema": SCHEMA + 1, "names": {"of": "another kind"}})
        )

        with pytest.raises(SchemaTooNew, match="supports version 1"):
            CertificateMetadata.read(directory)

    def test_what_a_newer_one_added_is_left_alone(self, tmp_path: Path, signer: Signer) -> None:
        """
        Both versions can then run side by side.
        """
        directory = built(tmp_path, signer, 7)
        fields = json.loads((directory / META).read_bytes())
        (directory / META).write_text(json.dumps(fields | {"colour": "blue"}))

        assert CertificateMetadata.read(directory)


class TestOrder:
    def test_later_ones_sort_behind_earlier_ones(self, tmp_path: Path, signer: Signer) -> None:
        """
        The sequence is visible in a listing of the directory, too.
        """
        tokens = (0, 1, 2, 10, 99, 100, 123_456_789)
        directories = [built(tmp_path, signer, token) for token in tokens]

        assert directories == sorted(directories)
        assert list(tokens) == [token_of(directory.name) for directory in directories]

    def test_equal_tokens_do_not_collide(self, tmp_path: Path, signer: Signer) -> None:
        """
        A job may store twice under one lease.
        """
        assert built(tmp_path, signer, 1) != built(tmp_path, signer, 1)

    @pytest.mark.parametrize(
        "other", ["", "shop.example.com", "0123456789abcdef.tmp", "1-2", "../000000000001-00000000"]
    )
    def test_what_is_no_generation_has_no_token(self, other: str) -> None:
        """
        An invalid identifier never counts as newer.
        """
        assert token_of(other) == 0
