"""
The account at the CA (RFC 8555, section 7.3): found by its key, registered, kept up to date.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from josepy.json_util import decode_b64jose
from josepy.jwa import HS256
from josepy.jwk import JWKEC, JWKOct

from certworker.acme.account import Account, AccountFiles
from certworker.acme.jws import Signer, sign_jws
from certworker.acme.session import Session
from certworker.acme.sharing import Shared
from certworker.acme.transport import Reply
from certworker.errors.acct import (
    AccountBlocked,
    AccountDeactivated,
    AccountGone,
    ExternalAccountRequired,
)
from certworker.errors.acme import Malformed, UnknownProblem

logger = logging.getLogger(__name__)

#: So long after a change of the key the CA may still answer from a time before it.
KEY_CHANGE_LAG = timedelta(minutes=1)


@dataclass(frozen=True)
class ExternalAccountBinding:
    """
    What the CA's web site shows for such an account.
    """

    key_id: str
    #: In base64url, without padding.
    hmac_key: str = field(repr=False)

    def binding(self, key: JWKEC, url: str) -> dict[str, str]:
        """
        The proof for the CA, at whose newAccount *url* it is, that our account's *key* belongs to it.
        """
        public = json.dumps(key.public_key().to_partial_json()).encode()
        secret = JWKOct(key=decode_b64jose(self.hmac_key))
        return sign_jws(public, {"url": url, "kid": self.key_id}, secret, HS256)


class AccountRegistration:
    """
    Our account at one CA.

    Args:
        contact: The e-mail address where the CA may write to; None: it is told none.
        external_account: The account on the CA's web site that a new one of ours is bound to.
    """

    def __init__(
        self,
        network: Session,
        files: AccountFiles,
        contact: str | None,
        external_account: ExternalAccountBinding | None,
    ) -> None:
        self._network = network
        self._files = files
        self._contact = contact
        self._external_account = external_account
        # The threads of this worker wait for the CA together, not one after the other.
        self._making: Shared[Account] = Shared()
        self._renewing: Shared[Account] = Shared()

    @property
    def thumbprint(self) -> str:
        """
        The fingerprint of the account's key, which is made if there is none. The CA is not asked.

        Raises:
            AccountKeyUnreadable: The key is damaged.
            CertworkerError: The volume cannot be written.
        """
        account = self._files.read()
        if account is None:
            with self._files.locked():
                account = self._files.make_key()
        return account.thumbprint

    @property
    def url(self) -> str | None:
        """
        The account's URL at the CA, as far as the volume knows it. The CA is not asked.

        Raises:
            AccountKeyUnreadable: The key is damaged.
        """
        account = self._files.read()
        return account.url if account else None

    def check(self) -> None:
        """
        Make sure that there is an account, or could be one. Nothing is made, and the CA is not asked for it.

        Raises:
            AccountKeyUnreadable: The key is damaged.
            ExternalAccountRequired: A new one would have to be bound, and nothing is set for that.
        """
        account = self._files.read()
        if account is None or account.url is None:
            self._refuse_unbound()

    def ensure(self) -> Account:
        """
        The account, known to the CA and with the contact that is set.

        Raises:
            CertworkerError: The key is damaged, the volume cannot be written, or the CA refuses.
        """
        account = self._files.read()
        if account is not None and self._is_current(account) and not self._files.changing:
            return account
        return self._making(self._made)

    def _made(self) -> Account:
        with self._files.locked():
            # Look again: another worker may have done it while we waited.
            account = self.settled(self._files.make_key())
            if self._is_current(account):
                return account
            if account.url is not None:
                with suppress(AccountGone, AccountDeactivated):
                    return self._update(account, account.url)
            return self._find_or_register(account)

    def reregister(self, lost: Account) -> Account:
        """
        The account, after the CA did not know *lost* or had deactivated it.

        Raises:
            CertworkerError: As for :meth:`account`.
        """
        return self._renewing(partial(self._renewed, lost))

    def _renewed(self, lost: Account) -> Account:
        with self._files.locked():
            account = self._files.make_key()
            if account.url is not None and account.url != lost.url:
                return account
            logger.warning("%s does not accept our account; asking for it with its key", self._network.title)
            return self._find_or_register(account)

    def has_changed(self, account: Account) -> bool:
        """
        Whether the key of *account* is no longer the account's.
        """
        present = self._files.read()
        return present is None or present.thumbprint != account.thumbprint

    def settled(self, account: Account) -> Account:
        """
        Return the account with the key that the CA knows: a change may have been cut off. Under the lock.

        Servers of a CA may read from replicas: a key that it does not know yet is kept for a while.

        Raises:
            AccountGone: The CA knows neither key yet.
        """
        next_key = self._files.next_key()
        if next_key is None:
            return account
        if self._is_known(next_key):
            self._files.promote_next_key()
            logger.info("The key of the account at %s has been changed", self._network.title)
        elif self._files.next_key_age() > KEY_CHANGE_LAG:
            self._files.drop_next_key()
        elif not self._is_known(account.key):
            raise AccountGone(authority=self._network.title)
        return self._files.make_key()

    def _is_known(self, key: JWKEC) -> bool:
        try:
            self._new_account(Account(key), {"onlyReturnExisting": True})
        except AccountGone:
            return False
        except AccountDeactivated:
            pass
        return True

    def _is_current(self, account: Account) -> bool:
        return account.url is not None and account.contact == self._contact

    def _find_or_register(self, account: Account) -> Account:
        try:
            return self._find(account)
        except AccountGone:
            return self._register(account)
        except AccountDeactivated:
            kept = self._files.retire_key()
            logger.warning(
                "Our account at %s has been deactivated: making a new one; the old key is kept in %s",
                self._network.title,
                kept,
                extra={"code": AccountDeactivated.code},
            )
            return self._register(self._files.make_key())

    def _find(self, account: Account) -> Account:
        reply = self._new_account(account, {"onlyReturnExisting": True})
        status = reply.document.get("status")
        if status == "deactivated":
            raise AccountDeactivated(authority=self._network.title)
        if status == "revoked":
            # By the CA (section 7.1.6): a new account would be another's wish than the CA's.
            raise AccountBlocked(authority=self._network.title, detail="it has revoked the account.")
        url = reply.location
        self._files.remember(url, account.contact)
        return self._update(account, url)

    def _register(self, account: Account) -> Account:
        self._refuse_unbound()
        wanted: dict[str, object] = {"termsOfServiceAgreed": True, "contact": self._contacts}
        if self._external_account:
            url = self._network.directory().new_account
            wanted["externalAccountBinding"] = self._external_account.binding(account.key, url)
        try:
            reply = self._new_account(account, wanted)
        except (Malformed, UnknownProblem) as refused:
            # CAs have no type of problem for it: a wrong binding is `unauthorized` or `malformed`.
            if self._external_account is None:
                raise
            raise ExternalAccountRequired(
                authority=self._network.title, detail=refused.message, problem=refused.problem
            ) from refused
        self._files.remember(reply.location, self._contact)
        logger.info("Registered an account at %s", self._network.title, extra={"event": "registered"})
        return self._files.make_key()

    def _refuse_unbound(self) -> None:
        if self._network.directory().external_account_required and self._external_account is None:
            raise ExternalAccountRequired(authority=self._network.title, detail="none is set")

    def _update(self, account: Account, url: str) -> Account:
        self._network.post(url, {"contact": self._contacts}, Signer(account.key, url))
        self._files.remember(url, self._contact)
        return self._files.make_key()

    def _new_account(self, account: Account, payload: dict[str, object]) -> Reply:
        # Signed with the key itself, not in the name of an account (section 6.2).
        return self._network.post(self._network.directory().new_account, payload, Signer(account.key))

    @property
    def _contacts(self) -> list[str]:
        return [f"mailto:{self._contact}"] if self._contact else []
