"""
A CA that signs certificates for the volume, without a network.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from certworker.certificates import Certificate, PrivateKey

DAY = timedelta(days=1)
ISSUER = "A CA for tests"


@dataclass
class Signer:
    """
    A CA whose self-signed root certificate is the chain of each certificate.
    """

    issuer: str = ISSUER
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def certificate(self, *names: str, ends: timedelta = 89 * DAY) -> Certificate:
        """
        Return a new certificate for *names* with a new key and 90 days of validity, which *ends* from now.
        """
        key = PrivateKey.generate()
        leaf = self._signed(x509.Name([]), key.key.public_key(), names, ends)
        root = self._signed(self._subject, self.key.public_key(), ())
        return Certificate.from_pem(leaf + root, key)

    @property
    def _subject(self) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.issuer)])

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        names: tuple[str, ...],
        ends: timedelta = 89 * DAY,
    ) -> bytes:
        now = datetime.now(UTC).replace(microsecond=0)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + ends - 90 * DAY)
            .not_valid_after(now + ends)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)
