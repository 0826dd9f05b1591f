"""
Tests of the repair of the files in service, and the publication of stored certificates.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, repeat
from pathlib import Path

import pytest

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.errors.fs import VolumeFault
from certworker.renewal.repair import FIRST_PAUSE, LONGEST_PAUSE
from certworker.storage import durable
from certworker.traefik.repair import repair_all
from certworker.worker.bulk import new_job
from tests.servers.faulty_authority import FaultyAuthority
from tests.storage.authority import Signer
from tests.storage.reader import followed

NAME = "shop.localhost"


def requested(app: App) -> list[str]:
    """
    Take all requests from the priority queues, and return their tenants.
    """
    taken = iter(lambda: app.priority_queues.take(new_job("certworker.issue", datetime.now(UTC)), []), None)
    return [each.tenant for each in taken if each]


@pytest.fixture(scope="module")
def signer() -> Signer:
    """
    Return the CA that signs the stored certificates.
    """
    return Signer()


@pytest.fixture
def stored(app: App) -> App:
    """
    Return an app with a certificate that is stored and not in service.
    """
    certificate = Signer().certificate(NAME)
    app.certificates.store(certificate, authority="a", kind="private", token=1)
    return app


def served(app: App, name: str) -> str:
    """
    Return the serial number of the certificate in Traefik's file for *name*.
    """
    certificate = followed(app.traefik.directory, name)
    assert certificate
    return certificate.serial


def damage_files(app: App, damage: str) -> None:
    """
    Damage the files of NAME as operators, disks and other programs do.
    """
    file = app.traefik.directory / f"{NAME}.yml"
    if damage == "missing":
        file.unlink()
    elif damage == "unreadable":
        file.write_bytes(b"tls: [")
    elif damage == "not text":
        file.write_bytes(b"\xff\xfe")
    elif damage == "elsewhere":
        file.write_text(file.read_text().replace("/privkey", "/elsewhere/privkey").replace("000", "999"))
    elif damage == "changed":
        file.write_text("# changed\n" + file.read_text())
    elif damage == "a pipe":
        file.unlink()
        os.mkfifo(file)
    elif damage == "all of them":
        shutil.rmtree(app.traefik.directory)
    else:
        (app.certificates.directory / ".certworker/live" / NAME).unlink()
        file.unlink()


class TestRepair:
    @pytest.mark.parametrize(
        "damage",
        ["missing", "unreadable", "not text", "elsewhere", "changed", "a pipe", "all of them", "links"],
    )
    def test_damaged_files_are_repaired_without_the_ca(
        self,
        app: App,
        app_authority: FaultyAuthority,
        caplog: pytest.LogCaptureFixture,
        damage: str,
    ) -> None:
        """
        The repair restores damaged files in service without a request to the CA, and logs it once.
        """
        serials = {name: app.issuance.issue((name,)).metadata.serial for name in (NAME, "b.localhost")}
        damage_files(app, damage)
        app_authority.stop()
        requests = len(app_authority.requests)

        repaired = app.repair.repair()

        assert (2 if damage == "all of them" else 1) == repaired
        assert serials == {name: served(app, name) for name in serials}
        assert requests == len(app_authority.requests)
        (line,) = [record for record in caplog.records if getattr(record, "event", "") == "repaired"]
        assert NAME in line.getMessage()
        assert 0 == app.repair.repair()

    def test_undamaged_files_are_not_written(self, app: App) -> None:
        """
        The repair does not write undamaged files, because each write makes Traefik read all files.
        """
        app.issuance.issue((NAME, f"www.{NAME}"))
        before = app.traefik.directory.stat().st_mtime_ns

        assert 0 == app.repair.repair()
        assert before == app.traefik.directory.stat().st_mtime_ns

    def test_a_later_generation_in_traefiks_file_is_unchanged(self, app: App) -> None:
        """
        The repair does not replace a later generation in Traefik's file, because a job may be running.
        """
        app.issuance.issue((NAME,))
        older = app.certificates.current(NAME)
        newer = app.issuance.issue((NAME,), force=True)
        assert older
        app.certificates.links.activate([NAME], older.directory)

        assert 0 == app.repair.repair()
        assert newer.metadata.serial == served(app, NAME)

    def test_a_file_that_cannot_be_written_does_not_affect_the_others(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A file that cannot be written is logged, and the other files are repaired.
        """
        for name in ("a.localhost", NAME, "z.localhost"):
            app.issuance.issue((name,))
            (app.traefik.directory / f"{name}.yml").unlink()
        (app.traefik.directory / f"{NAME}.yml").mkdir()

        assert 2 == app.repair.repair()
        assert "[fs.io]" in caplog.text
        assert all(app.traefik.files(name) for name in ("a.localhost", "z.localhost"))

    def test_a_link_that_cannot_be_made_does_not_affect_the_other_names(self, app: App) -> None:
        """
        A name without a certificate is checked, and the links of other names are made. The failure follows.
        """
        for name in ("a.localhost", NAME, "z.localhost"):
            app.issuance.issue((name,))
        generation = app.certificates.links.generation("a.localhost")
        assert generation
        shutil.rmtree(generation)
        for name in (NAME, "z.localhost"):
            (app.certificates.directory / name / "privkey.pem").unlink()
        (app.certificates.directory / NAME / "privkey.pem").mkdir()
        (app.certificates.directory / NAME / "privkey.pem" / "file").touch()
        for name in (NAME, "z.localhost"):
            os.utime(app.certificates.directory / name, (0, 0))

        with pytest.raises(VolumeFault):
            app.repair.repair()

        check_time = app.agenda.next_check("a.localhost")
        assert check_time
        assert check_time <= app.clock()
        assert app.certificates.links.has_all_links("z.localhost")

    def test_a_name_with_a_restored_older_certificate_is_checked_at_once(self, app: App) -> None:
        """
        A name whose older certificate is restored is checked immediately, because it may be due.
        """
        first = app.issuance.issue((NAME,))
        latest = app.issuance.issue((NAME,), force=True)
        generation = app.certificates.links.generation(NAME)
        assert generation
        shutil.rmtree(generation)

        assert 1 == app.repair.repair()

        check_time = app.agenda.next_check(NAME)
        assert check_time
        assert check_time <= app.clock()
        assert first.metadata.serial == served(app, NAME) != latest.metadata.serial

    def test_a_name_without_any_certificate_is_checked_at_once_but_only_once(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A name without any certificate is checked immediately. Later repairs do not change its next attempt.
        """
        app.issuance.issue((NAME,))
        shutil.rmtree(app.certificates.directory / ".certworker/generations")

        app.repair.repair()
        check_time = app.agenda.next_check(NAME)
        assert check_time
        assert check_time <= app.clock()
        assert "no usable certificate is left" in caplog.text

        later = app.clock() + timedelta(hours=5)
        app.agenda.put(NAME, later)
        app.repair.repair()
        planned = app.agenda.next_check(NAME)
        assert planned is not None
        assert later.timestamp() == pytest.approx(planned.timestamp())

    def test_the_same_repair_is_logged_once_a_day(self, app: App, caplog: pytest.LogCaptureFixture) -> None:
        """
        The log has the same repair once a day, because another program may write the file each hour.
        """
        app.issuance.issue((NAME,))
        for hour in range(50):
            damage_files(app, "changed")
            check_time = app.clock() + timedelta(hours=hour)
            assert 1 == replace(app.repair, clock=repeat(check_time).__next__).repair()

        lines = [record for record in caplog.records if getattr(record, "event", "") == "repaired"]
        assert 3 == len(lines)

    def test_a_concurrent_removal_is_not_undone(self, app: App) -> None:
        """
        A repair that overlaps with a removal does not restore the name.
        """
        app.issuance.issue((NAME,))
        (app.traefik.directory / f"{NAME}.yml").unlink()
        inventory = app.certificates.links.target_of(NAME)
        assert inventory
        app.removal.remove(NAME)

        repair_all(app.traefik, app.certificates, {NAME: inventory})

        assert not (app.traefik.directory / f"{NAME}.yml").exists()

    def test_many_files_appear_after_all_are_prepared(
        self, app: App, signer: Signer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A thousand files are written elsewhere, and then only renamed, so that Traefik reads them together.
        """
        certificate = signer.certificate(*(f"shop{number}.localhost" for number in range(1_000)))
        stored = app.certificates.store(certificate, authority="a", kind="private", token=1)
        prepared = list[int]()
        move = durable.move

        def moved(path: Path, target: Path) -> None:
            prepared.append(len(list(path.parent.iterdir())))
            move(path, target)

        monkeypatch.setattr(durable, "move", moved)
        assert 1_000 == app.repair.repair()

        assert list(range(1_000, 0, -1)) == prepared
        assert 1_000 == len(list(app.traefik.directory.glob("*.yml")))
        served = app.traefik.files("shop7.localhost")
        assert served is not None
        assert (stored.directory / "fullchain.pem").samefile(served[0])


class TestResumePublications:
    def test_a_stored_certificate_that_is_not_in_service_is_requested(self, stored: App) -> None:
        """
        A stored certificate that is not in service, for example after a crash, is requested.
        """
        assert 1 == stored.repair.resume_publications()
        assert ["shop.localhost"] == requested(stored)

        assert "issued" == stored.issuance.issue((NAME,)).state
        assert 0 == stored.repair.resume_publications()

    def test_a_name_with_a_running_job_is_not_requested(self, stored: App) -> None:
        """
        A name with a running job is not requested, because the job publishes the certificate.
        """
        with stored.locks.hold([NAME]):
            assert 0 == stored.repair.resume_publications()
        assert 1 == stored.repair.resume_publications()

    def test_the_pauses_between_publications_double(self, stored: App) -> None:
        """
        The pauses between requests for the same publication double, so that the log has few lines.
        """
        now = stored.clock()
        times = []
        for second in range(3600):
            check_time = now + timedelta(seconds=second)
            if replace(stored.repair, clock=repeat(check_time).__next__).resume_publications():
                times.append(check_time - now)

        pauses = [after - before for before, after in pairwise(times)]
        assert FIRST_PAUSE == pauses[0]
        assert LONGEST_PAUSE == max(pauses)
        assert pauses == sorted(pauses)

    def test_no_publication_is_requested_while_a_directory_is_not_writable(self, stored: App) -> None:
        """
        No publication is requested while a directory is not writable, and one is requested afterwards.
        """
        directory = stored.traefik.directory / ".certworker"
        directory.mkdir(exist_ok=True)
        (directory / "writing.lock").unlink(missing_ok=True)
        (directory / "writing.lock").mkdir()
        for _ in range(3):
            assert 0 == stored.repair.resume_publications()
        with pytest.raises(CertworkerError):
            stored.traefik.check_writable()
        (directory / "writing.lock").rmdir()

        assert 1 == stored.repair.resume_publications()
