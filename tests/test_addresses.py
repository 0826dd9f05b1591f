"""
Certificates for IP addresses, from the request to the proxy.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from certworker.app import App
from certworker.domains import normalize
from certworker.renewal.domain_status import status_of

ADDRESS = "127.0.0.1"


class TestAddress:
    def test_it_is_issued_served_and_removed_like_a_name(self, app: App) -> None:
        """
        The worker issues, serves, restores and removes the certificate of an address like that of a name.
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

    def test_it_shares_a_certificate_with_names(self, app: App) -> None:
        """
        One certificate contains a name and an address, and a second request issues nothing.
        """
        outcome = app.issuance.issue(("shop.localhost", ADDRESS))

        assert {"shop.localhost", ADDRESS} == set(outcome.metadata.names)
        assert "kept" == app.issuance.issue(("shop.localhost", ADDRESS)).state

    def test_ipv6_address_has_its_directory_lock_and_agenda_entry(self, app: App) -> None:
        """
        A colon in a name is valid in file names and in keys of Redis.
        """
        name = normalize("[2606:4700::1111]")
        app.agenda.put(name, app.clock())
        with app.locks.hold([name]):
            assert app.locks.is_held(name)
        app.records.forget(name)

        assert name in app.agenda
        assert Path(app.certificates.directory, name).parent == app.certificates.directory
        assert app.certificates.metadata(name) is None
