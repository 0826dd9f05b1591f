"""
Tests of damaged files and their failures.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import stored_in
from tests.storage.authority import Signer
from tests.storage.stored import NAME, store, write_plain_files


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
    def test_a_damaged_file_is_reported(
        self,
        volume: CertificateStore,
        signer: Signer,
        caplog: pytest.LogCaptureFixture,
        file: str,
        content: bytes,
        code: str,
    ) -> None:
        """
        A damaged file is logged with its code, and counts as no certificate.
        """
        stored = store(volume, signer.certificate(NAME))
        (stored.directory / file).write_bytes(content)

        with caplog.at_level(logging.WARNING):
            assert volume.current(NAME) is None

        [record] = caplog.records
        assert (NAME, code) == (record.__dict__["domain"], record.__dict__["code"])
        assert "BEGIN" not in record.getMessage()

    @pytest.mark.parametrize("kind", ["pipe", "endless", "large"])
    @pytest.mark.parametrize("file", ["fullchain.pem", "privkey.pem"])
    def test_a_special_file_blocks_no_worker(
        self, volume: CertificateStore, signer: Signer, caplog: pytest.LogCaptureFixture, file: str, kind: str
    ) -> None:
        """
        A pipe, a device and a large file are reported, and are not read.
        """
        path = write_plain_files(volume, NAME, signer.certificate(NAME)) / file
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "endless":
            path.symlink_to("/dev/zero")
        else:
            with path.open("wb") as opened:
                opened.truncate(2**30)

        assert volume.current(NAME) is None

        assert ["fs.corrupt"] == [record.__dict__["code"] for record in caplog.records]

    @pytest.mark.parametrize(
        ("key", "encryption"),
        [
            (ed25519.Ed25519PrivateKey.generate(), NoEncryption()),
            (ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"a password")),
        ],
        ids=["Ed25519", "with a password"],
    )
    def test_an_unsupported_key_is_reported(
        self,
        volume: CertificateStore,
        signer: Signer,
        caplog: pytest.LogCaptureFixture,
        key: PrivateKeyTypes,
        encryption: KeySerializationEncryption,
    ) -> None:
        """
        The message for an unsupported key has the supported types.
        """
        path = write_plain_files(volume, NAME, signer.certificate(NAME)) / "privkey.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))

        assert volume.current(NAME) is None
        assert "it is not an unencrypted elliptic-curve or RSA key" in caplog.text

    def test_a_key_of_another_certificate_is_reported(
        self, volume: CertificateStore, signer: Signer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A key that does not match its certificate is reported, for example after an interrupted rename.
        """
        directory = write_plain_files(volume, NAME, signer.certificate(NAME))
        (directory / "privkey.pem").write_bytes(signer.certificate(NAME).key.pem)

        assert volume.current(NAME) is None

        assert ["fs.partial"] == [record.__dict__["code"] for record in caplog.records]
        (message,) = (record.getMessage() for record in caplog.records)
        expected = f"The certificate in {directory} is not usable for {NAME}: it was issued for another key. "
        assert expected in message


class TestChain:
    @pytest.mark.parametrize(
        ("kind", "usable"), [("private", True), ("public", False), ("development", False)]
    )
    def test_only_a_private_ca_can_omit_the_chain(
        self,
        volume: CertificateStore,
        signer: Signer,
        caplog: pytest.LogCaptureFixture,
        kind: str,
        usable: bool,
    ) -> None:
        """
        A certificate without a chain is usable only if its metadata names a private CA.
        """
        certificate = replace(signer.certificate(NAME), chain_pem=b"")
        stored = volume.store(certificate, authority="ca", kind=kind, token=1)

        assert usable is (stored_in(stored.directory, NAME) is not None)
        assert usable is not ("fullchain.pem has no chain" in caplog.text)
