"""
Accounts and revocations at CAs that others wrote.
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
    A name that no test has used at this CA.
    """
    return f"account{next(NUMBERS)}.localhost"


@pytest.fixture
def admin(app: App) -> AccountAdmin:
    """
    The account at the CA, in the hands of a person.
    """
    (issuer,) = app.issuers
    return issuer.client.account_admin


def issued(app: App, name: str) -> Certificate:
    """
    A certificate for *name*, in service.
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
        Whichever of the two proofs the CA takes: the key of the account, or that of the certificate.
        """
        certificate = issued(app, name)

        assert admin.revoke(certificate, reason)
        assert not admin.revoke(certificate, reason)

    def test_the_key_of_the_certificate_will_do_where_the_account_has_ended(
        self, app: App, admin: AccountAdmin, authority: ForeignAuthority, name: str
    ) -> None:
        """
        An account was deactivated, or its volume lost.
        """
        certificate = issued(app, name)
        admin.deactivate()

        if authority.takes_the_key_of_a_certificate:
            assert admin.revoke(certificate, "superseded")
        else:
            with pytest.raises(RevocationRefused):
                admin.revoke(certificate, "superseded")


class TestAccount:
    def test_its_key_is_changed_or_the_ca_is_reported_as_unable_to(
        self, app: App, admin: AccountAdmin, authority: ForeignAuthority, name: str
    ) -> None:
        """
        The account works on either way.
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

    def test_after_its_end_the_next_order_makes_another_one(
        self, app: App, admin: AccountAdmin, name: str
    ) -> None:
        """
        A deactivated account never comes back.
        """
        issued(app, name)
        before = admin.info()
        admin.deactivate()
        issued(app, name)
        after = admin.info()

        assert before is not None
        assert after is not None
        assert before.url != after.url
