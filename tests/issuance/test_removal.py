"""
Tests of the removal of a name from the proxy, the volume and Redis.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from redis import Redis

from certworker.app import App
from certworker.errors.ca import ServerInternal
from certworker.errors.worker import AlreadyInProgress
from certworker.replication.stream import PUBLISHED
from certworker.state.locks import FENCE
from certworker.worker.producer import queue_length
from tests.app_fixture import open_app
from tests.replication.hosts import KEY, Mirror, Origin, entries_of
from tests.servers.fault_injection import Fault
from tests.servers.faulty_authority import FaultyAuthority
from tests.storage.stored import make_newer

NAME = "shop.localhost"
OTHER = f"www.{NAME}"


class TestRemove:
    def test_a_removed_name_is_neither_served_nor_stored_nor_renewed(self, app: App) -> None:
        """
        A removed name is neither on the volume, nor in Traefik's files, nor in Redis.
        """
        app.issuance.issue((NAME,))

        assert app.removal.remove(NAME)
        assert app.traefik.files(NAME) is None
        assert app.certificates.current(NAME) is None
        assert NAME not in app.agenda
        assert app.records.read(NAME) is None
        assert 0 == app.reconciler.reconcile()

    def test_a_removal_is_logged(self, app: App, caplog: pytest.LogCaptureFixture) -> None:
        """
        The log has the removed name, and whether it had a certificate.
        """
        with caplog.at_level(logging.INFO, "certworker"):
            app.removal.remove(NAME)

        lines = map(vars, caplog.records)
        assert [(NAME, "audit")] == [(line["domain"], line["event"]) for line in lines]
        assert "unknown name; nothing was taken out of service" == caplog.messages[-1]
        app.issuance.issue((NAME,))
        with caplog.at_level(logging.INFO, "certworker"):
            app.removal.remove(NAME)
        assert "taken out of service" == caplog.messages[-1]

    def test_the_removal_of_an_unknown_name_is_no_error(self, app: App) -> None:
        """
        The removal of an unknown name raises no error.
        """
        assert not app.removal.remove(NAME)

    def test_a_removed_name_without_a_certificate_leaves_the_agenda(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A removed name that never had a certificate leaves the agenda.
        """
        app.agenda.put(NAME, app.clock())

        with caplog.at_level(logging.INFO, "certworker"):
            assert app.removal.remove(NAME)
        assert NAME not in app.agenda
        assert "removed; certworker had no certificate for the name" == caplog.messages[-1]

    def test_the_other_names_get_a_certificate_without_the_removed_one(self, app: App) -> None:
        """
        The other names of the certificate are requested without the removed one.
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
    def test_the_pending_order_of_a_removed_name_is_deleted(
        self, app: App, app_authority: FaultyAuthority, names: tuple[str, ...]
    ) -> None:
        """
        The pending order of a removed name and its key are deleted.
        """
        app_authority.faults.fail("certificate", Fault())
        with pytest.raises(ServerInternal):
            app.issuance.issue(names)
        (issuer,) = app.issuers
        assert issuer.pending_orders.find(names)

        app.removal.remove(NAME)

        assert issuer.pending_orders.find(names) is None
        assert [] == list(app.settings.state_dir.glob("orders/*/*.pem"))

    def test_a_name_with_a_certificate_of_a_newer_version_stops_no_removal(self, app: App) -> None:
        """
        The other names of the certificate are requested, except for one that a newer version has issued.
        """
        names = (NAME, OTHER, "third.localhost")
        app.issuance.issue(names)
        app.issuance.issue((OTHER,), force=True)
        newer = app.certificates.current(OTHER)
        assert newer
        make_newer(newer.directory)

        assert app.removal.remove(NAME)
        assert 1 == queue_length(app.connection)

    def test_a_name_is_not_removed_during_its_issuance(self, app: App) -> None:
        """
        The removal fails while a job issues a certificate for the name.
        """
        app.issuance.issue((NAME,))
        with app.locks.hold([NAME]), pytest.raises(AlreadyInProgress):
            app.removal.remove(NAME)

        assert app.traefik.files(NAME)

    def test_a_name_that_another_host_removed_leaves_the_agenda_unless_it_is_requested_again(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        The check of a host with the certificate adds the name again. A failed request stays planned.
        """
        app.agenda.put(NAME, app.clock())
        app.removal.forget_check(NAME)
        assert NAME not in app.agenda

        app_authority.faults.fail("order", Fault())
        with pytest.raises(ServerInternal):
            app.issuance.issue((NAME,))
        planned = app.agenda.next_check(NAME)
        app.removal.forget_check(NAME)

        assert planned is not None
        # The record has whole seconds.
        assert planned.replace(microsecond=0) == app.agenda.next_check(NAME)

    def test_a_removal_reaches_a_host_that_is_ahead(
        self,
        tmp_path: Path,
        connection: Redis,
        app_authority: FaultyAuthority,
        http_port: int,
    ) -> None:
        """
        The removing host lacks the certificate of another host, which stops serving it. After a loss of
        Redis, the next certificate is still later than the removal.
        """
        ahead, mirror = Origin(tmp_path / "ahead", connection), Mirror(tmp_path / "mirror", connection)
        missed = ahead.issue(NAME, token=12)
        assert ["stored"] == mirror.follow()
        entries = entries_of(connection)
        connection.set(FENCE, 12)
        directory, url = tmp_path / "app", app_authority.directory_url
        directory.mkdir()
        with open_app(directory, connection, url, http_port, CERTWORKER_REPLICATION_KEY=KEY) as app:
            app.removal.remove(NAME)
            for entry in entries:
                connection.xadd(PUBLISHED, entry)

            assert mirror.serves(NAME, missed)
            assert ["removed", "outdated"] == mirror.follow()
            assert ([], None) == (mirror.store.links.live(), mirror.traefik.files(NAME))
            connection.flushall()
            mirror.follow()
            app.issuance.issue((NAME,))
            again = app.certificates.current(NAME)

            assert again is not None
            assert ["stored"] == mirror.follow()
            assert mirror.serves(NAME, again)
