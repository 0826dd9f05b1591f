"""
The root and the intermediate with their keys, which sign the certificates.

The keys are in the state directory and survive restarts, so that a browser imports the root only once.
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certworker.storage import durable

CA_LIFE = timedelta(days=3650)

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

#: The certificate that browsers import. KEYS_FILE contains the keys, and only its owner may read it.
ROOT_FILE = "root.pem"
KEYS_FILE = "authority.pem"


@dataclass(frozen=True)
class Signer:
    """
    A CA certificate with its key.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def root(cls, name: str, now: datetime) -> Self:
        """
        Return a new self-signed root.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(_authority(name, key, name, key, now, path_length=1), key)

    @property
    def pem(self) -> bytes:
        """
        Return the certificate as PEM.
        """
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_identifier(self) -> bytes:
        """
        Return the authority key identifier of the certificates that this signer signs.
        """
        return self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest

    def intermediate(self, name: str, now: datetime) -> Self:
        """
        Return a new CA below this one. The new CA may sign only end-entity certificates.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = _common_name_of(self.certificate)
        return type(self)(_authority(name, key, issuer, self.key, now, path_length=0), key)

    def cross_sign(self, other: Self, now: datetime) -> bytes:
        """
        Return a certificate (PEM) from this CA with the name and the key of *other*, a CA below another root.
        """
        issuer, subject = _common_name_of(self.certificate), _common_name_of(other.certificate)
        certificate = _authority(subject, other.key, issuer, self.key, now, path_length=0)
        return certificate.public_bytes(Encoding.PEM)

    def sign(
        self, key: PublicKey, names: tuple[str, ...], not_before: datetime, not_after: datetime
    ) -> x509.Certificate:
        """
        Return a certificate for *names*, without a common name and with a unique serial number.
        """
        builder = (
            _builder(x509.Name([]), self.certificate.subject, key, not_before, not_after)
            .serial_number(_serial_number(not_before, not_after))
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(_key_usage(digital_signature=True), True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .add_extension(_authority_key_identifier(self.key.public_key()), False)
        )
        return builder.sign(self.key, hashes.SHA256())


def validity(serial: int) -> tuple[datetime, datetime] | None:
    """
    Return the dates in a serial number of this CA; None for any other number.
    """
    octets = serial.to_bytes(20, "big") if serial.bit_length() <= 160 else b""
    if octets[:1] != b"\x01":
        return None
    begin, lifetime = int.from_bytes(octets[1:6], "big"), int.from_bytes(octets[6:10], "big")
    not_before = datetime.fromtimestamp(begin, UTC)
    return not_before, not_before + timedelta(seconds=lifetime)


def public_der(key: Any) -> bytes:
    """
    Return the public key *key* as DER, which can be compared.
    """
    der: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der


def _serial_number(not_before: datetime, not_after: datetime) -> int:
    # The number contains the dates, so that renewal information survives a restart without storage. Its ten
    # random octets exceed the 64 bits that the Baseline Requirements for public CAs demand.
    lifetime = int((not_after - not_before).total_seconds())
    dates = int(not_before.timestamp()).to_bytes(5, "big") + lifetime.to_bytes(4, "big")
    return int.from_bytes(b"\x01" + dates + secrets.token_bytes(10), "big")


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, not_before: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )


def _authority_key_identifier(key: ec.EllipticCurvePublicKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _common_name_of(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _authority(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    path_length: int,
) -> x509.Certificate:
    begin = now - timedelta(days=1)
    builder = (
        _builder(_common_name(subject), _common_name(issuer), key.public_key(), begin, begin + CA_LIFE)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(_authority_key_identifier(issuer_key.public_key()), False)
    )
    return builder.sign(issuer_key, hashes.SHA256())


@dataclass(frozen=True)
class Hierarchy:
    """
    The root, and the intermediate that signs the certificates.
    """

    root: Signer
    intermediate: Signer

    @classmethod
    def open(cls, directory: Path, now: datetime) -> Hierarchy:
        """
        Return the hierarchy in *directory*, and create it if there is none.
        """
        durable.make_directory(directory)
        with _exclusive(directory / f"{KEYS_FILE}.lock"):
            keys = directory / KEYS_FILE
            if keys.exists():
                hierarchy = cls._from_pem(keys.read_bytes())
            else:
                hierarchy = cls._make(now)
                durable.write(keys, hierarchy._pem, 0o600)
            durable.write(directory / ROOT_FILE, hierarchy.root.pem, 0o644)
        return hierarchy

    @classmethod
    def _make(cls, now: datetime) -> Hierarchy:
        # The mark distinguishes the roots of two installations in the list of a browser.
        mark = secrets.token_hex(3)
        root = Signer.root(f"certworker development root {mark}", now)
        return cls(root, root.intermediate(f"certworker development {mark}", now))

    @classmethod
    def _from_pem(cls, pem: bytes) -> Hierarchy:
        certificates = x509.load_pem_x509_certificates(pem)
        end = b"-----END PRIVATE KEY-----\n"
        signers = []
        for certificate, part in zip(certificates, pem.split(end), strict=False):
            key = load_pem_private_key(part[part.index(b"-----BEGIN PRIVATE") :] + end, password=None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 (certworker wrote the file)
            signers.append(Signer(certificate, key))
        return cls(*signers)

    @property
    def _pem(self) -> bytes:
        return b"".join(
            signer.pem + signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            for signer in (self.root, self.intermediate)
        )


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
