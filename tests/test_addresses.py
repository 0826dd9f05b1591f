"""
A server that has an address and no name, from the request to the proxy.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from certworker.app import App
from certworker.domains import normalize
from certworker.renewal.domain_status import status_of

ADDRESS = "127.0.0.1"


class TestAddress:
    def test_it_goes_through_every_room(self, app: App) -> None:
        """
        Lock, checks, order, volume, proxy, record, agenda, removal: none of them minds what a name is.
        """
        outcome = app.issuance.issue((ADDRESS,))

        assert (ADDRESS,) == outcome.metadata.names
        assert timedelta(hours=160) == outcome.metadata.validity.length
        assert "valid" == status_of(ADDRESS, app.agenda, app.records, app.certificates, app.clock()).state
        assert app.traefik.files(ADDRESS) is not None
        app.connection.flushall()
        assert 1 == app.reconciler.reconcile()
        assert app.removal.remove(ADDRESS)
        assert [] == list(app.certificates.names())

    def test_it_may_share_a_certificate_with_names(self, app: App) -> None:
        """
        For those who type either.
        """
        outcome = app.issuance.issue(("shop.localhost", ADDRESS))

        assert {"shop.localhost", ADDRESS} == set(outcome.metadata.names)
        assert "kept" == app.issuance.issue(("shop.localhost", ADDRESS)).state

    def test_one_of_ipv6_has_its_place_too(self, app: App) -> None:
        """
        A colon is a plain character in files and in Redis.
        """
        name = normalize("[2606:4700::1111]")
        app.agenda.put(name, app.clock())
        with app.locks.hold([name]):
            assert app.locks.is_held(name)
        app.records.forget(name)

        assert name in app.agenda
        assert Path(app.certificates.directory, name).parent == app.certificates.directory
        assert app.certificates.metadata(name) is None
