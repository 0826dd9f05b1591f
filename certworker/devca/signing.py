"""
From a signing request to a certificate (RFC 8555, section 7.4).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.errors import Error as JoseError
from josepy.json_util import decode_b64jose

from certworker.devca.accounts import Account
from certworker.devca.policy import Policy
from certworker.devca.problems import Refused
from certworker.devca.resources import Issued, Order
from certworker.devca.signer import PublicKey, Signer, public_der

#: Certificates begin a little early, for clients whose clock is behind; short lives are not shortened so.
EARLY = timedelta(hours=1)
LONG_ENOUGH_TO_BEGIN_EARLY = timedelta(days=1)


class Signing:
    """
    Signs what was ordered.
    """

    def __init__(
        self,
        signer: Signer,
        policy: Policy,
        clock: Callable[[], datetime],
    ) -> None:
        self._signer = signer
        self._policy = policy
        self._clock = clock

    def sign(self, owner: Account, order: Order, csr: Any) -> Issued:
        """
        The certificate for *order*, by its signing request *csr* (base64url of DER).

        Raises:
            Refused: ``badCSR``: it is not for the names of the order, or not with a proper key.
        """
        return self._issue(order, self._requested_key(owner, order, csr), order.names)

    def _issue(self, order: Order, key: PublicKey, names: tuple[str, ...]) -> Issued:
        leaf = self._signer.sign(key, names, *self._dates(order.profile))
        return Issued(order.account, names, leaf, leaf.public_bytes(Encoding.PEM) + self._signer.pem)

    def _dates(self, profile: str) -> tuple[datetime, datetime]:
        lifetime = self._policy.lifetime_of(profile)
        begin = self._clock().replace(microsecond=0)
        if lifetime >= LONG_ENOUGH_TO_BEGIN_EARLY:
            begin -= EARLY
        return begin, begin + lifetime

    def _requested_key(self, owner: Account, order: Order, csr: Any) -> PublicKey:
        try:
            request = x509.load_der_x509_csr(decode_b64jose(csr))
            key, names = request.public_key(), _names(request)
        except (ValueError, TypeError, AttributeError, JoseError) as error:
            raise Refused("badCSR", "The signing request cannot be read.") from error
        if not request.is_signature_valid:
            raise Refused("badCSR", "The signature of the signing request is wrong.")
        if names != set(order.names):
            wanted, found = ", ".join(order.names), ", ".join(sorted(names))
            raise Refused("badCSR", f"The order is for {wanted}, the signing request for {found}.")
        if not _is_acceptable(key):
            raise Refused("badCSR", "Keys are P-256, P-384 or RSA of 2048 to 4096 bits.")
        if public_der(key) == public_der(owner.key.key):
            raise Refused("badCSR", "The key of the account may not be the key of a certificate.")
        return key


def _names(request: x509.CertificateSigningRequest) -> set[str]:
    common = request.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    names = {str(each.value).lower() for each in common}
    try:
        san = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names
    names.update(name.lower() for name in san.get_values_for_type(x509.DNSName))
    names.update(str(address) for address in san.get_values_for_type(x509.IPAddress))
    return names


def _is_acceptable(key: object) -> TypeGuard[PublicKey]:
    if isinstance(key, rsa.RSAPublicKey):
        return 2048 <= key.key_size <= 4096
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in ("secp256r1", "secp384r1")
