"""
Wildcards from the request to the proxy. Only file names do not contain the star.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from certworker.app import App
from certworker.devca.name_server import KEY_NAME, DevelopmentNameServer
from certworker.errors.name import Wildcard
from certworker.observability.history import HistoryEntry
from certworker.renewal.domain_status import list_status
from certworker.runtime import build_tasks
from certworker.storage.metadata import CertificateMetadata
from certworker.worker.producer import ISSUE, REMOVE
from tests.app_fixture import PROVIDER, environment, open_app
from tests.contrib.test_follow import followed
from tests.integrations.appwrite.core import payload, php, produce, stats
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess
from tests.storage.authority import Signer
from tests.test_adoption import left_by_appwrite, orders

NAME = "shop.localhost"
WILDCARD = f"*.{NAME}"
FILE = f"_.{NAME}"


@pytest.fixture
def app(tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int) -> Iterator[App]:
    """
    Return an app that accepts wildcards.
    """
    url = app_authority.directory_url
    with open_app(tmp_path, connection, url, http_port, wildcards=True) as opened:
        yield opened


def stored(app: App, *names: str) -> CertificateMetadata:
    """
    Put a certificate for *names* into service, as after an issuance by the CA of *app*.
    """
    authority = app.settings.authority
    app.certificates.store(
        Signer().certificate(*names), authority=authority.label, kind=authority.kind, token=1
    )
    return app.issuance.issue(names).metadata


class TestService:
    def test_events_records_and_status_have_the_star(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The job, its event, its record, the status and the log have the star. File names have no star.
        """
        caplog.set_level(logging.INFO, "certworker")
        stored(app, WILDCARD)
        result = build_tasks(app)[ISSUE](domain=" *.Shop.localhost.")

        assert ("kept", WILDCARD, [WILDCARD]) == (result["state"], result["name"], result["names"])
        assert json.dumps(result, default=str)
        assert {WILDCARD} == {record.domain for record in caplog.records if hasattr(record, "domain")}
        assert [WILDCARD] == [
            each.name for each in list_status(app.agenda, app.records, app.certificates, app.clock())
        ]
        assert [WILDCARD] == list(app.agenda.names()) == list(app.certificates.names())
        record = app.records.read(WILDCARD)
        assert record
        assert (WILDCARD,) == record.names
        assert (app.certificates.directory / FILE / "fullchain.pem").is_file()
        assert (app.traefik.directory / f"{FILE}.yml").is_file()

    def test_its_history_is_stored_under_its_name(self, app: App) -> None:
        """
        The history of a wildcard has its name as the key.
        """
        app.history.append(WILDCARD, HistoryEntry(app.clock(), "INFO", "requested"))
        app.history.flush()

        assert ["requested"] == [entry.text for entry in app.history.read(WILDCARD)]

    def test_a_missing_file_is_repaired(self, app: App) -> None:
        """
        The repair restores Traefik's file of a wildcard.
        """
        metadata = stored(app, WILDCARD)
        (app.traefik.directory / f"{FILE}.yml").unlink()

        assert 1 == app.repair.repair()
        assert app.traefik.serves(WILDCARD, metadata)

    def test_it_is_on_the_agenda_again_after_a_flush_of_redis(self, app: App) -> None:
        """
        After a flush of Redis, the reconciler restores the agenda entry from the volume.
        """
        stored(app, WILDCARD)
        app.connection.flushall()

        assert 1 == app.reconciler.reconcile()
        assert [WILDCARD] == list(app.agenda.names())

    def test_a_removal_is_complete(self, app: App) -> None:
        """
        A removal job deletes the certificate, Traefik's file and the agenda entry of a wildcard.
        """
        stored(app, WILDCARD)

        assert "removed" == build_tasks(app)[REMOVE](domain=WILDCARD)["state"]
        assert app.certificates.current(WILDCARD) is None
        assert not (app.traefik.directory / f"{FILE}.yml").exists()
        assert WILDCARD not in app.agenda
        assert 0 == app.reconciler.reconcile()

    def test_the_removal_of_a_covered_name_reports_what_still_serves_it(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log of a removal names the wildcard in service that covers the name, with or without a certificate
        of its own.
        """
        own, covered = "own.shop.localhost", "covered.shop.localhost"
        stored(app, own)
        stored(app, WILDCARD)
        app.issuance.issue((covered,))
        for name in (own, covered, WILDCARD):
            with caplog.at_level(logging.INFO, "certworker.issuance.removal"):
                app.removal.remove(name)

        removed = [line.getMessage() for line in caplog.records if line.name.endswith(".removal")]
        still_served = f"removed; the certificate for {WILDCARD} still serves the name"
        assert [still_served, still_served] == removed[:2]
        assert "taken out of service" == removed[-1]

    def test_a_directory_that_appwrite_deletes_is_removed(self, app: App) -> None:
        """
        The reconciler removes Traefik's file of a wildcard whose directory Appwrite deleted.
        """
        stored(app, WILDCARD)
        shutil.rmtree(app.certificates.directory / FILE)

        app.reconciler.reconcile()

        assert not (app.traefik.directory / f"{FILE}.yml").exists()

    def test_it_shares_a_certificate_with_its_base(self, app: App) -> None:
        """
        One certificate for a wildcard and its base domain is in service for both names.
        """
        metadata = stored(app, NAME, WILDCARD)

        assert "kept" == app.issuance.issue((WILDCARD,)).state
        assert app.traefik.serves(NAME, metadata)
        assert app.traefik.serves(WILDCARD, metadata)


class TestAdoption:
    def test_a_certificate_of_another_program_is_renewed_with_its_wildcard(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        certworker adopts the certificate for the name and the wildcard, and places no order.
        """
        left_by_appwrite(app, NAME, WILDCARD)

        app.reconciler.reconcile()

        assert [WILDCARD, NAME] == list(app.certificates.names())
        assert "kept" == app.issuance.issue((NAME, WILDCARD)).state
        assert 0 == orders(app_authority)


class TestWithoutProvider:
    def test_the_failure_names_the_setting(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        The remedy names the setting for a DNS provider, and certworker places no order.
        """
        with open_app(tmp_path, connection, app_authority.directory_url, http_port) as app:
            with pytest.raises(Wildcard) as caught:
                build_tasks(app)[ISSUE](domain=WILDCARD)
            assert "CERTWORKER_DNS01_PROVIDER" in caught.value.remedy
            assert 0 == orders(app_authority)

    def test_a_wildcard_of_another_program_is_omitted_from_the_renewal(
        self,
        tmp_path: Path,
        connection: Redis,
        app_authority: FaultyAuthority,
        http_port: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        The renewal omits the wildcard, so that the other name does not expire.
        """
        with open_app(tmp_path, connection, app_authority.directory_url, http_port) as app:
            left_by_appwrite(app, NAME, WILDCARD)
            app.reconciler.reconcile()

            assert [NAME] == list(app.certificates.names())
            assert f"will not include {WILDCARD}, which certworker cannot renew" in caplog.text


class TestWorker:
    def test_a_platform_of_covered_names_orders_nothing(
        self,
        tmp_path: Path,
        redis_server: RedisServer,
        connection: Redis,
        app_authority: FaultyAuthority,
        http_port: int,
    ) -> None:
        """
        Messages, commands and documents report success for covered names, and certworker places no order.
        """
        url, names = app_authority.directory_url, [f"{name}.{NAME}" for name in ("php", "resque", "typed")]
        with open_app(tmp_path, connection, url, http_port, wildcards=True) as app:
            stored(app, WILDCARD)
            variables = {
                **PROVIDER,
                "_APP_REDIS_HOST": "127.0.0.1",
                "_APP_REDIS_PORT": str(redis_server.port),
            }
        produce(redis_server, payload(names[0]), payload(WILDCARD))
        php("resque", redis_server, names[1])

        with WorkerProcess(environment(tmp_path, url, http_port, **variables), tmp_path / "log") as worker:
            requested = worker.command("request", "--wait", "--json", names[2], WILDCARD)
            for name in names[:2]:
                worker.wait_for_line(f"{name}: a wildcard covers the name, nothing to do")
            states = {name: status for name, _, status in followed(redis_server, connection)}
            table = worker.command("status", "--state", "covered").stdout
            one = worker.command("status", names[0]).stdout
            explained = worker.command("explain", names[0]).stdout
            as_json = json.loads(worker.command("explain", "--json", names[0]).stdout)
            counts = stats(connection)
            removed = worker.command("remove", "--wait", WILDCARD)
            for name in names:
                worker.wait_for_line(f"{name}: certificate issued")

        ends = [json.loads(line) for line in requested.stdout.splitlines()]
        assert {names[2]: "covered", WILDCARD: "kept"} == {end["name"]: end["state"] for end in ends}
        assert 0 == requested.returncode == removed.returncode
        assert dict.fromkeys([*names, WILDCARD], "verified") == states
        assert (2, 0) == (counts["success"], counts["failed"])
        assert all(name in table for name in names)
        assert re.search(rf"covered by +{re.escape(WILDCARD)}", one)
        assert f"covered by {WILDCARD}, valid until" in explained
        assert ("covered", WILDCARD) == (as_json["state"], as_json["by"])
        assert len(names) == orders(app_authority)


class TestEmbeddedAuthority:
    def test_a_laptop_gets_a_wildcard_from_the_development_ca(
        self, tmp_path: Path, connection: Redis, redis_server: RedisServer, http_port: int
    ) -> None:
        """
        In development, the development CA validates a wildcard with the name server of _APP_DNS.
        """
        with DevelopmentNameServer("demo.localhost") as name_server:
            address = "{}:{}".format(*name_server.address)
            variables = environment(
                tmp_path,
                "",
                http_port,
                _APP_ENV="development",
                _APP_REDIS_HOST="127.0.0.1",
                _APP_REDIS_PORT=str(redis_server.port),
                _APP_DOMAIN_FUNCTIONS="demo.localhost",
                _APP_DNS=address,
                CERTWORKER_DNS01_PROVIDER="rfc2136@demo.localhost",
                RFC2136_NAMESERVER=address,
                RFC2136_TSIG_KEY=KEY_NAME,
                RFC2136_TSIG_SECRET=name_server.secret,
            )
            with WorkerProcess(variables, tmp_path / "worker.log") as worker:
                worker.wait_for_line(r"\*\.demo\.localhost: certificate issued")
            assert {} == name_server.records
