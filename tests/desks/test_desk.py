"""
The desk of one CA. Its rehearsals stand in tests/test_several_authorities.py, with two CAs to show them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from certworker.assembly import House
from certworker.development.authority import DevelopmentAuthority
from certworker.errors.configuration import WouldReplacePublic

NAMES = ("shop.localhost",)


class TestCheck:
    @pytest.mark.parametrize("kind", ["staging", "development"])
    def test_a_valid_public_certificate_stays(self, house: House, kind: str) -> None:
        """
        A forgotten variable must not take a padlock away.
        """
        desk = house.desks[0]
        public = replace(desk.choice, kind="public")
        house.issuer.issue(NAMES)
        stored = house.volume.current(NAMES[0])
        assert stored is not None
        standing = [replace(stored, facts=replace(stored.facts, kind=public.kind))]
        practice = replace(desk, choice=replace(desk.choice, kind=kind))  # type: ignore[arg-type]

        desk.check(standing)
        practice.check([stored, None])
        with pytest.raises(WouldReplacePublic):
            practice.check(standing)


class TestPredecessor:
    def test_a_ca_is_told_of_its_own_certificates_only(self, house: House) -> None:
        """
        Another one would refuse the order.
        """
        desk = house.desks[0]
        house.issuer.issue(NAMES)
        stored = house.volume.current(NAMES[0])
        assert stored is not None
        another = replace(stored, facts=replace(stored.facts, authority="another"))

        assert [stored.facts.renewal_id, None, None] == [
            desk.predecessor(stored),
            desk.predecessor(another),
            desk.predecessor(None),
        ]


class TestRenews:
    def test_the_same_names_from_the_same_ca_are_a_renewal_for_120_days(self, house: House) -> None:
        """
        Let's Encrypt counts the certificates of all accounts, so an adopted one may be one of its own.
        """
        house.issuer.issue(NAMES)
        stored = house.volume.current(NAMES[0])
        assert stored is not None
        desk, facts = house.desks[0], stored.facts
        others = {
            "adopted": replace(facts, authority=""),
            "another CA": replace(facts, authority="another"),
            "adopted from staging": replace(facts, authority="", kind="staging"),
            "long ago": replace(facts, not_before=facts.not_before - timedelta(days=121)),
        }

        assert desk.renews(stored)
        assert not desk.renews(None)
        assert {name for name, each in others.items() if desk.renews(replace(stored, facts=each))} == {
            "adopted"
        }


class TestRehearse:
    def test_where_no_staging_is_known_nobody_is_asked(
        self, house: House, door_authority: DevelopmentAuthority
    ) -> None:
        """
        Most CAs have none.
        """
        house.desks[0].rehearse(NAMES)

        assert [] == door_authority.requests
