"""
Certificates: signing, download, revocation, and renewal information.

Sources: RFC 8555, sections 7.4 and 7.6; RFC 9773.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.errors import Error as JoseError
from josepy.json_util import decode_b64jose

from certworker.devca.accounts import Account
from certworker.devca.hierarchy import PublicKey, Signer, public_der, validity
from certworker.devca.messages import Call, Refused, Reply, document
from certworker.devca.policy import Policy, Window
from certworker.devca.resources import Issued, Memory, Order, rfc3339

#: The validity of a certificate begins this long before its issuance, for clients whose clock is behind. If
#: the lifetime is shorter than a day, the validity begins at the issuance.
EARLY = timedelta(hours=1)
LONG_ENOUGH_TO_BEGIN_EARLY = timedelta(days=1)

#: The start and the end of the suggested window, as remaining shares of the lifetime.
WINDOW = (0.35, 0.30)
#: The time between two requests for renewal information: a share of the lifetime, and at most six hours.
LONGEST_PAUSE = timedelta(hours=6)
SHARE_BETWEEN_CHECKS = 0.04


class Signing:
    """
    Signs the certificates of orders.
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
        Return the certificate for *order* of *owner*, according to its signing request.

        Args:
            csr: The signing request, base64url of DER.

        Raises:
            Refused: `badCSR`: the signing request is invalid, its names are not those of the order, or its
                key is unsuitable.
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
            raise Refused("badCSR", "Keys must be P-256, P-384, or RSA with 2048 to 4096 bits.")
        if public_der(key) == public_der(owner.key.key):
            raise Refused("badCSR", "The key of the account must not be the key of a certificate.")
        return key


def _names(request: x509.CertificateSigningRequest) -> set[str]:
    common = request.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    names = {str(attribute.value).lower() for attribute in common}
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


class Certification:
    """
    The resources of certificates.
    """

    def __init__(
        self,
        signer: Signer,
        policy: Policy,
        memory: Memory,
        clock: Callable[[], datetime],
    ) -> None:
        self._signer = signer
        self._policy = policy
        self._memory = memory
        self._clock = clock

    def certificate(self, call: Call) -> Reply:
        """
        Return the chain, leaf first, with links to the alternate chains (RFC 8555, section 7.4.2).
        """
        serial, _, chain = call.request.id.partition("-")
        try:
            issued = self._memory.issued[int(serial, 16)]
            leaf = self._alternate_leaf(issued)
            chains = [issued.chain_pem, *(leaf + other for other in self._memory.cross_signed)]
            body = chains[int(chain or 0)]
        except (KeyError, ValueError, IndexError) as error:
            raise Refused("malformed", "There is no such certificate.", status=404) from error
        if issued.account != call.owner.id:
            raise Refused("unauthorized", "The certificate belongs to another account.")
        others = [number for number in range(len(chains)) if number != int(chain or 0)]
        links = [f'<{call.url("certificate", f"{serial}-{number}")}>;rel="alternate"' for number in others]
        headers = {"Link": ", ".join(links)} if links else {}
        return Reply(200, body, "application/pem-certificate-chain", headers, names=issued.names)

    def revoke(self, call: Call) -> Reply:
        """
        Revoke a certificate at the request of its account, of an account with valid authorizations for its
        names, or of its own key.
        """
        leaf, names = self._leaf(call.fields.get("certificate"))
        if not self._may_revoke(call, leaf, names):
            raise Refused("unauthorized", "The certificate is not yours.")
        reason = call.fields.get("reason", 0)
        if not isinstance(reason, int) or reason not in range(11) or reason == 7:
            raise Refused("badRevocationReason", "There is no such reason.")
        if leaf.serial_number in self._memory.revoked:
            raise Refused("alreadyRevoked", "The certificate is already revoked.")
        self._memory.revoked.add(leaf.serial_number)
        return Reply(names=names)

    def renewal_info(self, call: Call) -> Reply:
        """
        Return when to renew the certificate in the URL (RFC 9773, section 4).
        """
        serial = self._serial(call.request.id)
        dates = None if serial is None else validity(serial)
        if serial is None or dates is None:
            raise Refused("malformed", "There is no such certificate.", status=404)
        names = self._names(serial)
        window = self._window(serial, names, *dates)
        content: dict[str, Any] = {
            "suggestedWindow": {"start": rfc3339(window.start), "end": rfc3339(window.end)}
        }
        if window.explanation_url:
            content["explanationURL"] = window.explanation_url
        pause = min(LONGEST_PAUSE, (dates[1] - dates[0]) * SHARE_BETWEEN_CHECKS)
        headers = {"Retry-After": str(max(1, int(pause.total_seconds())))}
        return document(content, headers=headers, names=names)

    def replaceable(self, owner: Account, replaces: Any, names: tuple[str, ...]) -> int | None:
        """
        Return the serial number of the certificate that an order for *names* replaces; None: it replaces
        none.

        Raises:
            Refused: `alreadyReplaced` (409), or the ID of the certificate cannot be read, or the certificate
                is from another CA, belongs to another account, or has none of *names*.
        """
        if replaces is None:
            return None
        if _parts_of(replaces) is None:
            raise Refused("malformed", "The ID of the certificate to be replaced cannot be read.")
        serial = self._serial(replaces)
        if serial is None:
            raise Refused("malformed", "The certificate to be replaced is from another CA.")
        issued = self._memory.issued.get(serial)
        # A restart loses the list of certificates, so an older certificate is accepted without a check of its
        # account and its names.
        if issued and (issued.account != owner.id or not set(issued.names) & set(names)):
            raise Refused("malformed", "The certificate to be replaced is not yours or shares no name.")
        successor = self._memory.replaced.get(serial)
        if successor and successor.status(self._clock()) != "invalid":
            raise Refused("alreadyReplaced", "Another order replaces this certificate.")
        return serial

    def _alternate_leaf(self, issued: Issued) -> bytes:
        return issued.leaf_pem

    def _window(
        self, serial: int, names: tuple[str, ...], not_before: datetime, not_after: datetime
    ) -> Window:
        now, lifetime = self._clock(), not_after - not_before
        recalled = self._policy.recalled_before and not_before < self._policy.recalled_before
        if recalled or serial in self._memory.revoked:
            return Window(now - timedelta(hours=2), now - timedelta(hours=1))
        for name in (*names, ""):
            if name in self._policy.windows:
                return self._policy.windows[name]
        start, end = (not_after - lifetime * share for share in WINDOW)
        return Window(start, end)

    def _serial(self, cert_id: Any) -> int | None:
        key_identifier, serial = _parts_of(cert_id) or (b"", b"")
        return int.from_bytes(serial, "big") if key_identifier == self._signer.key_identifier else None

    def _names(self, serial: int) -> tuple[str, ...]:
        issued = self._memory.issued.get(serial)
        return issued.names if issued else ()

    def _leaf(self, encoded: Any) -> tuple[x509.Certificate, tuple[str, ...]]:
        try:
            leaf = x509.load_der_x509_certificate(decode_b64jose(encoded))
        except (JoseError, ValueError, TypeError, AttributeError) as error:
            raise Refused("malformed", "The certificate cannot be read.") from error
        try:
            leaf.verify_directly_issued_by(self._signer.certificate)
            san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (ValueError, TypeError, InvalidSignature) as error:
            raise Refused("malformed", "The certificate is from another CA.", status=404) from error
        addresses = (str(address) for address in san.get_values_for_type(x509.IPAddress))
        return leaf, (*san.get_values_for_type(x509.DNSName), *addresses)

    def _may_revoke(self, call: Call, leaf: x509.Certificate, names: tuple[str, ...]) -> bool:
        if call.account is None:
            assert call.key is not None  # noqa: S101 (the signature was verified)
            return public_der(call.key.key) == public_der(leaf.public_key())
        issued = self._memory.issued.get(leaf.serial_number)
        if issued and issued.account == call.account.id:
            return True
        return self._memory.authorized(call.account.id, names, self._clock())


def _parts_of(cert_id: Any) -> tuple[bytes, bytes] | None:
    """
    Return the key identifier and the serial number in *cert_id*; None if it is not an ID of a certificate.
    """
    # RFC 9773, section 4.1: base64url of the key identifier, a dot, base64url of the serial number.
    key_identifier, dot, serial = cert_id.partition(".") if isinstance(cert_id, str) else ("", "", "")
    try:
        return (decode_b64jose(key_identifier), decode_b64jose(serial)) if dot else None
    except (JoseError, ValueError):
        return None
