"""
Private keys, certificate signing requests and certificates, as immutable values.

The names come only from the subject alternative names, because clients ignore the common name (RFC 9525).
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Literal, get_args

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from certworker.errors.acme import BadCertificate
from certworker.minutes import not_before

KeyType = Literal["ec256", "ec384", "rsa2048", "rsa3072", "rsa4096"]
KEY_TYPES: tuple[KeyType, ...] = get_args(KeyType)

#: A validity period may begin this far in the future, because clocks differ.
CLOCK_TOLERANCE = timedelta(minutes=5)

#: The reason to reject a certificate from a public CA without its intermediate, which browsers do not have.
NO_CHAIN = "the CA sent no chain, which is required unless CERTWORKER_PRIVATE_NETWORK is true"

#: The maximum number of certificates: :func:`chain_of` ignores further ones, and an import rejects them. A
#: chain usually has two or three.
MAX_CERTIFICATES = 20

_BLOCK = re.compile(rb"-----BEGIN ((?:X509 )?CERTIFICATE)-----.*?-----END \1-----", re.DOTALL)

#: The errors of `cryptography` for a damaged certificate. The library parses most fields only on access.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True)
class PrivateKey:
    """
    The private key of a certificate, or of an ACME account. The two must differ (RFC 8555, section 11.1).
    """

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = field(repr=False)

    @classmethod
    def generate(cls, kind: KeyType = "ec256") -> PrivateKey:
        """
        Return a new key of *kind*.
        """
        if kind == "ec256":
            return cls(ec.generate_private_key(ec.SECP256R1()))
        if kind == "ec384":
            return cls(ec.generate_private_key(ec.SECP384R1()))
        return cls(rsa.generate_private_key(65537, int(kind.removeprefix("rsa"))))

    @classmethod
    def from_pem(cls, pem: bytes) -> PrivateKey:
        """
        Return the key in *pem*.

        Raises:
            ValueError: *pem* does not contain an unencrypted elliptic-curve or RSA key.
        """
        try:
            key = load_pem_private_key(pem, password=None)
        except (TypeError, UnsupportedAlgorithm) as error:
            raise ValueError(str(error)) from error
        if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
            raise ValueError("neither an elliptic-curve nor an RSA key")  # noqa: TRY004 (one error for bad PEM)
        return cls(key)

    @property
    def pem(self) -> bytes:
        """
        Return the key as PKCS #8 in PEM.
        """
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def fits(self, certificate: x509.Certificate) -> bool:
        """
        Return whether *certificate* was issued for this key.

        An unreadable public key raises one of :data:`UNREADABLE`.
        """
        return _public_der(self.key.public_key()) == _public_der(certificate.public_key())

    def sign_request(self, names: tuple[str, ...]) -> bytes:
        """
        Return a signing request (PKCS #10, DER) for *names*, without a common name.
        """
        request = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        return request.public_bytes(Encoding.DER)


@dataclass(frozen=True)
class Certificate:
    """
    A certificate with its chain and its private key.
    """

    #: The names in lower case: the DNS names, and then the IP addresses.
    names: tuple[str, ...]
    cert_pem: bytes = field(repr=False)
    chain_pem: bytes = field(repr=False)
    key: PrivateKey = field(repr=False)
    not_before: datetime
    not_after: datetime
    #: The serial number in lowercase hexadecimal, with two digits for each byte.
    serial: str
    #: The common name of the issuer, or its distinguished name if it has no common name.
    issuer: str
    #: The identifier for renewal information (RFC 9773, section 4.1); empty if there is none.
    renewal_id: str

    @property
    def fullchain_pem(self) -> bytes:
        """
        Return the certificate followed by the chain, for a TLS server.
        """
        return self.cert_pem + self.chain_pem

    @classmethod
    def from_pem(cls, fullchain: bytes, key: PrivateKey) -> Certificate:
        """
        Return the certificate in *fullchain*, with its chain (:func:`chain_of`).

        Raises:
            BadCertificate: It is unreadable or for another key, or its dates or its chain are invalid.
        """
        try:
            leaf, *chain = chain_of(fullchain)
            fits = key.fits(leaf)
            certificate = cls(
                names=_names_of(leaf),
                cert_pem=leaf.public_bytes(Encoding.PEM),
                chain_pem=b"".join(link.public_bytes(Encoding.PEM) for link in chain),
                key=key,
                not_before=leaf.not_valid_before_utc,
                not_after=leaf.not_valid_after_utc,
                serial=_hexadecimal(leaf.serial_number),
                issuer=_issuer_of(leaf),
                renewal_id=_renewal_id(leaf),
            )
        except UNREADABLE as error:
            raise BadCertificate(name="the domain", reason=f"it cannot be read ({error})") from error
        shown = certificate.names[0] if certificate.names else "no name"
        if not fits:
            raise BadCertificate(name=shown, reason="it was issued for another key")
        if certificate.not_before >= certificate.not_after:
            raise BadCertificate(name=shown, reason="its validity period does not begin before it ends")
        if not chain and len(_blocks(fullchain)) > 1:
            raise BadCertificate(name=shown, reason="its chain is incomplete")
        return certificate

    def check(self, names: tuple[str, ...], now: datetime, *, private: bool = False) -> None:
        """
        Check that the certificate is the ordered one: for exactly *names*, valid at *now*, and with a chain.

        Args:
            private: Whether the CA is private. The root of a private CA may sign certificates directly.

        Raises:
            BadCertificate: It is not the ordered certificate.
        """
        if not self.chain_pem and not private:
            raise BadCertificate(name=names[0], reason=NO_CHAIN)
        if set(self.names) != set(names):
            raise BadCertificate(
                name=names[0], reason=f"it was issued for {', '.join(self.names)}, not for {', '.join(names)}"
            )
        if now >= self.not_after:
            raise BadCertificate(name=names[0], reason=f"it expired at {self.not_after:%Y-%m-%d %H:%M} UTC")
        if self.not_before - now > CLOCK_TOLERANCE:
            raise BadCertificate(
                name=names[0], reason=f"it is not valid before {not_before(self.not_before)}"
            )


def chain_of(fullchain: bytes) -> list[x509.Certificate]:
    """
    Return the chain in *fullchain* (PEM): first the leaf, then the issuer of each certificate.

    *fullchain* must start with the leaf; the order of the other certificates does not matter. The function
    skips repeated, superfluous and unreadable certificates, and those after :data:`MAX_CERTIFICATES`. The
    chain ends at a self-signed certificate, or where the issuer is missing.

    Raises:
        ValueError: There is no certificate. An unreadable leaf raises one of :data:`UNREADABLE`.
    """
    blocks = _blocks(fullchain)
    if not blocks:
        raise ValueError("no certificate in PEM")
    chain, others = [x509.load_pem_x509_certificate(blocks[0])], []
    for block in blocks[1:MAX_CERTIFICATES]:
        with suppress(*UNREADABLE):
            others.append(x509.load_pem_x509_certificate(block))
    while chain[-1].issuer != chain[-1].subject:
        signer = next((each for each in others if _is_signed_by(chain[-1], each)), None)
        if signer is None or signer in chain:
            break
        chain.append(signer)
    return chain


@dataclass(frozen=True)
class ChainLink:
    """
    One certificate of a chain.
    """

    #: The common name, or the distinguished name if there is no common name.
    subject: str
    #: The common name of the issuer, or the distinguished name if there is no common name.
    issuer: str
    #: In hexadecimal digits.
    serial: str
    #: `ec256`, `rsa2048` and so on, or the name of another algorithm.
    key_type: str
    not_before: datetime
    not_after: datetime


def links_in(fullchain: bytes) -> list[ChainLink]:
    """
    Return the certificates of the chain in *fullchain* (PEM), starting with the leaf.

    Raises:
        ValueError: There is no certificate. An unreadable certificate raises one of :data:`UNREADABLE`.
    """
    return [
        ChainLink(
            subject=_common_name(each.subject),
            issuer=_issuer_of(each),
            serial=_hexadecimal(each.serial_number),
            key_type=_key_type_of(each.public_key()),
            not_before=each.not_valid_before_utc,
            not_after=each.not_valid_after_utc,
        )
        for each in chain_of(fullchain)
    ]


def only_certificates(pem: bytes) -> bytes:
    """
    Return each certificate in *pem* once, without anything else, such as a key that another program added.
    """
    return b"".join(block + b"\n" for block in _blocks(pem))


def issuers_in(fullchain: bytes) -> list[str]:
    """
    Return the names of the issuers in the chain of *fullchain* (PEM), starting with the issuer of the leaf.

    Raises:
        ValueError: There is no certificate. An unreadable leaf raises one of :data:`UNREADABLE`.
    """
    return list(dict.fromkeys(_issuer_of(each) for each in chain_of(fullchain)))


def _blocks(pem: bytes) -> list[bytes]:
    return list(dict.fromkeys(block[0] for block in _BLOCK.finditer(pem)))


def _is_signed_by(issued: x509.Certificate, signer: x509.Certificate) -> bool:
    try:
        issued.verify_directly_issued_by(signer)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def _names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    found = (
        # DNS names are case-insensitive (RFC 4343).
        *(name.lower() for name in names.get_values_for_type(x509.DNSName)),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    )
    return tuple(dict.fromkeys(found))


def _issuer_of(certificate: x509.Certificate) -> str:
    return _common_name(certificate.issuer)


def _common_name(name: x509.Name) -> str:
    common_names = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(common_names[0].value) if common_names else name.rfc4514_string()


def _key_type_of(key: PublicKeyTypes) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ec{key.key_size}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"rsa{key.key_size}"
    return type(key).__name__.removesuffix("PublicKey").lstrip("_").lower()


def _hexadecimal(serial: int) -> str:
    digits = f"{serial:x}"
    return digits.zfill(len(digits) + len(digits) % 2)


def _renewal_id(certificate: x509.Certificate) -> str:
    try:
        authority = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return ""
    number = certificate.serial_number
    # Integers in DER are signed: a number whose first bit is set needs one more byte.
    der = number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
    parts = (authority.key_identifier or b"", der)
    return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _public_der(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
