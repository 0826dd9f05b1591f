"""
Accounts and revocations at CAs that others wrote.
"""

from __future__ import annotations

from itertools import count

import pytest

from certworker.acme.custody import Custody
from certworker.assembly import House
from certworker.certificates import Certificate
from certworker.errors.authority import KeyChangeRefused, RevocationRefused
from tests.interop.authorities import ForeignAuthority

NUMBERS = count(1)


@pytest.fixture
def name() -> str:
    """
    A name that no test has used at this CA.
    """
    return f"custody{next(NUMBERS)}.localhost"


@pytest.fixture
def custody(house: House) -> Custody:
    """
    The account at the CA, in the hands of a person.
    """
    (desk,) = house.desks
    return desk.authority.custody


def issued(house: House, name: str) -> Certificate:
    """
    A certificate for *name*, in service.
    """
    house.issuer.issue((name,), force=True)
    stored = house.volume.current(name)
    assert stored is not None
    return stored.certificate


class TestRevoke:
    @pytest.mark.parametrize("reason", ["unspecified", "keyCompromise", "superseded"])
    def test_a_certificate_is_revoked_once(
        self, house: House, custody: Custody, name: str, reason: str
    ) -> None:
        """
        Whichever of the two proofs the CA takes: the key of the account, or that of the certificate.
        """
        certificate = issued(house, name)

        assert custody.revoke(certificate, reason)
        assert not custody.revoke(certificate, reason)

    def test_the_key_of_the_certificate_will_do_where_the_account_has_ended(
        self, house: House, custody: Custody, authority: ForeignAuthority, name: str
    ) -> None:
        """
        An account was deactivated, or its volume lost.
        """
        certificate = issued(house, name)
        custody.deactivate()

        if authority.takes_the_key_of_a_certificate:
            assert custody.revoke(certificate, "superseded")
        else:
            with pytest.raises(RevocationRefused):
                custody.revoke(certificate, "superseded")


class TestAccount:
    def test_its_key_is_changed_or_the_ca_is_reported_as_unable_to(
        self, house: House, custody: Custody, authority: ForeignAuthority, name: str
    ) -> None:
        """
        The account works on either way.
        """
        issued(house, name)
        before = custody.show()
        if authority.changes_keys:
            custody.change_key()
        else:
            with pytest.raises(KeyChangeRefused):
                custody.change_key()
        after = custody.show()

        assert before is not None
        assert after is not None
        assert before.url == after.url
        assert authority.changes_keys is (before.thumbprint != after.thumbprint)
        assert issued(house, name)

    def test_after_its_end_the_next_order_makes_another_one(
        self, house: House, custody: Custody, name: str
    ) -> None:
        """
        A deactivated account never comes back.
        """
        issued(house, name)
        before = custody.show()
        custody.deactivate()
        issued(house, name)
        after = custody.show()

        assert before is not None
        assert after is not None
        assert before.url != after.url
