"""
The removal of a name from the proxy, the volume and Redis.
"""

from __future__ import annotations

import logging

import pytest

from certworker.app import App
from certworker.errors.ca import ServerInternal
from certworker.errors.worker import AlreadyInProgress
from certworker.worker.producer import queue_length
from tests.servers.fault_injection import Fault
from tests.servers.faulty_authority import FaultyAuthority

NAME = "shop.localhost"
OTHER = f"www.{NAME}"


class TestRemove:
    def test_it_is_not_served_stored_or_renewed_any_more(self, app: App) -> None:
        """
        A removed name leaves no trace.
        """
        app.issuance.issue((NAME,))

        assert app.removal.remove(NAME)
        assert app.traefik.files(NAME) is None
        assert app.certificates.current(NAME) is None
        assert NAME not in app.agenda
        assert app.records.read(NAME) is None
        assert 0 == app.reconciler.reconcile()

    def test_it_is_logged(self, app: App, caplog: pytest.LogCaptureFixture) -> None:
        """
        The log shows which name was removed, and when.
        """
        with caplog.at_level(logging.INFO, "certworker"):
            app.removal.remove(NAME)

        lines = map(vars, caplog.records)
        assert [(NAME, "audit")] == [(line["domain"], line["event"]) for line in lines]
        assert "unknown; there was nothing to take out of service" == caplog.messages[-1]
        app.issuance.issue((NAME,))
        with caplog.at_level(logging.INFO, "certworker"):
            app.removal.remove(NAME)
        assert "taken out of service" == caplog.messages[-1]

    def test_an_unknown_name_is_no_failure(self, app: App) -> None:
        """
        A list of names to remove may be used twice.
        """
        assert not app.removal.remove(NAME)

    def test_a_name_that_never_got_a_certificate_is_asked_for_no_more(self, app: App) -> None:
        """
        A removed name is not tried again.
        """
        app.agenda.put(NAME, app.clock())

        assert app.removal.remove(NAME)
        assert NAME not in app.agenda

    def test_the_other_names_get_a_certificate_without_it(self, app: App) -> None:
        """
        The next renewal does not restore the removed name.
        """
        app.issuance.issue((NAME, OTHER))
        app.removal.remove(NAME)

        assert app.traefik.files(OTHER)
        assert 1 == queue_length(app.connection)
        app.issuance.issue((OTHER,))
        metadata = app.certificates.metadata(OTHER)
        assert metadata
        assert (OTHER,) == metadata.names

    @pytest.mark.parametrize("names", [(NAME,), (NAME, OTHER)])
    def test_a_pending_order_is_dropped(
        self, app: App, app_authority: FaultyAuthority, names: tuple[str, ...]
    ) -> None:
        """
        A later request for the name begins with a new order.
        """
        app_authority.faults.fail("certificate", Fault())
        with pytest.raises(ServerInternal):
            app.issuance.issue(names)
        (issuer,) = app.issuers
        assert issuer.pending_orders.find(names)

        app.removal.remove(NAME)

        assert issuer.pending_orders.find(names) is None
        assert [] == list(app.settings.state_dir.glob("orders/*/*.pem"))

    def test_not_while_a_certificate_for_it_is_being_issued(self, app: App) -> None:
        """
        The removal fails while a job is issuing a certificate for the name.
        """
        app.issuance.issue((NAME,))
        with app.locks.hold([NAME]), pytest.raises(AlreadyInProgress):
            app.removal.remove(NAME)

        assert app.traefik.files(NAME)
