"""
What a reader of damaged files is told.
"""

from __future__ import annotations

import logging

import pytest

from certworker.serving.volume import Volume
from tests.serving.authority import Signer
from tests.serving.stored import NAME, lay_plain_files, store


class TestDamagedFiles:
    @pytest.mark.parametrize(
        ("file", "content", "code"),
        [
            ("privkey.pem", b"", "fs.corrupt"),
            ("fullchain.pem", b"", "fs.corrupt"),
            ("privkey.pem", b"not a key", "fs.corrupt"),
            ("fullchain.pem", b"not a certificate", "fs.partial"),
        ],
    )
    def test_a_damaged_file_is_said_and_is_no_certificate(
        self,
        volume: Volume,
        signer: Signer,
        caplog: pytest.LogCaptureFixture,
        file: str,
        content: bytes,
        code: str,
    ) -> None:
        """
        An empty file after a power cut must lead to a new certificate, not to a crash at each look.
        """
        stored = store(volume, signer.certificate(NAME))
        (stored.directory / file).write_bytes(content)

        with caplog.at_level(logging.WARNING):
            assert volume.current(NAME) is None

        [told] = caplog.records
        assert (NAME, code) == (told.__dict__["domain"], told.__dict__["code"])
        assert "BEGIN" not in told.getMessage()

    def test_a_key_of_another_certificate_is_said(
        self, volume: Volume, signer: Signer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Four renames that were interrupted leave the new chain beside the old key.
        """
        directory = lay_plain_files(volume, NAME, signer.certificate(NAME))
        (directory / "privkey.pem").write_bytes(signer.certificate(NAME).key.pem)

        assert volume.current(NAME) is None

        assert ["fs.partial"] == [told.__dict__["code"] for told in caplog.records]
