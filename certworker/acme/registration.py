"""
The registration of the account with the CA (RFC 8555, section 7.3).
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
from certworker.acme.session import Session, Signer, sign_jws
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

#: The maximum time after a key change during which some servers of a CA may not know the new key.
KEY_CHANGE_LAG = timedelta(minutes=1)


@dataclass(frozen=True)
class ExternalAccountBinding:
    """
    The credentials of an external account (RFC 8555, section 7.3.4), which the CA shows on its website.
    """

    key_id: str
    #: The MAC key in base64url, without padding.
    hmac_key: str = field(repr=False)

    def binding(self, key: JWKEC, url: str) -> dict[str, str]:
        """
        Return the JWS that binds the account *key* to the external account.

        Args:
            url: The newAccount URL of the CA.
        """
        public = json.dumps(key.public_key().to_partial_json()).encode()
        secret = JWKOct(key=decode_b64jose(self.hmac_key))
        return sign_jws(public, {"url": url, "kid": self.key_id}, secret, HS256)


class AccountRegistration:
    """
    Finds, registers and updates the account at one CA.

    Args:
        contact: The e-mail address of the account, if any.
        external_account: The external account that the CA binds a new account to, if any.
    """

    def __init__(
        self,
        session: Session,
        files: AccountFiles,
        contact: str | None,
        external_account: ExternalAccountBinding | None,
    ) -> None:
        self._session = session
        self._files = files
        self._contact = contact
        self._external_account = external_account
        # The threads of this worker share one request to the CA.
        self._ensuring: Shared[Account] = Shared()
        self._reregistering: Shared[Account] = Shared()

    @property
    def thumbprint(self) -> str:
        """
        Return the thumbprint of the account key. Generate a key if there is none. Send no request to the CA.

        Raises:
            AccountKeyUnreadable: The key is unusable.
            CertworkerError: The volume is not writable.
        """
        account = self._files.read()
        if account is None:
            with self._files.locked():
                account = self._files.make_key()
        return account.thumbprint

    @property
    def url(self) -> str | None:
        """
        Return the URL of the account on the volume; None if unknown. Send no request to the CA.

        Raises:
            AccountKeyUnreadable: The key is unusable.
        """
        account = self._files.read()
        return account.url if account else None

    def check(self) -> None:
        """
        Raise an error if no account is known and the settings lack what a new account needs. Change nothing.

        Raises:
            AccountKeyUnreadable: The key is unusable.
            ExternalAccountRequired: A new account needs an external account binding, and none is set.
            CertworkerError: The directory of the CA cannot be read.
        """
        account = self._files.read()
        if account is None or account.url is None:
            self._refuse_unbound()

    def ensure(self) -> Account:
        """
        Return the account. Register it with the CA, and update its contact, if necessary.

        Raises:
            CertworkerError: The key or the volume is unusable, or the CA refuses, is busy, or does not
                respond.
        """
        account = self._files.read()
        if account is not None and self._is_current(account) and not self._files.changing:
            return account
        return self._ensuring(self._ensure)

    def _ensure(self) -> Account:
        with self._files.locked():
            # Another worker may have registered the account while this one waited for the lock.
            account = self.resolve_key_change(self._files.make_key())
            if self._is_current(account):
                return account
            if account.url is not None:
                with suppress(AccountGone, AccountDeactivated):
                    return self._update(account, account.url)
            return self._find_or_register(account)

    def find(self) -> Account | None:
        """
        Return the account, or None if there is no key, or no account for it at the CA.

        Update the contact of an existing account, but do not register a new one.

        Raises:
            AccountDeactivated: The account is deactivated.
            CertworkerError: The key or the volume is unusable, or the CA refuses, is busy, or does not
                respond.
        """
        account = self._files.read()
        if account is None or (self._is_current(account) and not self._files.changing):
            return account
        with self._files.locked():
            account = self._files.read()
            if account is None:
                return None
            account = self.resolve_key_change(account)
            if account.url is not None:
                with suppress(AccountGone, AccountDeactivated):
                    return self._update(account, account.url)
            try:
                return self._find(account)
            except AccountGone:
                return None

    def reregister(self, lost: Account) -> Account:
        """
        Return a usable account instead of *lost*, which the CA no longer knows or has deactivated.

        Raises:
            CertworkerError: As for :meth:`ensure`.
        """
        return self._reregistering(partial(self._reregister, lost))

    def _reregister(self, lost: Account) -> Account:
        with self._files.locked():
            account = self._files.make_key()
            if account.url is not None and account.url != lost.url:
                return account
            logger.warning("%s does not accept the account; looking it up by its key", self._session.title)
            return self._find_or_register(account)

    def has_changed(self, account: Account) -> bool:
        """
        Return whether the account key is no longer that of *account*.
        """
        current = self._files.read()
        return current is None or current.thumbprint != account.thumbprint

    def resolve_key_change(self, account: Account) -> Account:
        """
        Return the account with the key that the CA knows, after an interrupted key change.

        The caller holds the lock. The servers of a CA may lag behind, so this method does not immediately
        remove an unknown next key.

        Raises:
            AccountGone: The CA knows neither key yet.
            CertworkerError: The next key or the volume is unusable, or the CA refuses, is busy, or does not
                respond.
        """
        next_key = self._files.next_key()
        if next_key is None:
            return account
        if self._is_known(next_key):
            self._files.promote_next_key()
            logger.info("the key of the account at %s has changed", self._session.title)
        elif self._files.next_key_age() > KEY_CHANGE_LAG:
            self._files.drop_next_key()
        elif not self._is_known(account.key):
            raise AccountGone(authority=self._session.title)
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
            backup = self._files.retire_key()
            logger.warning(
                "the account at %s is deactivated; registering a new one; the old key is now in %s",
                self._session.title,
                backup,
                extra={"code": AccountDeactivated.code},
            )
            return self._register(self._files.make_key())

    def _find(self, account: Account) -> Account:
        reply = self._new_account(account, {"onlyReturnExisting": True})
        status = reply.document.get("status")
        if status == "deactivated":
            raise AccountDeactivated(authority=self._session.title)
        if status == "revoked":
            # The CA has revoked the account (section 7.1.6): certworker must not register another one.
            raise AccountBlocked(authority=self._session.title, detail="the account is revoked.")
        url = reply.location
        self._files.remember(url, account.contact)
        return self._update(account, url)

    def _register(self, account: Account) -> Account:
        self._refuse_unbound()
        payload: dict[str, object] = {"termsOfServiceAgreed": True, "contact": self._contacts}
        if self._external_account:
            url = self._session.directory().new_account
            payload["externalAccountBinding"] = self._external_account.binding(account.key, url)
        try:
            reply = self._new_account(account, payload)
        except (Malformed, UnknownProblem) as refused:
            # ACME has no problem type for a wrong binding: CAs respond with `unauthorized` or `malformed`.
            if self._external_account is None:
                raise
            raise ExternalAccountRequired(
                authority=self._session.title, detail=refused.message, problem=refused.problem
            ) from refused
        self._files.remember(reply.location, self._contact)
        logger.info("registered an account with %s", self._session.title, extra={"event": "registered"})
        return self._files.make_key()

    def _refuse_unbound(self) -> None:
        if self._session.directory().external_account_required and self._external_account is None:
            raise ExternalAccountRequired(authority=self._session.title, detail="no binding is set.")

    def _update(self, account: Account, url: str) -> Account:
        self._session.post(url, {"contact": self._contacts}, Signer(account.key, url))
        self._files.remember(url, self._contact)
        return self._files.make_key()

    def _new_account(self, account: Account, payload: dict[str, object]) -> Reply:
        # The request contains the key instead of an account URL (section 6.2).
        return self._session.post(self._session.directory().new_account, payload, Signer(account.key))

    @property
    def _contacts(self) -> list[str]:
        return [f"mailto:{self._contact}"] if self._contact else []
