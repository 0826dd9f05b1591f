"""
The end of a name.
"""

from __future__ import annotations

import logging

import pytest

from certworker.assembly import House
from certworker.development.authority import DevelopmentAuthority
from certworker.development.misbehaviour import Fault
from certworker.errors.authority import ServerInternal
from certworker.errors.machine import AlreadyUnderWay
from certworker.intake.queue import queue_length

NAME = "shop.localhost"
BESIDE = f"www.{NAME}"


class TestRemove:
    def test_it_is_served_kept_and_renewed_no_more(self, house: House) -> None:
        """
        A customer has left.
        """
        house.issuer.issue((NAME,))

        assert house.removal.remove(NAME)
        assert house.traefik.files(NAME) is None
        assert house.volume.current(NAME) is None
        assert NAME not in house.agenda
        assert house.records.read(NAME) is None
        assert 0 == house.rounds.reconcile()

    def test_it_is_told_for_the_record(self, house: House, caplog: pytest.LogCaptureFixture) -> None:
        """
        Somebody will ask who took the site down, and when.
        """
        with caplog.at_level(logging.INFO, "certworker"):
            house.removal.remove(NAME)

        assert [(NAME, "audit")] == [(line.domain, line.event) for line in caplog.records]  # type: ignore[attr-defined]
        assert "unknown; there was nothing to take out of service" == caplog.messages[-1]
        house.issuer.issue((NAME,))
        with caplog.at_level(logging.INFO, "certworker"):
            house.removal.remove(NAME)
        assert "taken out of service" == caplog.messages[-1]

    def test_what_is_unknown_is_no_failure(self, house: House) -> None:
        """
        A file of names to remove may be used twice.
        """
        assert not house.removal.remove(NAME)

    def test_a_name_that_never_got_a_certificate_is_asked_for_no_more(self, house: House) -> None:
        """
        It would fail for ever.
        """
        house.agenda.put(NAME, house.clock())

        assert house.removal.remove(NAME)
        assert NAME not in house.agenda

    def test_names_beside_it_get_a_certificate_without_it(self, house: House) -> None:
        """
        Or their next renewal would bring it back.
        """
        house.issuer.issue((NAME, BESIDE))
        house.removal.remove(NAME)

        assert house.traefik.files(BESIDE)
        assert 1 == queue_length(house.connection)
        house.issuer.issue((BESIDE,))
        facts = house.volume.facts(BESIDE)
        assert facts
        assert (BESIDE,) == facts.names

    @pytest.mark.parametrize("names", [(NAME,), (NAME, BESIDE)])
    def test_a_pending_order_is_dropped(
        self, house: House, door_authority: DevelopmentAuthority, names: tuple[str, ...]
    ) -> None:
        """
        Should the name come back, it begins with a new order.
        """
        door_authority.misbehaviour.fail("certificate", Fault())
        with pytest.raises(ServerInternal):
            house.issuer.issue(names)
        (desk,) = house.desks
        assert desk.under_way.find(names)

        house.removal.remove(NAME)

        assert desk.under_way.find(names) is None
        assert [] == list(house.settings.state_dir.glob("orders/*/*.pem"))

    def test_not_while_a_certificate_for_it_is_being_issued(self, house: House) -> None:
        """
        It would be back a second later.
        """
        house.issuer.issue((NAME,))
        with house.locks.hold([NAME]), pytest.raises(AlreadyUnderWay):
            house.removal.remove(NAME)

        assert house.traefik.files(NAME)
