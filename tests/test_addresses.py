"""
A server that has an address and no name, from the request to the proxy.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from certworker.assembly import House
from certworker.names import domain_name
from certworker.overview import standing

ADDRESS = "127.0.0.1"


class TestAddress:
    def test_it_goes_through_every_room(self, house: House) -> None:
        """
        Lock, checks, order, volume, proxy, record, agenda, removal: none of them minds what a name is.
        """
        outcome = house.issuer.issue((ADDRESS,))

        assert (ADDRESS,) == outcome.facts.names
        assert timedelta(hours=160) == outcome.facts.life.length
        assert "valid" == standing(ADDRESS, house.agenda, house.records, house.volume, house.clock()).state
        assert house.traefik.files(ADDRESS) is not None
        house.connection.flushall()
        assert 1 == house.rounds.reconcile()
        assert house.removal.remove(ADDRESS)
        assert [] == list(house.volume.names())

    def test_it_may_share_a_certificate_with_names(self, house: House) -> None:
        """
        For those who type either.
        """
        outcome = house.issuer.issue(("shop.localhost", ADDRESS))

        assert {"shop.localhost", ADDRESS} == set(outcome.facts.names)
        assert "kept" == house.issuer.issue(("shop.localhost", ADDRESS)).state

    def test_one_of_ipv6_has_its_place_too(self, house: House) -> None:
        """
        A colon is a letter like others in files and in Redis.
        """
        name = domain_name("[2606:4700::1111]")
        house.agenda.put(name, house.clock())
        with house.locks.hold([name]):
            assert house.locks.is_held(name)
        house.records.forget(name)

        assert name in house.agenda
        assert Path(house.volume.directory, name).parent == house.volume.directory
        assert house.volume.facts(name) is None
