"""
What becomes of a certificate: download, revocation, renewal (RFC 8555, section 7.6; RFC 9773).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from josepy.errors import Error as JoseError
from josepy.json_util import decode_b64jose

from certworker.devca.accounts import Account
from certworker.devca.messages import Call, Reply, document
from certworker.devca.policy import Policy, Window
from certworker.devca.problems import Refused
from certworker.devca.resources import Issued, Memory, rfc3339
from certworker.devca.signer import Signer, public_der, validity

#: Where the suggested window begins and ends, as shares of the life that are left.
WINDOW = (0.35, 0.30)
#: How often clients are to ask: four times a day, more often for certificates that live minutes.
LONGEST_PAUSE = timedelta(hours=6)
SHARE_BETWEEN_LOOKS = 0.04


class Certification:
    """
    The desk for certificates.
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
        The chain, leaf first, with links to the others there are (RFC 8555, section 7.4.2).
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
        others = [each for each in range(len(chains)) if each != int(chain or 0)]
        links = [f'<{call.url("certificate", f"{serial}-{each}")}>;rel="alternate"' for each in others]
        headers = {"Link": ", ".join(links)} if links else {}
        return Reply(200, body, "application/pem-certificate-chain", headers, names=issued.names)

    def revoke(self, call: Call) -> Reply:
        """
        revokeCert: by its account, by one that holds all its names, or by its own key.
        """
        leaf, names = self._leaf(call.fields.get("certificate"))
        if not self._may_revoke(call, leaf, names):
            raise Refused("unauthorized", "The certificate is not yours.")
        reason = call.fields.get("reason", 0)
        if not isinstance(reason, int) or reason not in range(11) or reason == 7:
            raise Refused("badRevocationReason", "There is no such reason.")
        if leaf.serial_number in self._memory.revoked:
            raise Refused("alreadyRevoked", "The certificate is revoked already.")
        self._memory.revoked.add(leaf.serial_number)
        return Reply(names=names)

    def renewal_info(self, call: Call) -> Reply:
        """
        When to renew the certificate that the URL names (RFC 9773, section 4).
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
        pause = min(LONGEST_PAUSE, (dates[1] - dates[0]) * SHARE_BETWEEN_LOOKS)
        headers = {"Retry-After": str(max(1, int(pause.total_seconds())))}
        return document(content, headers=headers, names=names)

    def replaceable(self, owner: Account, replaces: Any, names: tuple[str, ...]) -> int | None:
        """
        The serial number of the certificate that an order for *names* says it replaces.

        Raises:
            Refused: ``alreadyReplaced`` (409), or it is not a certificate of *owner* that shares a name.
        """
        if replaces is None:
            return None
        serial = self._serial(replaces)
        if serial is None:
            raise Refused("malformed", "The certificate to be replaced is not one of ours.")
        issued = self._memory.issued.get(serial)
        # One of ours that was issued before a restart is taken on trust.
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
        now, life = self._clock(), not_after - not_before
        recalled = self._policy.recalled_before and not_before < self._policy.recalled_before
        if recalled or serial in self._memory.revoked:
            return Window(now - timedelta(hours=2), now - timedelta(hours=1))
        for name in (*names, ""):
            if name in self._policy.windows:
                return self._policy.windows[name]
        start, end = (not_after - life * share for share in WINDOW)
        return Window(start, end)

    def _serial(self, cert_id: Any) -> int | None:
        # RFC 9773, section 4.1: base64url of the key identifier, a dot, base64url of the serial number.
        key_identifier, _, serial = cert_id.partition(".") if isinstance(cert_id, str) else ("", "", "")
        try:
            if decode_b64jose(key_identifier) != self._signer.key_identifier:
                return None
            return int.from_bytes(decode_b64jose(serial), "big")
        except (JoseError, ValueError):
            return None

    def _names(self, serial: int) -> tuple[str, ...]:
        issued = self._memory.issued.get(serial)
        return issued.names if issued else ()

    def _leaf(self, encoded: Any) -> tuple[x509.Certificate, tuple[str, ...]]:
        try:
            leaf = x509.load_der_x509_certificate(decode_b64jose(encoded))
            leaf.verify_directly_issued_by(self._signer.certificate)
            san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (JoseError, ValueError, TypeError, AttributeError, InvalidSignature) as error:
            raise Refused("malformed", "This is not a certificate of ours.", status=404) from error
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
