"""
What a person may do with the account, and with its certificates: look, change the key, revoke, end it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.json_util import encode_b64jose

from certworker.acme.account import AccountFiles
from certworker.acme.jws import Signer
from certworker.acme.network import Network
from certworker.acme.registration import Registration
from certworker.certificates import Certificate
from certworker.errors import CertworkerError
from certworker.errors.authority import AccountGone, NotAcme, UnknownProblem

#: Why a certificate is revoked, as far as its owner may say so (RFC 5280, section 5.3.1).
REASONS = {
    "unspecified": 0,
    "keyCompromise": 1,
    "affiliationChanged": 3,
    "superseded": 4,
    "cessationOfOperation": 5,
}
KEY_COMPROMISE = "keyCompromise"


@dataclass(frozen=True)
class AccountSheet:
    """
    An account as its CA knows it.
    """

    url: str
    #: valid, deactivated or revoked.
    status: str
    contacts: tuple[str, ...]
    #: The fingerprint of its key (RFC 7638).
    thumbprint: str
    key_path: Path


class Custody:
    """
    The account, in the hands of a person.
    """

    def __init__(self, network: Network, files: AccountFiles, registration: Registration) -> None:
        self._network = network
        self._files = files
        self._registration = registration

    def show(self) -> AccountSheet | None:
        """
        The account as the CA knows it; None if there is none yet, and none is made.

        Raises:
            CertworkerError: The key is damaged, or the CA refuses or does not answer.
        """
        if self._files.read() is None:
            return None
        account = self._registration.account()
        told = self._network.post(str(account.url), None, account.signer).document
        contacts = told.get("contact")
        return AccountSheet(
            url=str(account.url),
            status=str(told.get("status")),
            contacts=tuple(map(str, contacts)) if isinstance(contacts, list) else (),
            thumbprint=account.thumbprint,
            key_path=self._files.key_path,
        )

    def change_key(self) -> None:
        """
        Give the account a new key (RFC 8555, section 7.3.5).

        It is durable before the CA is told. Wherever that is cut off, the next request finds out by itself
        which of the two keys the CA knows.

        Raises:
            CertworkerError: As for :meth:`show`; which key the CA knows is found out by the next request.
        """
        self._registration.account()
        with self._files.locked():
            account = self._files.make_key()
            url = self._offered(self._network.directory().change_key, "keyChange")
            inner = {"account": account.url, "oldKey": account.key.public_key().to_partial_json()}
            signed = Signer(self._files.make_next_key()).sign(inner, None, url)
            self._network.post(url, json.loads(signed), account.signer)
            self._files.promote_next_key()

    def deactivate(self) -> Path | None:
        """
        End the account for ever; return where its key is kept, or None if there was no account.

        The next order makes another account.
        """
        if self._files.read() is None:
            return None
        account = self._registration.account()
        self._network.post(str(account.url), {"status": "deactivated"}, account.signer)
        with self._files.locked():
            return self._files.retire_key()

    def revoke(self, certificate: Certificate, reason: str) -> bool:
        """
        Revoke *certificate* (RFC 8555, section 7.6); return whether it was not revoked before.

        For a key that others know, its own signature is the proof; otherwise the account's will do, and that
        of the certificate's key again if the account is another one today.

        Args:
            reason: One of :data:`REASONS`.

        Raises:
            CertworkerError: The CA refuses or does not answer.
        """
        leaf = x509.load_pem_x509_certificate(certificate.cert_pem).public_bytes(Encoding.DER)
        wanted: dict[str, Any] = {"certificate": encode_b64jose(leaf), "reason": REASONS[reason]}
        own_key = Signer.of_certificate(certificate.key)
        if reason == KEY_COMPROMISE or self._files.read() is None:
            return self._revoke(wanted, own_key)
        try:
            return self._revoke(wanted, self._registration.account().signer)
        except (AccountGone, UnknownProblem):
            return self._revoke(wanted, own_key)

    def _revoke(self, wanted: dict[str, Any], signer: Signer) -> bool:
        url = self._offered(self._network.directory().revoke, "revokeCert")
        try:
            self._network.post(url, wanted, signer)
        except CertworkerError as refused:
            if refused.problem and refused.problem["type"].endswith(":alreadyRevoked"):
                return False
            raise
        return True

    def _offered(self, url: str | None, kind: str) -> str:
        if url is None:
            raise NotAcme(host=self._network.title, found=f"no {kind} in its directory")
        return url
