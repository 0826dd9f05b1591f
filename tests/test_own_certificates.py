"""
Tests of the checks of the files of an import.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from certworker.errors.imports import ImportFailure, TooWeak
from certworker.own_certificates import LARGEST_PEM_BYTES, OwnCertificate, Pem, read_own_certificate
from tests.certificate_builder import (
    DAY,
    INTERMEDIATE,
    NOW,
    ROOT,
    Signed,
    Wanted,
    encrypted,
    key_pem,
    new_key,
    rsa_key,
)

NAME = "shop.example.org"
LEAF = Wanted([NAME], issuer=INTERMEDIATE).sign()
KEY = key_pem(LEAF.key)
FULLCHAIN = LEAF.pem + INTERMEDIATE.pem
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


def read(certificate: bytes, key: bytes = KEY, chain: bytes = b"", name: str = NAME) -> OwnCertificate:
    """
    Return the certificate of an import, or raise the reason why it is refused.
    """
    return read_own_certificate(Pem(certificate, key, chain), name, NOW)


def refusal(certificate: bytes, key: bytes = KEY, chain: bytes = b"", name: str = NAME) -> str:
    """
    Return the text of the failure of an import.
    """
    with pytest.raises(ImportFailure) as caught:
        read(certificate, key, chain, name)
    return str(caught.value)


class TestAccepted:
    @pytest.mark.parametrize(
        ("certificate", "key", "chain"),
        [
            (FULLCHAIN, KEY, b""),
            (LEAF.pem, KEY, INTERMEDIATE.pem),
            (INTERMEDIATE.pem + LEAF.pem, KEY, b""),
            (LEAF.pem + LEAF.pem + INTERMEDIATE.pem, KEY, INTERMEDIATE.pem),
            (FULLCHAIN.replace(b"\n", b"\r\n"), KEY.replace(b"\n", b"\r\n"), b""),
            (FULLCHAIN.replace(b"\n", b"\r"), KEY.replace(b"\n", b"\r"), b""),
            (b"\xef\xbb\xbf" + FULLCHAIN, b"\xef\xbb\xbf" + KEY, b""),
            (b"Bag Attributes\n  friendlyName: shop\n" + FULLCHAIN, b"subject=\n" + KEY + b"\n\n", b""),
            (FULLCHAIN.rstrip(), KEY.rstrip(), b""),
            (KEY + FULLCHAIN, KEY + FULLCHAIN, b""),
        ],
        ids=["in order", "chain apart", "reversed", "twice", "CRLF", "CR", "BOM", "text", "cut", "combined"],
    )
    def test_the_files_of_any_system_result_in_the_same_chain(
        self, certificate: bytes, key: bytes, chain: bytes
    ) -> None:
        """
        The order, repetitions, line ends and additional texts of the files do not matter.
        """
        own = read(certificate, key, chain)

        assert FULLCHAIN == own.certificate.fullchain_pem
        assert KEY == own.certificate.key.pem
        assert () == own.warnings

    @pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
    @pytest.mark.parametrize(
        "key",
        [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)],
        ids=["ec", "rsa"],
    )
    def test_each_format_of_a_key_is_accepted(
        self, key: CertificateIssuerPrivateKeyTypes, form: PrivateFormat
    ) -> None:
        """
        PKCS #8 and the older formats are accepted.
        """
        leaf = Wanted([NAME], issuer=INTERMEDIATE, key=key).sign()

        assert NAME in read(leaf.pem + leaf.chain, key_pem(key, form)).certificate.names

    def test_the_parameters_of_a_curve_before_the_key_are_skipped(self) -> None:
        """
        `openssl ecparam -genkey` writes a block with parameters before the key.
        """
        parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"

        assert KEY == read(FULLCHAIN, parameters + KEY).certificate.key.pem

    @pytest.mark.parametrize(
        ("name", "names"),
        [
            (NAME, ["example.org", NAME]),
            (NAME, ["*.example.org"]),
            (NAME, [NAME.upper()]),
            ("*.example.org", ["*.example.org", "example.org"]),
            ("192.0.2.1", ["192.0.2.1"]),
            ("intranet", ["intranet"]),
        ],
    )
    def test_the_names_of_the_certificate_contain_the_name(self, name: str, names: list[str]) -> None:
        """
        A name, a wildcard above it and an address are found among the names of the certificate.
        """
        leaf = Wanted(names, issuer=INTERMEDIATE).sign()

        assert () == read(leaf.pem + leaf.chain, key_pem(leaf.key), name=name).warnings

    def test_without_a_chain_there_is_a_warning(self) -> None:
        """
        The certificate of a private CA may have no chain. Only its clients accept it.
        """
        (warning,) = read(LEAF.pem).warnings

        assert "It has no chain: only clients that know its issuer accept it (CN=intermediate)." == warning

    def test_a_self_signed_certificate_has_a_warning(self) -> None:
        """
        A self-signed certificate of a server is accepted.
        """
        leaf = Wanted([NAME]).sign()
        (warning,) = read(leaf.pem, key_pem(leaf.key)).warnings

        assert warning.startswith("It is self-signed")

    def test_certificates_outside_of_the_chain_are_left_out(self) -> None:
        """
        Certificates that do not belong to the chain are left out, with a warning.
        """
        own = read(FULLCHAIN + Wanted(names=(), ca=True).sign("other").pem)

        assert FULLCHAIN == own.certificate.fullchain_pem
        assert ("Given certificates that are not in its chain are left out: 1.",) == own.warnings


def damaged(pem: bytes) -> bytes:
    """
    Return *pem* without the middle of its content.
    """
    return pem[:60] + pem[200:]


class TestRefused:
    @pytest.mark.parametrize(
        ("certificate", "key", "chain", "reason"),
        [
            (b"", KEY, b"", "certificate to import for shop.example.org is not readable: it is empty"),
            (b" \n", KEY, b"", "it is empty"),
            (b"hello", KEY, b"", "it has no certificate"),
            (KEY, KEY, b"", "it has no certificate"),
            (LEAF.certificate.public_bytes(Encoding.DER), KEY, b"", "it is in DER or PKCS #12"),
            (FULLCHAIN.decode().encode("utf-16"), KEY, b"", "it is in UTF-16"),
            (b"-----BEGIN PKCS7-----", KEY, b"", "it is in PKCS #7"),
            (b"-----BEGIN CERTIFICATE REQUEST-----", KEY, b"", "it has a signing request"),
            (damaged(LEAF.pem), KEY, b"", "certificate 1 in it is damaged"),
            (LEAF.pem, KEY, damaged(INTERMEDIATE.pem), "chain to import for"),
            (b"x" * (LARGEST_PEM_BYTES + 1), KEY, b"", "it has more than 80 KiB"),
            (FULLCHAIN, b"x" * (LARGEST_PEM_BYTES + 1), b"", "key to import for"),
            (FULLCHAIN, b"", b"", "it is empty"),
            (FULLCHAIN, FULLCHAIN, b"", "it has no private key"),
            (FULLCHAIN, damaged(KEY), b"", "it is damaged, or neither an RSA nor"),
            (FULLCHAIN, KEY + key_pem(ROOT.key), b"", "it has 2 different keys"),
            (FULLCHAIN, key_pem(ed25519.Ed25519PrivateKey.generate()), b"", "neither an RSA nor"),
            (LEAF.pem, KEY, b"hello", "chain to import for shop.example.org is not readable"),
        ],
    )
    def test_a_file_that_is_not_readable(
        self, certificate: bytes, key: bytes, chain: bytes, reason: str
    ) -> None:
        """
        The reason says which file is not readable, and why.
        """
        text = refusal(certificate, key, chain)

        assert text.startswith("[import.unreadable]")
        assert reason in text

    def test_a_validity_period_without_a_length(self) -> None:
        """
        The reason contains neither the code nor the remedy of a certificate from a CA.
        """
        leaf = Wanted([NAME], issuer=INTERMEDIATE, starts=NOW, ends=NOW).sign()
        text = refusal(leaf.pem, key_pem(leaf.key))

        assert "it is damaged (its validity period does not begin before it ends)." in text
        assert "acme.bad_cert" not in text

    def test_more_certificates_than_a_chain_has(self) -> None:
        """
        A bundle of many CAs is not a chain.
        """
        bundle = b"".join(Wanted(names=(), ca=True).sign(f"CA {number}").pem for number in range(21))

        assert "has 22 certificates, and 20 is the limit" in refusal(LEAF.pem, chain=bundle)

    def test_two_certificates_for_one_key(self) -> None:
        """
        It is not clear which certificate to import if two have the same key.
        """
        other = Wanted([NAME], issuer=INTERMEDIATE, key=LEAF.key).sign()

        assert "it has 2 certificates for this key" in refusal(LEAF.pem + other.pem)

    @pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
    def test_an_encrypted_key(self, form: PrivateFormat) -> None:
        """
        The proxy has no password for an encrypted key.
        """
        assert refusal(FULLCHAIN, encrypted(LEAF.key, form)).startswith("[import.encrypted_key]")

    @pytest.mark.parametrize(
        "kind", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)]
    )
    def test_the_key_of_another_certificate(self, kind: CertificateIssuerPrivateKeyTypes) -> None:
        """
        The failure has the names of the certificate.
        """
        text = refusal(FULLCHAIN, key_pem(kind))

        assert text.startswith("[import.key_mismatch]")
        assert "which is for shop.example.org" in text

    @pytest.mark.parametrize(
        ("name", "names"),
        [
            ("www.shop.example.org", ["*.example.org"]),
            ("example.org", ["*.example.org"]),
            ("*.example.org", [NAME]),
            ("*.example.org", ["example.org"]),
            ("192.0.2.1", ["192.0.2.2", "*.0.2.1"]),
            (NAME, []),
        ],
    )
    def test_a_name_that_the_certificate_does_not_have(self, name: str, names: list[str]) -> None:
        """
        A wildcard is valid for only one label. The common name does not count.
        """
        leaf = Wanted(names, issuer=INTERMEDIATE).sign(NAME)
        text = refusal(leaf.pem, key_pem(leaf.key), name=name)

        assert text.startswith("[import.wrong_names]")
        assert all(each in text for each in names or ["no name"])

    @pytest.mark.parametrize(
        ("wanted", "code", "part"),
        [
            (Wanted([NAME], ends=NOW), "import.expired", f"expired at {NOW:%Y-%m-%d %H:%M} UTC"),
            (
                Wanted([NAME], starts=NOW + DAY),
                "import.not_yet_valid",
                f"is not valid before {NOW + DAY:%Y-%m-%d}",
            ),
            (Wanted([NAME], ca=True), "import.not_for_servers", "CA:TRUE"),
            (
                Wanted([NAME], usages=[CLIENT]),
                "import.not_for_servers",
                "serverAuth",
            ),
            (Wanted([NAME], key=rsa_key(1024)), "import.weak_key", "RSA key has 1024 bits"),
            (Wanted([NAME], key=new_key(ec.SECP521R1())), "import.weak_key", "the curve secp521r1"),
        ],
        ids=["expired", "not yet valid", "CA", "usage", "RSA", "curve"],
    )
    def test_a_certificate_that_browsers_do_not_accept(self, wanted: Wanted, code: str, part: str) -> None:
        """
        The failure has the value that browsers do not accept.
        """
        wanted.issuer = INTERMEDIATE
        leaf = wanted.sign()
        text = refusal(leaf.pem + leaf.chain, key_pem(leaf.key))

        assert text.startswith(f"[{code}]")
        assert part in text

    @pytest.mark.parametrize("digest", ["sha1", "sha224"])
    def test_a_certificate_with_a_weak_signature(self, tmp_path: Path, digest: str) -> None:
        """
        SHA-1 has collisions, and browsers accept no hash below SHA-256.
        """
        options = ["-x509", f"-{digest}", "-noenc", "-newkey", "rsa:2048", "-subj", "/CN=old", "-days", "2"]
        extensions = ["-addext", f"subjectAltName=DNS:{NAME}", "-addext", "basicConstraints=CA:FALSE"]
        files = ["-keyout", "key.pem", "-out", "cert.pem"]
        subprocess.run(
            ["openssl", "req", *options, *extensions, *files], cwd=tmp_path, capture_output=True, check=True
        )
        pem = Pem((tmp_path / "cert.pem").read_bytes(), (tmp_path / "key.pem").read_bytes())

        with pytest.raises(TooWeak, match=f"CN=old signed a certificate with {digest.upper()}"):
            read_own_certificate(pem, NAME, datetime.now(UTC))

    @pytest.mark.parametrize("usages", [(), [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]])
    def test_a_certificate_without_a_restriction_of_its_use(
        self, usages: Sequence[x509.ObjectIdentifier]
    ) -> None:
        """
        Without an extended key usage, a certificate is for servers as well.
        """
        leaf = Wanted([NAME], usages=usages, ca=None, issuer=INTERMEDIATE).sign()

        assert () == read(leaf.pem + leaf.chain, key_pem(leaf.key)).warnings

    @pytest.mark.parametrize(
        ("chain", "part"),
        [
            (lambda: [ROOT], "none of the other certificates signed it; its issuer is CN=intermediate"),
            (lambda: [_issuer(ca=False)], "CN=issuer is not a CA"),
            (lambda: [_issuer(ends=NOW)], f"CN=issuer expired at {NOW:%Y-%m-%d %H:%M} UTC"),
        ],
        ids=["missing", "not a CA", "expired"],
    )
    def test_a_chain_that_does_not_lead_to_a_ca(self, chain: Callable[[], list[Signed]], part: str) -> None:
        """
        Each given chain has to lead from the certificate to a CA.
        """
        (issuer,) = chain()
        leaf = LEAF if issuer is ROOT else Wanted([NAME], issuer=issuer).sign()
        text = refusal(leaf.pem, key_pem(leaf.key), issuer.pem)

        assert text.startswith("[import.chain]")
        assert part in text

    def test_no_message_has_a_part_of_the_key(self) -> None:
        """
        The content of a damaged key is in no message.
        """
        lines = KEY.decode().splitlines()[1:-1]

        for content in (damaged(KEY), KEY.replace(b"-----END", b""), KEY[:-20], KEY[30:]):
            text = refusal(FULLCHAIN, content)
            assert not any(line[:8] in text for line in lines)

    @given(
        certificate=st.binary(max_size=300) | st.sampled_from([FULLCHAIN, LEAF.pem]),
        key=st.binary(max_size=300) | st.sampled_from([KEY]),
        cut=st.integers(0, 2_000),
    )
    def test_any_content_is_accepted_or_refused(self, certificate: bytes, key: bytes, cut: int) -> None:
        """
        No content of a file raises another exception.
        """
        with suppress(ImportFailure):
            read(certificate[:cut] + certificate[cut + 1 :], key)


def _issuer(*, ca: bool = True, ends: datetime = NOW + DAY) -> Signed:
    return Wanted(names=(), ca=ca, usages=(), issuer=ROOT, ends=ends).sign("issuer")
