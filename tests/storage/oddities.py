"""
Unusual certificates with their keys, as other programs and attackers can write them to a volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

DAY = timedelta(days=1)

#: The DER of ecdsa-with-SHA256 (RFC 5758, section 3.2).
_ALGORITHM = bytes.fromhex("300a06082a8648ce3d040302")


def pair(
    names: Sequence[x509.GeneralName],
    *,
    days_left: int = 80,
    endless: bool = False,
    negative: bool = False,
) -> dict[str, bytes]:
    """
    Return the four files of a certificate for *names*, signed by a new CA.

    Args:
        days_left: The days until its end. It began 10 days ago.
        endless: It ends at the second at which it begins.
        negative: Its serial number is below zero.
    """
    signer, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Some CA")])
    now = datetime.now(UTC).replace(microsecond=0)

    def signed(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        begins, ends = now - 10 * DAY, now + days_left * DAY
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(0x7100_0000_0000_0000)
            .not_valid_before(begins)
            .not_valid_after(begins if endless and public == key.public_key() else ends)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
        )

    root = signed(issuer, signer.public_key()).sign(signer, hashes.SHA256())
    leaf = (
        signed(x509.Name([]), key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer, hashes.SHA256())
    )
    if negative:
        leaf = _with_negative_serial(leaf, signer)
    cert, chain = leaf.public_bytes(Encoding.PEM), root.public_bytes(Encoding.PEM)
    return {
        "cert.pem": cert,
        "chain.pem": chain,
        "fullchain.pem": cert + chain,
        "privkey.pem": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    }


def _with_negative_serial(leaf: x509.Certificate, signer: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    # No library writes such a certificate, so this sets the sign bit and signs the certificate again.
    serial = bytes.fromhex("02087100000000000000")
    body = leaf.tbs_certificate_bytes.replace(serial, b"\x02\x08\xf1" + serial[3:], 1)
    signature = b"\x00" + signer.sign(body, ec.ECDSA(hashes.SHA256()))
    whole = body + _ALGORITHM + b"\x03" + _length(signature) + signature
    return x509.load_der_x509_certificate(b"\x30" + _length(whole) + whole)


def _length(content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([size])
    return b"\x82" + size.to_bytes(2, "big")
