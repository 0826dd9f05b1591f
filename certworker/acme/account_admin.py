"""
The operator's actions on the account and its certificates: show, change the key, revoke, deactivate.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.json_util import encode_b64jose
from josepy.jwk import JWKEC

from certworker.acme.account import Account, AccountFiles
from certworker.acme.problems import decides, detail_of, was_conflict
from certworker.acme.registration import AccountRegistration
from certworker.acme.session import Session, Signer
from certworker.certificates import Certificate
from certworker.errors import CertworkerError, printable
from certworker.errors.acct import (
    AccountBlocked,
    AccountDeactivated,
    AccountGone,
    AccountKeyUnreadable,
    KeyChangeRefused,
)
from certworker.errors.acme import RevocationRefused
from certworker.errors.ca import NotAcme

#: The reasons that the owner of a certificate may give, with their codes (RFC 5280, section 5.3.1).
REASONS = {
    "unspecified": 0,
    "keyCompromise": 1,
    "affiliationChanged": 3,
    "superseded": 4,
    "cessationOfOperation": 5,
}
KEY_COMPROMISE = "keyCompromise"

#: These failures mean that the CA refuses every request from the account.
LOST = (AccountBlocked, AccountDeactivated, AccountGone)
#: After these failures, the other key signs the revocation, even without a problem document from the CA.
WITHOUT_PROBLEM = (AccountKeyUnreadable, NotAcme, *LOST)


@dataclass(frozen=True)
class AccountInfo:
    """
    The account at the CA.
    """

    url: str
    #: `valid`, `deactivated` or `revoked`; `unknown` if the CA does not state it.
    status: str
    contacts: tuple[str, ...]
    #: The thumbprint of the account key (RFC 7638).
    thumbprint: str
    key_path: Path


class AccountAdmin:
    """
    The operator's actions on the account and its certificates.
    """

    def __init__(self, session: Session, files: AccountFiles, registration: AccountRegistration) -> None:
        self._session = session
        self._files = files
        self._registration = registration

    def info(self) -> AccountInfo | None:
        """
        Return the account at the CA, or None if there is no account.

        Update the contact of an existing account if necessary, but do not register a new one.

        Raises:
            CertworkerError: The key or the volume is unusable, or the CA refuses, is busy, or does not
                respond.
        """
        account = self._registration.find()
        if account is None:
            return None
        document = self._session.post(str(account.url), None, account.signer).document
        contacts = document.get("contact")
        return AccountInfo(
            url=str(account.url),
            status=printable(document.get("status", "unknown")),
            contacts=tuple(map(printable, contacts)) if isinstance(contacts, list) else (),
            thumbprint=account.thumbprint,
            key_path=self._files.key_path,
        )

    def rotate_key(self) -> None:
        """
        Change the account key (RFC 8555, section 7.3.5). Register an account first if there is none.

        The new key is stored before the request. After an interruption, the next use of the account
        determines which key the CA knows.

        Raises:
            KeyChangeRefused: The CA refuses the change or does not offer it; the account keeps its key.
            CertworkerError: As for :meth:`info`. The next use of the account determines which key the CA
                knows.
        """
        self._registration.ensure()
        with self._files.locked():
            account = self._files.make_key()
            url = self._session.directory().change_key
            if url is None:
                raise KeyChangeRefused(
                    authority=self._session.title, detail="its directory has no keyChange."
                )
            resumed = self._files.changing
            next_key = self._files.make_next_key()
            try:
                self._change_key(url, account, next_key)
            except CertworkerError as refused:
                if was_conflict(refused) and self._registration.resolve_key_change(account).key == next_key:
                    return
                # The CA may already know the key of an earlier attempt. The next use of the account
                # determines whether it does.
                if resumed or not decides(refused) or isinstance(refused, LOST):
                    raise
                self._files.drop_next_key()
                raise KeyChangeRefused(
                    authority=self._session.title, detail=detail_of(refused), problem=refused.problem
                ) from refused
            self._files.promote_next_key()

    def _change_key(self, url: str, account: Account, next_key: JWKEC) -> None:
        inner = {"account": account.url, "oldKey": account.key.public_key().to_partial_json()}
        signed = Signer(next_key).sign(inner, None, url)
        self._session.post(url, json.loads(signed), account.signer)

    def deactivate(self) -> Path | None:
        """
        Deactivate the account. Return the path of the key's backup, or None if there was no account.

        Do not register an account; the next order does.

        Raises:
            CertworkerError: As for :meth:`info`.
        """
        account = self._registration.find()
        if account is None:
            return None
        self._session.post(str(account.url), {"status": "deactivated"}, account.signer)
        with self._files.locked():
            return self._files.retire_key()

    def revoke(self, certificate: Certificate, reason: str) -> bool:
        """
        Revoke *certificate* (RFC 8555, section 7.6). Return False if it was already revoked.

        Either the account key or the key of the certificate signs the request. A CA may accept only one of
        them, so after a refusal, the other key signs. For the reason `keyCompromise`, the key of the
        certificate signs first: with this proof, the CA may refuse all further certificates for the key.

        Args:
            reason: One of :data:`REASONS`.

        Raises:
            RevocationRefused: The CA accepts neither signature, or offers no revocation.
            CertworkerError: The CA is busy or does not respond, or the volume is not usable.
        """
        url = self._session.directory().revoke
        if url is None:
            raise RevocationRefused(
                authority=self._session.title,
                detail="its directory has no revokeCert.",
                serial=certificate.serial,
            )
        leaf = x509.load_pem_x509_certificate(certificate.cert_pem).public_bytes(Encoding.DER)
        payload: dict[str, Any] = {"certificate": encode_b64jose(leaf), "reason": REASONS[reason]}
        own_key = partial(Signer.of_certificate, certificate.key)
        proofs: list[Callable[[], Signer | None]] = [self._account_signer, own_key]
        refusals: list[CertworkerError] = []
        for proof in reversed(proofs) if reason == KEY_COMPROMISE else proofs:
            try:
                if signer := proof():
                    return self._revoke(url, payload, signer)
            except CertworkerError as failure:
                if failure.problem is None and not isinstance(failure, WITHOUT_PROBLEM):
                    raise  # The CA has not refused the request.
                refusals.append(failure)
        for refused in refusals:
            if refused.problem and not decides(refused):
                raise refused
        raise RevocationRefused(
            authority=self._session.title,
            detail=" ".join(dict.fromkeys(map(detail_of, refusals))),
            serial=certificate.serial,
            problem=refusals[-1].problem,
        ) from refusals[-1]

    def _account_signer(self) -> Signer | None:
        account = self._registration.find()
        return account.signer if account else None

    def _revoke(self, url: str, payload: dict[str, Any], signer: Signer) -> bool:
        try:
            self._session.post(url, payload, signer)
        except CertworkerError as refused:
            if refused.problem and refused.problem["type"].endswith(":alreadyRevoked"):
                return False
            raise
        return True
