"""
The repair of what is in service, and the publication of what is stored.
"""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, repeat

import pytest

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.renewal.repair import FIRST_PAUSE, LONGEST_PAUSE
from certworker.traefik.batching import PAUSE_SECONDS
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
    Return the CA that signs what is stored.
    """
    return Signer()


@pytest.fixture
def stored(app: App) -> App:
    """
    Return an app with a certificate that is stored, and not in service.
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


def spoil(app: App, damage: str) -> None:
    """
    Damage the files of NAME as people, disks and other programs do.
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
        file.write_text("# mine\n" + file.read_text())
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
    def test_what_is_in_service_is_repaired_without_the_ca(
        self,
        app: App,
        app_authority: FaultyAuthority,
        caplog: pytest.LogCaptureFixture,
        damage: str,
    ) -> None:
        """
        After any damage Traefik finds the certificate again.
        """
        serials = {name: app.issuance.issue((name,)).metadata.serial for name in (NAME, "b.localhost")}
        spoil(app, damage)
        app_authority.stop()
        asked = len(app_authority.requests)

        repaired = app.repair.repair()

        assert (2 if damage == "all of them" else 1) == repaired
        assert serials == {name: served(app, name) for name in serials}
        assert asked == len(app_authority.requests)
        (line,) = [record for record in caplog.records if getattr(record, "event", "") == "repaired"]
        assert NAME in line.getMessage()
        assert 0 == app.repair.repair()

    def test_nothing_is_written_where_all_is_well(self, app: App) -> None:
        """
        An undamaged file is not written, because each write makes Traefik read everything again.
        """
        app.issuance.issue((NAME, f"www.{NAME}"))
        before = app.traefik.directory.stat().st_mtime_ns

        assert 0 == app.repair.repair()
        assert before == app.traefik.directory.stat().st_mtime_ns

    def test_a_later_generation_in_traefiks_file_stays(self, app: App) -> None:
        """
        A job may be between its two steps, and the newer file is right.
        """
        app.issuance.issue((NAME,))
        older = app.certificates.current(NAME)
        newer = app.issuance.issue((NAME,), force=True)
        assert older
        app.certificates.links.activate([NAME], older.directory)

        assert 0 == app.repair.repair()
        assert newer.metadata.serial == served(app, NAME)

    def test_one_file_that_cannot_be_written_costs_the_others_nothing(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A directory has the name of the file.
        """
        for name in ("a.localhost", NAME, "z.localhost"):
            app.issuance.issue((name,))
            (app.traefik.directory / f"{name}.yml").unlink()
        (app.traefik.directory / f"{NAME}.yml").mkdir()

        assert 2 == app.repair.repair()
        assert "[fs.io]" in caplog.text
        assert all(app.traefik.files(name) for name in ("a.localhost", "z.localhost"))

    def test_a_name_that_is_back_at_an_older_certificate_is_checked_at_once(self, app: App) -> None:
        """
        The older certificate may be due, so it is checked at once.
        """
        first = app.issuance.issue((NAME,))
        latest = app.issuance.issue((NAME,), force=True)
        generation = app.certificates.links.generation(NAME)
        assert generation
        shutil.rmtree(generation)

        assert 1 == app.repair.repair()

        moment = app.agenda.next_check(NAME)
        assert moment
        assert moment <= app.clock()
        assert first.metadata.serial == served(app, NAME) != latest.metadata.serial

    def test_a_name_with_nothing_left_is_checked_at_once_and_its_attempts_decide_from_then_on(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The hourly repair does not cause a request to the CA each hour.
        """
        app.issuance.issue((NAME,))
        shutil.rmtree(app.certificates.directory / ".certworker/generations")

        app.repair.repair()
        moment = app.agenda.next_check(NAME)
        assert moment
        assert moment <= app.clock()
        assert "no usable certificate is left" in caplog.text

        later = app.clock() + timedelta(hours=5)
        app.agenda.put(NAME, later)
        app.repair.repair()
        planned = app.agenda.next_check(NAME)
        assert planned is not None
        assert later.timestamp() == pytest.approx(planned.timestamp())

    def test_the_same_repair_is_logged_once_a_day(self, app: App, caplog: pytest.LogCaptureFixture) -> None:
        """
        Another program may write the same file each hour.
        """
        app.issuance.issue((NAME,))
        for hour in range(50):
            spoil(app, "changed")
            moment = app.clock() + timedelta(hours=hour)
            assert 1 == replace(app.repair, clock=repeat(moment).__next__).repair()

        lines = [record for record in caplog.records if getattr(record, "event", "") == "repaired"]
        assert 3 == len(lines)

    def test_a_name_that_is_removed_at_the_same_time_stays_removed(self, app: App) -> None:
        """
        The repair reads the volume before the removal, and writes after it.
        """
        app.issuance.issue((NAME,))
        (app.traefik.directory / f"{NAME}.yml").unlink()
        inventory = app.certificates.links.target_of(NAME)
        assert inventory
        app.removal.remove(NAME)
        app.traefik.repair({NAME: inventory})

        app.repair._withdraw_removed([NAME])

        assert not (app.traefik.directory / f"{NAME}.yml").exists()

    def test_a_thousand_files_come_back_as_one_burst(self, app: App, signer: Signer) -> None:
        """
        Traefik reads its directory again after each pause; here there is none.
        """
        certificate = signer.certificate(*(f"shop{number}.localhost" for number in range(1_000)))
        stored = app.certificates.store(certificate, authority="a", kind="private", token=1)
        changes = set[int]()
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.001):
                changes.add(app.traefik.directory.stat().st_mtime_ns)

        before = app.traefik.directory.stat().st_mtime_ns
        watcher = threading.Thread(target=watch)
        watcher.start()
        assert 1_000 == app.repair.repair()
        stop.set()
        watcher.join()

        moved = sorted(changes - {before})
        assert 1_000 == len(list(app.traefik.directory.glob("*.yml")))
        served = app.traefik.files("shop7.localhost")
        assert served is not None
        assert (stored.directory / "fullchain.pem").samefile(served[0])
        # The files are prepared elsewhere, so that they appear together.
        assert (moved[-1] - moved[0]) / 1e9 < PAUSE_SECONDS


class TestResumePublications:
    def test_what_is_stored_and_not_in_service_is_requested(self, stored: App) -> None:
        """
        A worker crashed after it had stored the certificate; Redis may be empty.
        """
        assert 1 == stored.repair.resume_publications()
        assert ["shop.localhost"] == requested(stored)

        assert "issued" == stored.issuance.issue((NAME,)).state
        assert 0 == stored.repair.resume_publications()

    def test_a_name_with_a_job_at_work_is_left_to_it(self, stored: App) -> None:
        """
        The job is between its two steps.
        """
        with stored.locks.hold([NAME]):
            assert 0 == stored.repair.resume_publications()
        assert 1 == stored.repair.resume_publications()

    def test_pauses_double_while_the_cause_is_unknown(self, stored: App) -> None:
        """
        Each attempt would write lines into the log.
        """
        now = stored.clock()
        moments = []
        for second in range(3600):
            moment = now + timedelta(seconds=second)
            if replace(stored.repair, clock=repeat(moment).__next__).resume_publications():
                moments.append(moment - now)

        pauses = [after - before for before, after in pairwise(moments)]
        assert FIRST_PAUSE == pauses[0]
        assert LONGEST_PAUSE == max(pauses)
        assert pauses == sorted(pauses)

    def test_nothing_is_requested_while_a_directory_cannot_be_written(self, stored: App) -> None:
        """
        The attempt would fail. It is requested as soon as the directory can be written.
        """
        place = stored.traefik.directory / ".certworker"
        place.mkdir(exist_ok=True)
        (place / "writing.lock").unlink(missing_ok=True)
        (place / "writing.lock").mkdir()
        for _ in range(3):
            assert 0 == stored.repair.resume_publications()
        with pytest.raises(CertworkerError):
            stored.traefik.check_writable()
        (place / "writing.lock").rmdir()

        assert 1 == stored.repair.resume_publications()
