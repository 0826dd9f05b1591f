"""
Accounts and revocations at CAs of other projects.
"""

from __future__ import annotations

from itertools import count

import pytest

from certworker.acme.account_admin import AccountAdmin
from certworker.app import App
from certworker.certificates import Certificate
from certworker.errors.acct import KeyChangeRefused
from certworker.errors.acme import RevocationRefused
from tests.interop.authorities import ForeignAuthority

NUMBERS = count(1)


@pytest.fixture
def name() -> str:
    """
    Return a name that no test has used at this CA.
    """
    return f"account{next(NUMBERS)}.localhost"


@pytest.fixture
def admin(app: App) -> AccountAdmin:
    """
    Return the administration of the account at the CA.
    """
    (issuer,) = app.issuers
    return issuer.client.account_admin


def issued(app: App, name: str) -> Certificate:
    """
    Issue a certificate for *name*, and return it.
    """
    app.issuance.issue((name,), force=True)
    stored = app.certificates.current(name)
    assert stored is not None
    return stored.certificate


class TestRevoke:
    @pytest.mark.parametrize("reason", ["unspecified", "keyCompromise", "superseded"])
    def test_a_certificate_is_revoked_once(
        self, app: App, admin: AccountAdmin, name: str, reason: str
    ) -> None:
        """
        The CA revokes a certificate once, with the key of the account or of the certificate as the proof.
        """
        certificate = issued(app, name)

        assert admin.revoke(certificate, reason)
        assert not admin.revoke(certificate, reason)

    def test_the_key_of_the_certificate_is_a_proof_without_the_account(
        self, app: App, admin: AccountAdmin, authority: ForeignAuthority, name: str
    ) -> None:
        """
        The key of the certificate is a proof for the revocation after the deactivation of the account.
        """
        certificate = issued(app, name)
        admin.deactivate()

        if authority.takes_the_key_of_a_certificate:
            assert admin.revoke(certificate, "superseded")
        else:
            with pytest.raises(RevocationRefused):
                admin.revoke(certificate, "superseded")


class TestAccount:
    def test_its_key_is_changed_or_the_missing_feature_is_reported(
        self, app: App, admin: AccountAdmin, authority: ForeignAuthority, name: str
    ) -> None:
        """
        The account is usable after a key change, and after the report of a CA that does not change keys.
        """
        issued(app, name)
        before = admin.info()
        if authority.changes_keys:
            admin.rotate_key()
        else:
            with pytest.raises(KeyChangeRefused):
                admin.rotate_key()
        after = admin.info()

        assert before is not None
        assert after is not None
        assert before.url == after.url
        assert authority.changes_keys is (before.thumbprint != after.thumbprint)
        assert issued(app, name)

    def test_after_a_deactivation_the_next_order_registers_a_new_account(
        self, app: App, admin: AccountAdmin, name: str
    ) -> None:
        """
        The next order after a deactivation registers a new account.
        """
        issued(app, name)
        before = admin.info()
        admin.deactivate()
        issued(app, name)
        after = admin.info()

        assert before is not None
        assert after is not None
        assert before.url != after.url
