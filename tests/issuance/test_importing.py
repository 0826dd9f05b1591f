"""
Test imported certificates: from the files to the served certificate, and that nothing renews or replaces it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.errors.fs import VolumeFault, VolumeReadOnly
from certworker.errors.imports import ImportDamaged, ImportInService, ReplacesIssued, WrongUser
from certworker.errors.name import Wildcard
from certworker.errors.worker import AlreadyInProgress
from certworker.issuance.importing import CertificateImport
from certworker.own_certificates import Pem
from certworker.renewal.domain_status import DomainStatus, status_of
from certworker.runtime import build_tasks
from certworker.storage.keypair import StoredCertificate
from certworker.worker.producer import queue_length, request_certificate
from tests.app_fixture import open_app
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port
from tests.storage.authority import Signer

NAME = "shop.localhost"
OTHER = "www.localhost"
DAY = timedelta(days=1)


def pem(*names: str, ends: timedelta = 89 * DAY) -> Pem:
    """
    Return the files of a new certificate for *names*, which *ends* from now.
    """
    certificate = Signer(issuer="Own CA").certificate(*names, ends=ends)
    return Pem(certificate.cert_pem, certificate.key.pem)


def importing(app: App) -> CertificateImport:
    """
    Return the import of a command or the API, which uses its own connection to Redis.
    """
    request = partial(request_certificate, connection=app.connection)
    return CertificateImport.into(app.certificates, app.connection, request, app.clock)


def job(app: App, **arguments: object) -> dict[str, Any]:
    """
    Call the registered function as a job does.
    """
    return build_tasks(app)["certworker.issue"](**arguments)


def import_now(app: App, name: str, files: Pem | None = None, *, force: bool = False) -> StoredCertificate:
    """
    Import a certificate, run its job, and return the certificate in service.
    """
    importing(app).run(name, files or pem(name), by="test", force=force)
    assert job(app, domain=name)["state"] in ("imported", "kept")
    return in_service(app, name)


def in_service(app: App, name: str) -> StoredCertificate:
    """
    Return the certificate in service, which Traefik's file names.
    """
    stored, files = app.certificates.current(name), app.traefik.files(name)
    assert stored is not None
    assert (stored.directory / "fullchain.pem", stored.directory / "privkey.pem") == files
    return stored


def orders(authority: FaultyAuthority) -> int:
    """
    Return the number of orders that the CA received.
    """
    return sum(request.kind == "newOrder" for request in authority.requests)


def status(app: App, name: str) -> DomainStatus:
    """
    Return the status of *name*.
    """
    return status_of(name, app.agenda, app.records, app.certificates, app.clock())


class TestImport:
    def test_it_is_published_like_any_other_certificate(
        self, app: App, app_authority: FaultyAuthority, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An imported certificate is in a generation, behind the links and in Traefik's file. The job reports
        `imported`, and no request reaches the CA.
        """
        files = pem(NAME)
        imported = importing(app).run(NAME, files, by="test")
        with caplog.at_level(logging.INFO, "certworker"):
            result = job(app, domain=NAME)

        stored = in_service(app, NAME)
        assert imported.metadata == stored.metadata
        assert ((NAME,), "Own CA") == (stored.metadata.names, stored.metadata.issuer)
        assert imported.job.startswith("issue-")
        assert files.key == stored.certificate.key.pem
        assert 0o600 == (stored.directory / "privkey.pem").stat().st_mode & 0o777
        assert ("imported", stored.metadata.serial, "imported") == tuple(
            result[field] for field in ("state", "serial", "authority")
        )
        assert result["renew_date"] is None
        assert "imported certificate in service" == caplog.messages[-1]
        assert [] == app.certificates.unpublished_sets()
        assert 0 == orders(app_authority)

    def test_the_status_is_imported(self, app: App) -> None:
        """
        The status has the state `imported`, and no time of a renewal.
        """
        import_now(app, NAME)
        found = status(app, NAME)

        assert ("imported", "imported", "imported") == (found.state, found.detail, found.authority)
        assert found.renewal is None
        assert found.next_check is not None

    def test_the_metrics_count_it(self, app: App) -> None:
        """
        The metrics count the state `imported`.
        """
        import_now(app, NAME)

        assert 'certworker_certificates{state="imported"} 1.0' in app.metrics.render().decode()

    def test_the_key_is_on_the_volume_only(
        self, app: App, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Neither Redis nor the log contains the key.
        """
        files = pem(NAME)
        with caplog.at_level(logging.DEBUG):
            import_now(app, NAME, files)

        line = files.key.splitlines()[1]
        assert line.decode() not in caplog.text
        for key in connection.scan_iter():
            assert line not in (connection.dump(key) or b"")

    def test_a_wildcard_of_the_certificate_covers_the_name(self, app: App) -> None:
        """
        A certificate for a wildcard can be imported for a name below it. The other names are in a warning.
        """
        imported = importing(app).run(NAME, pem("*.localhost", OTHER), by="test")

        assert (NAME,) == imported.metadata.names
        others = f"is also valid for *.localhost, {OTHER}."
        assert any(warning.endswith(others) for warning in imported.warnings)

    def test_a_private_name_and_a_wildcard_need_no_setting(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        A public CA and a worker without a DNS provider accept an imported certificate for any name.
        """
        url = app_authority.directory_url
        with open_app(tmp_path, connection, url, http_port, CERTWORKER_PRIVATE_NETWORK="false") as app:
            for name in ("intranet", "*.example.org"):
                assert name in import_now(app, name).metadata.names
                assert "kept" == job(app, domain=name)["state"]
            with pytest.raises(Wildcard):
                job(app, domain="*.example.org", force=True)
            app.agenda.put("intranet", app.clock())
            app.due_names.enqueue()
            assert "imported" == status(app, "intranet").state

    def test_a_wildcard_covers_no_name_automatically(self, app: App) -> None:
        """
        A name below an imported wildcard gets a certificate of its own.
        """
        import_now(app, "*.localhost")

        assert "issued" == app.issuance.issue((NAME,)).state

    def test_a_covered_name_can_be_imported(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        A name that a wildcard covers can get an imported certificate, and keeps it.
        """
        with open_app(tmp_path, connection, app_authority.directory_url, http_port, wildcards=True) as app:
            certificate = Signer().certificate("*.localhost")
            kind = app.issuers[0].ca.kind
            stored = app.certificates.store(certificate, authority="a", kind=kind, token=1)
            app.traefik.publish(stored)
            app.certificates.mark_published(stored)
            assert "covered" == app.issuance.issue((NAME,)).state

            own = import_now(app, NAME)

            assert app.certificates.covered.wildcard_of(NAME) is None
            assert "kept" == app.issuance.issue((NAME,)).state
            assert own.metadata == in_service(app, NAME).metadata

    @pytest.mark.parametrize("times", [1, 2])
    def test_a_successor_replaces_it_without_force(self, app: App, times: int) -> None:
        """
        The successor of an imported certificate replaces it, even if it is imported twice.
        """
        first = import_now(app, NAME)
        files = pem(NAME)
        for _ in range(times):
            second = import_now(app, NAME, files)

        assert first.metadata.serial != second.metadata.serial
        assert files.certificate == second.certificate.cert_pem

    def test_the_same_certificate_with_its_chain_replaces_the_one_without(self, app: App) -> None:
        """
        An import that adds the missing chain takes effect.
        """
        certificate = Signer().certificate(NAME)
        import_now(app, NAME, Pem(certificate.cert_pem, certificate.key.pem))
        import_now(app, NAME, Pem(certificate.cert_pem, certificate.key.pem, certificate.chain_pem))

        assert certificate.chain_pem == in_service(app, NAME).certificate.chain_pem

    @pytest.mark.parametrize(
        ("before", "ends", "warning"),
        [
            (None, 10 * DAY, "It expires in 9 days."),
            (80 * DAY, 70 * DAY, "It expires before the certificate that it replaces ("),
            (None, 89 * DAY, None),
        ],
    )
    def test_a_certificate_that_ends_early_has_a_warning(
        self, app: App, before: timedelta | None, ends: timedelta, warning: str | None
    ) -> None:
        """
        A certificate that ends soon, or earlier than the one that it replaces, has a warning.
        """
        certificate = Signer().certificate(NAME, ends=ends)
        if before:
            import_now(app, NAME, pem(NAME, ends=before))
        files = Pem(certificate.cert_pem, certificate.key.pem, certificate.chain_pem)
        imported = importing(app).run(NAME, files, by="test")

        assert bool(warning) == bool(imported.warnings)
        assert all(found.startswith(warning or "-") for found in imported.warnings)


class TestRefused:
    def test_an_issued_certificate_is_replaced_only_with_force(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        An import replaces a certificate that certworker renews only with *force*.
        """
        app.issuance.issue((NAME,))
        before = in_service(app, NAME)
        with pytest.raises(ReplacesIssued):
            importing(app).run(NAME, pem(NAME), by="test")
        assert before.metadata == in_service(app, NAME).metadata
        assert 0 == queue_length(app.connection)

        assert import_now(app, NAME, force=True).metadata.is_imported
        assert 1 == orders(app_authority)

    def test_an_expired_certificate_is_replaced_without_force(self, app: App) -> None:
        """
        Nothing is lost if the certificate in service has expired.
        """
        expired = Signer().certificate(NAME, ends=-DAY)
        app.certificates.store(expired, authority="a", kind="private", token=1)

        assert import_now(app, NAME).metadata.is_imported

    def test_a_running_job_is_not_disturbed(self, app: App) -> None:
        """
        While a job for the name runs, nothing is imported.
        """
        with app.locks.hold([NAME]), pytest.raises(AlreadyInProgress):
            importing(app).run(NAME, pem(NAME), by="test")

        assert app.certificates.current(NAME) is None

    def test_a_volume_that_does_not_exist(self, app: App) -> None:
        """
        On another host the command does not create the volume.
        """
        directory = app.certificates.directory
        directory.rename(directory.with_name("elsewhere"))

        with pytest.raises(VolumeFault, match=str(directory)):
            importing(app).run(NAME, pem(NAME), by="test")
        assert not directory.exists()

    def test_a_volume_that_cannot_be_read(self, app: App) -> None:
        """
        A user without access to the volume gets a failure with a remedy.
        """
        user = os.geteuid()
        app.certificates.directory.chmod(0)
        os.seteuid(65534 if user == 0 else user)
        try:
            with pytest.raises(VolumeReadOnly):
                importing(app).run(NAME, pem(NAME), by="test")
        finally:
            os.seteuid(user)
            app.certificates.directory.chmod(0o755)

    def test_another_user_than_the_owner_of_the_volume(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Files of another user are not readable for the worker.
        """
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

        with pytest.raises(WrongUser):
            importing(app).run(NAME, pem(NAME), by="test")
        assert app.certificates.current(NAME) is None


class TestNothingRenewsIt:
    def test_a_request_keeps_it_and_has_the_remedy(
        self, app: App, app_authority: FaultyAuthority, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A request, such as one from Appwrite, is `kept`, and its result has the way to replace it.
        """
        own = import_now(app, NAME)
        with caplog.at_level(logging.INFO, "certworker"):
            result = job(app, domain=NAME)

        assert ("kept", "import.in_service") == (result["state"], result["code"])
        assert f"certworker request --force {NAME}" in result["remedy"]
        assert not [line for line in caplog.records if line.levelno > logging.INFO]
        assert own.metadata == in_service(app, NAME).metadata
        assert 0 == orders(app_authority)

    @pytest.mark.parametrize("elapsed", [0 * DAY, 60 * DAY, 88 * DAY, 100 * DAY])
    def test_neither_a_request_nor_a_check_orders_one(
        self,
        tmp_path: Path,
        connection: Redis,
        app_authority: FaultyAuthority,
        app: App,
        elapsed: timedelta,
    ) -> None:
        """
        At no time, not even after its end, a request or a check orders a certificate.
        """
        import_now(app, NAME)
        url = app_authority.directory_url
        with open_app(tmp_path, connection, url, free_port(), clock=lambda: app.clock() + elapsed) as later:
            assert "kept" == later.issuance.issue((NAME,)).state
            later.agenda.put(NAME, later.clock())
            assert 0 == later.due_names.enqueue()["requested"]
            next_check = later.agenda.next_check(NAME)

            assert next_check is not None
            assert timedelta(0) < next_check - later.clock() <= timedelta(hours=12)
            assert ("expired" if elapsed > 90 * DAY else "imported") == status(later, NAME).state
        assert 0 == orders(app_authority)

    def test_a_request_together_with_other_names_is_refused(self, app: App) -> None:
        """
        A certificate for several names would replace the imported one of one of them. The state of that name
        stays.
        """
        import_now(app, NAME)

        with pytest.raises(ImportInService):
            job(app, domains=[OTHER, NAME])
        assert "imported" == status(app, NAME).state
        assert app.certificates.current(OTHER) is None

    def test_two_imported_names_are_kept_together(self, app: App) -> None:
        """
        A request for several imported names is kept.
        """
        import_now(app, NAME)
        import_now(app, OTHER)

        outcome = app.issuance.issue((NAME, OTHER))
        assert ("kept", (NAME, OTHER)) == (outcome.state, outcome.names)

    def test_a_name_that_leaves_a_certificate_is_not_renewed_with_it(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        After the import of one name of a certificate, the renewal of the other names is without it.
        """
        app.issuance.issue((NAME, OTHER))
        import_now(app, NAME, force=True)

        outcome = app.issuance.issue((OTHER,), force=True)
        assert (OTHER,) == outcome.names
        assert in_service(app, NAME).metadata.is_imported

    def test_force_takes_it_back(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        A forced request orders a certificate, which certworker renews.
        """
        import_now(app, NAME)

        assert "issued" == app.issuance.issue((NAME,), force=True).state
        assert "valid" == status(app, NAME).state
        assert 1 == orders(app_authority)

    def test_force_takes_it_back_before_its_job_has_run(self, app: App) -> None:
        """
        A forced request after an import orders a certificate, even if the import is not in service yet.
        """
        importing(app).run(NAME, pem(NAME), by="test")

        assert "issued" == app.issuance.issue((NAME,), force=True).state
        assert "kept" == job(app, domain=NAME)["state"]
        assert not in_service(app, NAME).metadata.is_imported

    def test_a_removal_removes_it(self, app: App) -> None:
        """
        After its removal the name can be requested.
        """
        import_now(app, NAME)

        assert app.removal.remove(NAME)
        assert app.traefik.files(NAME) is None
        assert app.certificates.current(NAME) is None
        assert 0 == app.reconciler.reconcile()
        assert "issued" == app.issuance.issue((NAME,)).state


class TestRecovery:
    def test_a_loss_of_redis_keeps_it(
        self, app: App, connection: Redis, app_authority: FaultyAuthority
    ) -> None:
        """
        The mark of the import is on the volume: an emptied Redis, the repair and the reconciliation keep it.
        """
        own = import_now(app, NAME)
        connection.flushall()
        app.traefik.remove(NAME)

        assert 1 == app.repair.repair()
        assert 1 == app.reconciler.reconcile()
        app.agenda.put(NAME, app.clock())
        app.due_names.enqueue()

        assert "imported" == status(app, NAME).state
        assert "kept" == job(app, domain=NAME)["state"]
        assert own.metadata == in_service(app, NAME).metadata
        assert 0 == orders(app_authority)

    def test_an_import_whose_request_was_lost_is_published(self, app: App) -> None:
        """
        A process that was killed after it stored the certificate sent no request. The maintenance sends it.
        """
        killed = replace(importing(app), request=lambda _name, by: str(by))
        killed.run(NAME, pem(NAME), by="test")

        assert 1 == app.repair.resume_publications()
        assert "imported" == job(app, domain=NAME)["state"]
        assert in_service(app, NAME).metadata.is_imported

    def test_an_import_that_expired_before_its_job_is_requested_once(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, app: App
    ) -> None:
        """
        If no worker ran until its end, the certificate is in service and causes no further job.
        """
        importing(app).run(NAME, pem(NAME, ends=DAY), by="test")
        url = app_authority.directory_url
        with open_app(tmp_path, connection, url, free_port(), clock=lambda: app.clock() + 2 * DAY) as late:
            assert "kept" == late.issuance.issue((NAME,)).state
            assert 0 == late.repair.resume_publications()
            assert "expired" == status(late, NAME).state

    @pytest.mark.parametrize(
        "damage",
        [Path.unlink, lambda file: file.write_bytes(b""), lambda file: file.write_bytes(b"-----BEGIN")],
        ids=["missing", "empty", "damaged"],
    )
    def test_damaged_files_are_reported_and_not_replaced(
        self, app: App, app_authority: FaultyAuthority, damage: Callable[[Path], object]
    ) -> None:
        """
        certworker cannot repair the files of an imported certificate, and orders none. A new import does.
        """
        stored = import_now(app, NAME)
        damage(stored.directory / "privkey.pem")

        with pytest.raises(ImportDamaged):
            job(app, domain=NAME)
        found = status(app, NAME)
        assert ("failed", "import.damaged") == (found.state, found.code)
        app.agenda.put(NAME, app.clock())
        assert 1 == app.due_names.enqueue()["requested"]
        assert 0 == orders(app_authority)

        import_now(app, NAME)
        assert "imported" == status(app, NAME).state

    def test_missing_files_cause_a_job(self, app: App) -> None:
        """
        A check finds that a file is missing, and the job reports it.
        """
        stored = import_now(app, NAME)
        (stored.directory / "fullchain.pem").unlink()
        app.agenda.put(NAME, app.clock())

        assert 1 == app.due_names.enqueue()["requested"]

    def test_a_failed_publication_is_repeated(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        If Traefik's directory is not writable, the name fails, and the next job publishes the certificate.
        """
        importing(app).run(NAME, pem(NAME), by="test")
        directory = app.traefik.directory
        moved = directory.rename(directory.with_name("away"))
        directory.write_text("")
        with pytest.raises(CertworkerError):
            job(app, domain=NAME)
        assert "failed" == status(app, NAME).state
        directory.unlink()
        moved.rename(directory)

        assert "imported" == job(app, domain=NAME)["state"]
        assert "imported" == status(app, NAME).state
