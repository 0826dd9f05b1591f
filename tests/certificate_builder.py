"""
Certificates with any names, dates, keys and issuers, for the tests of imports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


def key_pem(key: CertificateIssuerPrivateKeyTypes, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    """
    Return *key* in PEM.
    """
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


def new_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """
    Return a new key on *curve*, by default P-256.
    """
    return ec.generate_private_key(curve or ec.SECP256R1())


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """
    Return a new RSA key.
    """
    return rsa.generate_private_key(65537, bits)


@dataclass
class Signed:
    """
    A certificate with its key, and the issuers above it.
    """

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes
    above: tuple[Signed, ...] = ()

    @property
    def pem(self) -> bytes:
        """
        Return the certificate in PEM.
        """
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def chain(self) -> bytes:
        """
        Return the issuers in PEM, the next one first.
        """
        return b"".join(issuer.pem for issuer in self.above)


@dataclass
class Wanted:
    """
    The values of a certificate for *names*.
    """

    names: Sequence[str]
    issuer: Signed | None = None
    ca: bool | None = False
    key: CertificateIssuerPrivateKeyTypes = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    starts: datetime = NOW - 10 * DAY
    ends: datetime = NOW + 80 * DAY
    usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH,)

    def sign(self, subject: str = "leaf") -> Signed:
        """
        Return the certificate for *subject*; it is self-signed without an issuer.
        """
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
        issuer = self.issuer
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer.certificate.subject if issuer else name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.starts)
            .not_valid_after(self.ends)
        )
        if self.names:
            alternative = [_general_name(each) for each in self.names]
            builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        if self.ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(self.ca, None), critical=True)
        if self.usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(self.usages), critical=False)
        signed = builder.sign(issuer.key if issuer else self.key, hashes.SHA256())
        return Signed(signed, self.key, (issuer, *issuer.above) if issuer else ())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def encrypted(key: CertificateIssuerPrivateKeyTypes, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    """
    Return *key* in PEM with a password.
    """
    return key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret"))


ROOT = Wanted(names=(), ca=True, usages=(), ends=NOW + 3650 * DAY).sign("root")
INTERMEDIATE = Wanted(names=(), ca=True, usages=(), issuer=ROOT, ends=NOW + 900 * DAY).sign("intermediate")
