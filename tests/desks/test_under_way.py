"""
Orders under way at one CA: what an attempt leaves for the next one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.assembly import House
from certworker.desks.desk import Desk
from certworker.development.authority import DevelopmentAuthority
from certworker.development.misbehaviour import Fault, Flaw
from certworker.errors import CertworkerError
from certworker.errors.authority import BadCertificate, ServerInternal

NAME = "shop.localhost"
NAMES = (NAME,)

#: The CA looks for the answer when it stands again.
SECOND_ATTEMPT_BEGINS_WITHIN_SECONDS = 2.0


def asked(authority: DevelopmentAuthority, kind: str) -> int:
    """
    How many requests of *kind* the CA got.
    """
    return sum(each.kind == kind for each in authority.requests)


def keys_in(house: House) -> list[Path]:
    """
    The keys of orders that are kept.
    """
    return sorted(house.settings.state_dir.glob("orders/*/*"))


@pytest.fixture
def desk(house: House) -> Desk:
    """
    The only desk of the house.
    """
    return house.desks[0]


class TestResume:
    @pytest.mark.parametrize("kind", ["authorization", "challenge", "order", "finalize", "certificate"])
    def test_an_outage_in_the_middle_costs_no_second_order(
        self, house: House, door_authority: DevelopmentAuthority, kind: str
    ) -> None:
        """
        The next attempt goes on where the CA fell silent.
        """
        door_authority.misbehaviour.validation_seconds = SECOND_ATTEMPT_BEGINS_WITHIN_SECONDS
        door_authority.misbehaviour.fail(kind, Fault())
        with pytest.raises(ServerInternal):
            house.issuer.issue(NAMES)

        assert "issued" == house.issuer.issue(NAMES).state
        assert (1, 1) == (asked(door_authority, "newOrder"), len({house.issuer.issue(NAMES).facts.serial}))

    def test_an_answer_that_got_lost_costs_no_second_order(
        self, house: House, door_authority: DevelopmentAuthority
    ) -> None:
        """
        The CA has issued, and nobody heard of it; the key is still there.
        """
        door_authority.misbehaviour.fail("finalize", Fault(cut=True))
        with pytest.raises(CertworkerError):
            house.issuer.issue(NAMES)
        kept = keys_in(house)
        house.issuer.issue(NAMES)

        assert 1 == len(kept)
        assert (1, 1) == (asked(door_authority, "newOrder"), asked(door_authority, "finalize"))

    def test_without_its_key_an_order_that_is_signed_is_begun_anew(
        self, house: House, door_authority: DevelopmentAuthority
    ) -> None:
        """
        Its certificate would fit nothing.
        """
        door_authority.misbehaviour.fail("finalize", Fault(cut=True))
        with pytest.raises(CertworkerError):
            house.issuer.issue(NAMES)
        for key in keys_in(house):
            key.unlink()
        house.issuer.issue(NAMES)

        assert 2 == asked(door_authority, "newOrder")

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1/order/1", "{}/order/unknown", "nonsense", ""])
    def test_a_url_that_is_not_of_this_ca_s_orders_is_not_gone_on_with(
        self, house: House, desk: Desk, door_authority: DevelopmentAuthority, url: str
    ) -> None:
        """
        Whoever can write to Redis must not make us send signed requests anywhere.
        """
        planted = url.format(door_authority.directory_url.rpartition("/")[0])
        desk.under_way.orders.keep(NAMES, planted, expires=None, reserved=False, now=house.clock())
        house.issuer.issue(NAMES)

        assert 1 == asked(door_authority, "newOrder")

    def test_an_order_for_other_names_is_not_gone_on_with(
        self, house: House, desk: Desk, door_authority: DevelopmentAuthority
    ) -> None:
        """
        The same, with an order of our own.
        """
        other = desk.authority.order(("other.localhost",))
        desk.under_way.orders.keep(NAMES, other.url, expires=None, reserved=False, now=house.clock())

        assert NAMES == house.issuer.issue(NAMES).facts.names


class TestForget:
    def test_nothing_is_left_of_an_order_in_service(self, house: House, desk: Desk) -> None:
        """
        A key lies where it serves, and nowhere else.
        """
        house.issuer.issue(NAMES)

        assert desk.under_way.find(NAMES) is None
        assert [] == keys_in(house)

    def test_a_failed_validation_ends_the_order(
        self, house: House, desk: Desk, door_authority: DevelopmentAuthority
    ) -> None:
        """
        The CA has given it up, too.
        """
        with pytest.raises(CertworkerError):
            house.issuer.issue(("unreachable.invalid",))

        assert desk.under_way.find(("unreachable.invalid",)) is None

    def test_a_certificate_that_is_wrong_is_not_fetched_again_and_again(
        self, house: House, desk: Desk, door_authority: DevelopmentAuthority
    ) -> None:
        """
        The same order would bring the same certificate.
        """
        door_authority.misbehaviour.flaws = frozenset({Flaw.OTHER_KEY})
        with pytest.raises(BadCertificate):
            house.issuer.issue(NAMES)
        door_authority.misbehaviour.behave()

        assert "issued" == house.issuer.issue(NAMES).state
        assert 2 == asked(door_authority, "newOrder")

    def test_an_order_that_somebody_insisted_on_is_finished_although_nothing_is_due(
        self, house: House, door_authority: DevelopmentAuthority
    ) -> None:
        """
        The next look does not know that somebody had insisted; the order under way does.
        """
        first = house.issuer.issue(NAMES)
        door_authority.misbehaviour.fail("certificate", Fault())
        with pytest.raises(CertworkerError):
            house.issuer.issue(NAMES, force=True)
        second = house.issuer.issue(NAMES)

        assert first.facts.serial != second.facts.serial
        assert 2 == asked(door_authority, "newOrder")
