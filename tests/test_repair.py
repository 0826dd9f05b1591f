"""
What is stored comes into service, and what is in service stays so.
"""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest

from certworker.assembly import House
from certworker.development.authority import DevelopmentAuthority
from certworker.errors import CertworkerError
from certworker.intake.batches import new_job
from certworker.repair import FIRST_PAUSE, LONGEST_PAUSE
from certworker.serving.publication import PAUSE_SECONDS
from tests.serving.authority import Signer
from tests.serving.reader import followed

NAME = "shop.localhost"


def requested(house: House) -> list[str]:
    """
    Take all requests from the lanes, and return the tenants.
    """
    taken = iter(partial(house.lanes.take, new_job("certworker.issue", datetime.now(UTC)), []), None)
    return [each.tenant for each in taken if each]


@pytest.fixture(scope="module")
def signer() -> Signer:
    """
    Return the CA that signs what is stored.
    """
    return Signer()


@pytest.fixture
def stored(house: House) -> House:
    """
    Return a house with a certificate that is stored, and not in service.
    """
    certificate = Signer().certificate(NAME)
    house.volume.store(certificate, authority="a", kind="private", token=1)
    return house


def served(house: House, name: str) -> str:
    """
    Return the serial number of what Traefik serves for *name*.
    """
    certificate = followed(house.traefik.directory, name)
    assert certificate
    return certificate.serial


def spoil(house: House, damage: str) -> None:
    """
    Do to the files of NAME what people, disks and other programs do.
    """
    file = house.traefik.directory / f"{NAME}.yml"
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
        shutil.rmtree(house.traefik.directory)
    else:
        (house.volume.directory / ".certworker/live" / NAME).unlink()
        file.unlink()


class TestRepair:
    @pytest.mark.parametrize(
        "damage",
        ["missing", "unreadable", "not text", "elsewhere", "changed", "a pipe", "all of them", "links"],
    )
    def test_what_is_in_service_is_repaired_without_the_ca(
        self,
        house: House,
        door_authority: DevelopmentAuthority,
        caplog: pytest.LogCaptureFixture,
        damage: str,
    ) -> None:
        """
        Whatever became of the files: the certificate is there, and Traefik finds it again.
        """
        serials = {name: house.issuer.issue((name,)).facts.serial for name in (NAME, "b.localhost")}
        spoil(house, damage)
        door_authority.stop()
        asked = len(door_authority.requests)

        repaired = house.repair.repair()

        assert (2 if damage == "all of them" else 1) == repaired
        assert serials == {name: served(house, name) for name in serials}
        assert asked == len(door_authority.requests)
        (line,) = [record for record in caplog.records if getattr(record, "event", "") == "repaired"]
        assert NAME in line.getMessage()
        assert 0 == house.repair.repair()

    def test_nothing_is_written_where_all_is_well(self, house: House) -> None:
        """
        Each change of the directory makes Traefik read everything again.
        """
        house.issuer.issue((NAME, f"www.{NAME}"))
        before = house.traefik.directory.stat().st_mtime_ns

        assert 0 == house.repair.repair()
        assert before == house.traefik.directory.stat().st_mtime_ns

    def test_a_later_generation_in_traefiks_file_stays(self, house: House) -> None:
        """
        A job may be between its two steps, and readers of the newer file are served better.
        """
        house.issuer.issue((NAME,))
        older = house.volume.current(NAME)
        newer = house.issuer.issue((NAME,), force=True)
        assert older
        house.volume.links.switch([NAME], older.directory)

        assert 0 == house.repair.repair()
        assert newer.facts.serial == served(house, NAME)

    def test_one_file_that_cannot_be_written_costs_the_others_nothing(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A directory is in its place.
        """
        for name in ("a.localhost", NAME, "z.localhost"):
            house.issuer.issue((name,))
            (house.traefik.directory / f"{name}.yml").unlink()
        (house.traefik.directory / f"{NAME}.yml").mkdir()

        assert 2 == house.repair.repair()
        assert "[fs.io]" in caplog.text
        assert all(house.traefik.files(name) for name in ("a.localhost", "z.localhost"))

    def test_a_name_that_is_back_at_an_older_certificate_is_checked_at_once(self, house: House) -> None:
        """
        The older one may be due.
        """
        first = house.issuer.issue((NAME,))
        latest = house.issuer.issue((NAME,), force=True)
        generation = house.volume.links.generation(NAME)
        assert generation
        shutil.rmtree(generation)

        assert 1 == house.repair.repair()

        moment = house.agenda.moment(NAME)
        assert moment
        assert moment <= house.clock()
        assert first.facts.serial == served(house, NAME) != latest.facts.serial

    def test_a_name_with_nothing_left_is_checked_at_once_and_its_attempts_decide_from_then_on(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A repair each hour must not have the CA asked each hour.
        """
        house.issuer.issue((NAME,))
        shutil.rmtree(house.volume.directory / ".certworker/generations")

        house.repair.repair()
        moment = house.agenda.moment(NAME)
        assert moment
        assert moment <= house.clock()
        assert "no usable certificate is left" in caplog.text

        later = house.clock() + timedelta(hours=5)
        house.agenda.put(NAME, later)
        house.repair.repair()
        assert later.timestamp() == pytest.approx(house.agenda.moment(NAME).timestamp())  # type: ignore[union-attr]

    def test_the_same_repair_is_logged_once_a_day(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Another program may write the same file each hour.
        """
        house.issuer.issue((NAME,))
        for hour in range(50):
            spoil(house, "changed")
            moment = house.clock() + timedelta(hours=hour)
            assert 1 == replace(house.repair, clock=lambda moment=moment: moment).repair()  # type: ignore[misc]

        lines = [record for record in caplog.records if getattr(record, "event", "") == "repaired"]
        assert 3 == len(lines)

    def test_a_name_that_is_removed_at_the_same_time_stays_removed(self, house: House) -> None:
        """
        The repair has read the volume before the removal, and writes after it.
        """
        house.issuer.issue((NAME,))
        (house.traefik.directory / f"{NAME}.yml").unlink()
        inventory = house.volume.links.leads_to(NAME)
        assert inventory
        house.removal.remove(NAME)
        house.traefik.repair({NAME: inventory})

        house.repair._withdraw_removed([NAME])

        assert not (house.traefik.directory / f"{NAME}.yml").exists()

    def test_a_thousand_files_come_back_as_one_burst(self, house: House, signer: Signer) -> None:
        """
        Traefik reads its directory again after each pause; here there is none.
        """
        certificate = signer.certificate(*(f"shop{number}.localhost" for number in range(1_000)))
        stored = house.volume.store(certificate, authority="a", kind="private", token=1)
        changes = set[int]()
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.001):
                changes.add(house.traefik.directory.stat().st_mtime_ns)

        before = house.traefik.directory.stat().st_mtime_ns
        watcher = threading.Thread(target=watch)
        watcher.start()
        assert 1_000 == house.repair.repair()
        stop.set()
        watcher.join()

        moved = sorted(changes - {before})
        assert 1_000 == len(list(house.traefik.directory.glob("*.yml")))
        assert (stored.directory / "fullchain.pem").samefile(house.traefik.files("shop7.localhost")[0])  # type: ignore[index]
        # The files are prepared elsewhere, so that they appear together.
        assert (moved[-1] - moved[0]) / 1e9 < PAUSE_SECONDS


class TestResumePublications:
    def test_what_is_stored_and_not_in_service_is_requested(self, stored: House) -> None:
        """
        A worker died after it had stored the certificate; Redis may be empty.
        """
        assert 1 == stored.repair.resume_publications()
        assert ["shop.localhost"] == requested(stored)

        assert "issued" == stored.issuer.issue((NAME,)).state
        assert 0 == stored.repair.resume_publications()

    def test_a_name_with_a_job_at_work_is_left_to_it(self, stored: House) -> None:
        """
        It is between two steps.
        """
        with stored.locks.hold([NAME]):
            assert 0 == stored.repair.resume_publications()
        assert 1 == stored.repair.resume_publications()

    def test_pauses_double_while_the_cause_is_unknown(self, stored: House) -> None:
        """
        Each attempt writes lines into the log.
        """
        now = stored.clock()
        moments = []
        for second in range(3600):
            moment = now + timedelta(seconds=second)
            if replace(stored.repair, clock=lambda moment=moment: moment).resume_publications():  # type: ignore[misc]
                moments.append(moment - now)

        pauses = [after - before for before, after in pairwise(moments)]
        assert FIRST_PAUSE == pauses[0]
        assert LONGEST_PAUSE == max(pauses)
        assert pauses == sorted(pauses)

    def test_nothing_is_requested_while_a_directory_cannot_be_written(self, stored: House) -> None:
        """
        The attempt would fail. As soon as the directory can be written, it is requested.
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
