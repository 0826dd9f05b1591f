"""
Tests of the inventory of the volume, and of the repair of dangling links.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certworker.errors.fs import VolumeFault
from certworker.storage import durable, inventory
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.inventory import complete_links, names_served, take_inventory
from tests.storage.authority import Signer
from tests.storage.stored import NAME, content, store, write_plain_files

WWW = f"www.{NAME}"
NOW = datetime.now(UTC)


def age(path: Path, seconds: float = 120) -> None:
    """
    Set the age of the last change of *path*.
    """
    os.utime(path, (time.time() - seconds,) * 2)


class TestTakeInventory:
    def test_each_own_name_is_listed_with_its_generation(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        The inventory excludes files of other programs, and names that Appwrite deleted.
        """
        stored = store(volume, signer.certificate(NAME, WWW))
        store(volume, signer.certificate("deleted.example.com"), token=2)
        shutil.rmtree(volume.directory / "deleted.example.com")
        write_plain_files(volume, "theirs.example.com", signer.certificate("theirs.example.com"))

        found = take_inventory(volume, NOW)

        assert {NAME: stored.directory, WWW: stored.directory} == found.served
        assert ([], [], []) == (found.relinked, found.lost, found.incomplete)

    def test_the_links_of_a_wildcard_are_repaired(self, volume: CertificateStore, signer: Signer) -> None:
        """
        The inventory lists a wildcard, and its missing links are repaired.
        """
        stored = store(volume, signer.certificate(f"*.{NAME}"))
        (volume.directory / f"_.{NAME}" / "privkey.pem").unlink()
        age(volume.directory / f"_.{NAME}")

        found = take_inventory(volume, NOW)
        complete_links(volume, found.incomplete)

        assert ({f"*.{NAME}": stored.directory}, [f"*.{NAME}"]) == (found.served, found.incomplete)
        assert volume.links.has_all_links(f"*.{NAME}")

    @pytest.mark.parametrize("damage", ["gone", "no key", "empty chain"])
    def test_a_name_without_its_generation_gets_the_newest_valid_one(
        self, volume: CertificateStore, signer: Signer, damage: str
    ) -> None:
        """
        The link of the name then refers to the newest valid generation.
        """
        older, latest = (store(volume, signer.certificate(NAME), token=token) for token in (1, 2))
        if damage == "gone":
            shutil.rmtree(latest.directory)
        elif damage == "no key":
            (latest.directory / "privkey.pem").unlink()
        else:
            (latest.directory / "fullchain.pem").write_text("")

        found = take_inventory(volume, NOW)

        assert ({NAME: older.directory}, [NAME]) == (found.served, found.relinked)
        assert content(older) == content(volume.current(NAME))

    def test_a_generation_that_cannot_be_read_stops_no_repair(
        self,
        volume: CertificateStore,
        signer: Signer,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        A name gets an older generation while the disk does not return its latest one.
        """
        older, latest = (store(volume, signer.certificate(NAME, WWW), token=token) for token in (1, 2))
        (volume.directory / ".certworker/live" / WWW).unlink()
        read = durable.read

        def refuse(path: Path, max_bytes: int) -> bytes:
            if path == latest.directory / "fullchain.pem":
                raise OSError(errno.EIO, "Input/output error")
            return read(path, max_bytes)

        monkeypatch.setattr(durable, "read", refuse)
        found = take_inventory(volume, NOW)

        assert ({NAME: latest.directory, WWW: older.directory}, [WWW]) == (found.served, found.relinked)
        assert "fs.io" in caplog.text

    def test_a_name_whose_links_cannot_be_repaired_stops_no_repair(
        self, volume: CertificateStore, signer: Signer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        All names of a missing generation get the older one. The log names the one whose `DOMAIN/` is blocked.
        """
        older, latest = (store(volume, signer.certificate(NAME, WWW), token=token) for token in (1, 2))
        shutil.rmtree(latest.directory)
        link = volume.directory / NAME / "privkey.pem"
        link.unlink()
        # A directory of another program cannot be replaced by a link.
        link.mkdir()
        (link / "file").touch()
        os.utime(link.parent, (0, 0))
        found = take_inventory(volume, NOW)

        assert dict.fromkeys((NAME, WWW), older.directory) == found.served
        assert {NAME, WWW} == set(found.relinked)
        assert content(older) == content(volume.current(WWW))
        assert [NAME] == [
            getattr(each, "domain", "") for each in caplog.records if "cannot be repaired" in each.message
        ]

    def test_a_name_whose_links_cannot_be_made_stops_no_other(
        self, volume: CertificateStore, signer: Signer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The links of the other names are made, also in later batches. The failure follows.
        """
        monkeypatch.setattr(inventory, "NAMES_PER_LOCK", 1)
        store(volume, signer.certificate(NAME, WWW))
        for name in (NAME, WWW):
            (volume.directory / name / "privkey.pem").unlink()
        # A directory of another program cannot be replaced by a link.
        (volume.directory / NAME / "privkey.pem").mkdir()
        (volume.directory / NAME / "privkey.pem" / "file").touch()
        with pytest.raises(VolumeFault):
            complete_links(volume, [NAME, WWW])

        assert volume.links.has_all_links(WWW)

    def test_a_missing_link_is_restored(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A name without a link gets the generation of the other name in its certificate.
        """
        stored = store(volume, signer.certificate(NAME, WWW))
        (volume.directory / ".certworker/live" / WWW).unlink()

        found = take_inventory(volume, NOW)

        assert ({NAME: stored.directory, WWW: stored.directory}, [WWW]) == (found.served, found.relinked)
        assert content(stored) == content(volume.current(WWW))

    def test_all_links_are_restored(self, volume: CertificateStore, signer: Signer) -> None:
        """
        After a restored backup without `live/`, all links are created again.
        """
        expected = {
            name: store(volume, signer.certificate(name), token=token).directory
            for token, name in enumerate(("a.example.com", "b.example.com"), start=1)
        }
        shutil.rmtree(volume.directory / ".certworker/live")

        assert expected == take_inventory(volume, NOW).served

    def test_an_invalid_generation_is_not_linked(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A name is lost if each generation is expired, does not match or is of another name.
        """
        store(volume, signer.certificate("other.example.com"), token=1)
        broken, latest = (store(volume, signer.certificate(NAME), token=token) for token in (2, 3))
        (broken.directory / "privkey.pem").write_bytes(signer.certificate(NAME).key.pem)
        shutil.rmtree(latest.directory)

        found = take_inventory(volume, NOW)
        assert ([NAME], []) == (found.lost, found.relinked)
        assert NAME not in found.served

        store(volume, signer.certificate(NAME), token=4)
        gone = store(volume, signer.certificate(NAME), token=5)
        shutil.rmtree(gone.directory)
        assert [NAME] == take_inventory(volume, NOW + timedelta(days=100)).lost

    def test_an_unreadable_name_does_not_affect_the_others(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        The inventory omits a name whose files cannot be read.
        """
        stored = store(volume, signer.certificate(NAME))
        (volume.directory / "loop.example.com").mkdir()
        (volume.directory / "loop.example.com/fullchain.pem").symlink_to("fullchain.pem")
        (volume.directory / ".certworker/live/loop.example.com").mkdir()

        assert {NAME: stored.directory} == take_inventory(volume, NOW).served

    def test_a_generation_needs_no_metadata(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A generation without metadata is served, because readers need only its certificate and key.
        """
        stored = store(volume, signer.certificate(NAME))
        (stored.directory / "meta.json").unlink()

        assert {NAME: stored.directory} == take_inventory(volume, NOW).served


class TestCompleteLinks:
    @pytest.mark.parametrize(
        "files", [["privkey.pem"], ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"]]
    )
    def test_missing_links_of_a_directory_are_restored(
        self, volume: CertificateStore, signer: Signer, files: list[str]
    ) -> None:
        """
        The missing links of a directory are created again, so that each reader finds its file.
        """
        stored = store(volume, signer.certificate(NAME))
        for file in files:
            (volume.directory / NAME / file).unlink()
        age(volume.directory / NAME)

        found = take_inventory(volume, NOW)
        complete_links(volume, found.incomplete)

        assert ([NAME], {NAME: stored.directory}) == (found.incomplete, found.served)
        assert content(stored) == content(volume.current(NAME))
        assert [] == take_inventory(volume, NOW).incomplete

    def test_a_directory_that_appwrite_deletes_is_not_changed(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A directory without files is not repaired.

        Appwrite deletes the files first, and a restored link would prevent the removal of the directory.
        """
        store(volume, signer.certificate(NAME))
        for file in (volume.directory / NAME).iterdir():
            file.unlink()

        found = take_inventory(volume, NOW)

        assert ({}, []) == (found.served, found.incomplete)

    def test_a_removed_name_is_not_restored(self, volume: CertificateStore, signer: Signer) -> None:
        """
        The links of a name that was removed after the inventory are not created again.
        """
        store(volume, signer.certificate(NAME))
        volume.remove(NAME)

        complete_links(volume, [NAME])

        assert not (volume.directory / NAME).exists()


class TestNamesServed:
    def test_a_name_with_another_certificate_has_left(self, volume: CertificateStore) -> None:
        """
        A name that got a certificate of its own is no longer served by the shared one.
        """
        signer, other = Signer(), f"www.{NAME}"
        shared = store(volume, signer.certificate(NAME, other))
        assert (NAME, other) == names_served(volume, shared.metadata)
        store(volume, signer.certificate(other), token=2)

        assert (NAME,) == names_served(volume, shared.metadata)

    def test_a_certificate_that_serves_no_name_has_all(self, volume: CertificateStore) -> None:
        """
        The plain files of another program have no metadata.
        """
        write_plain_files(volume, NAME, Signer().certificate(NAME))
        found = volume.current(NAME)

        assert found
        assert (NAME,) == names_served(volume, found.metadata)
