"""
Tests of the metadata of a certificate on the disk, and of the order of generations.
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


def built(parent: Path, signer: Signer, token: int) -> Path:
    """
    Build a generation with *token* in *parent*, and return its directory.
    """
    certificate = signer.certificate(NAME)
    metadata = CertificateMetadata.of(certificate, authority="letsencrypt", kind="public", generation=token)
    directory = new_directory(parent, token)
    build(directory, certificate, metadata)
    return directory


class TestMetadata:
    def test_metadata_is_read_as_it_was_written(self, tmp_path: Path, signer: Signer) -> None:
        """
        The metadata that is read equals the metadata that was written.
        """
        certificate = signer.certificate(NAME, "www.example.com")
        metadata = CertificateMetadata.of(certificate, authority="letsencrypt", kind="public", generation=7)

        build(tmp_path / "generation", certificate, metadata)

        assert metadata == CertificateMetadata.read(tmp_path / "generation")

    def test_metadata_has_its_schema(self, tmp_path: Path, signer: Signer) -> None:
        """
        The metadata has the version of its schema, and unknown fields are ignored.
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
    def test_damaged_metadata_is_none(self, tmp_path: Path, signer: Signer, content: str) -> None:
        """
        Damaged metadata counts as missing, so that it is derived from the certificate.
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
    def test_metadata_with_invalid_values_is_none(
        self, tmp_path: Path, signer: Signer, change: dict[str, object]
    ) -> None:
        """
        Metadata with an invalid type, date or name counts as missing.
        """
        directory = built(tmp_path, signer, 7)
        fields = json.loads((directory / META).read_bytes())
        (directory / META).write_text(json.dumps(fields | change))

        assert CertificateMetadata.read(directory) is None

    def test_names_are_normalized(self, tmp_path: Path, signer: Signer) -> None:
        """
        Names are in lower case (RFC 4343) and without a final dot. An invalid name is left out.
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

    def test_reading_metadata_does_not_import_cryptography(self, tmp_path: Path, signer: Signer) -> None:
        """
        A read of metadata does not import the library, so that a status of 50,000 names is fast.
        """
        directory = built(tmp_path, signer, 7)
        program = (
            "import sys; from pathlib import Path\n"
            "from certworker.storage.metadata import CertificateMetadata\n"
            "assert CertificateMetadata.read(Path(sys.argv[1])); sys.exit('cryptography' in sys.modules)"
        )

        assert subprocess.run([sys.executable, "-c", program, str(directory)], check=False).returncode == 0

    def test_metadata_of_a_newer_version_is_refused(self, tmp_path: Path, signer: Signer) -> None:
        """
        Metadata with a newer schema raises SchemaTooNew, and is not replaced.
        """
        directory = built(tmp_path, signer, 7)
        fields = json.loads((directory / META).read_bytes())
        (directory / META).write_text(
            json.dumps(fields | {"schema": SCHEMA + 1, "names": {"of": "another kind"}})
        )

        with pytest.raises(SchemaTooNew, match="supports version 1"):
            CertificateMetadata.read(directory)

    def test_fields_of_a_newer_version_are_ignored(self, tmp_path: Path, signer: Signer) -> None:
        """
        Unknown fields are ignored, so that two versions can run at the same time.
        """
        directory = built(tmp_path, signer, 7)
        fields = json.loads((directory / META).read_bytes())
        (directory / META).write_text(json.dumps(fields | {"color": "blue"}))

        assert CertificateMetadata.read(directory)


class TestOrder:
    def test_generations_sort_by_their_token(self, tmp_path: Path, signer: Signer) -> None:
        """
        The names of generations sort by their token.
        """
        tokens = (0, 1, 2, 10, 99, 100, 123_456_789)
        directories = [built(tmp_path, signer, token) for token in tokens]

        assert directories == sorted(directories)
        assert list(tokens) == [token_of(directory.name) for directory in directories]

    def test_equal_tokens_do_not_collide(self, tmp_path: Path, signer: Signer) -> None:
        """
        Two generations with the same token have different names.
        """
        assert built(tmp_path, signer, 1) != built(tmp_path, signer, 1)

    @pytest.mark.parametrize(
        "other", ["", "shop.example.com", "0123456789abcdef.tmp", "1-2", "../000000000001-00000000"]
    )
    def test_an_invalid_identifier_has_the_token_0(self, other: str) -> None:
        """
        An invalid identifier has the token 0, so that it never counts as newer.
        """
        assert token_of(other) == 0
