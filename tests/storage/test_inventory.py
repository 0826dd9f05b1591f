"""
What the volume has for each name, and the repair of dangling links.
"""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certworker.storage.certificate_store import CertificateStore
from certworker.storage.inventory import complete_links, take_inventory
from tests.storage.authority import Signer
from tests.storage.stored import NAME, content, lay_plain_files, store

WWW = f"www.{NAME}"
NOW = datetime.now(UTC)


def age(place: Path, seconds: float = 120) -> None:
    """
    Set the age of the last change of *place*.
    """
    os.utime(place, (time.time() - seconds,) * 2)


class TestTakeInventory:
    def test_each_own_name_is_listed_with_its_generation(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        Files of other programs, and names that Appwrite deleted, are not included.
        """
        stored = store(volume, signer.certificate(NAME, WWW))
        store(volume, signer.certificate("deleted.example.com"), token=2)
        shutil.rmtree(volume.directory / "deleted.example.com")
        lay_plain_files(volume, "theirs.example.com", signer.certificate("theirs.example.com"))

        found = take_inventory(volume, NOW)

        assert {NAME: stored.directory, WWW: stored.directory} == found.served
        assert ([], [], []) == (found.relinked, found.lost, found.incomplete)

    def test_a_wildcard_is_a_name_like_any_other(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Its links are repaired, too.
        """
        stored = store(volume, signer.certificate(f"*.{NAME}"))
        (volume.directory / f"_.{NAME}" / "privkey.pem").unlink()
        age(volume.directory / f"_.{NAME}")

        found = take_inventory(volume, NOW)
        complete_links(volume, found.incomplete)

        assert ({f"*.{NAME}": stored.directory}, [f"*.{NAME}"]) == (found.served, found.incomplete)
        assert volume.links.is_laid(f"*.{NAME}")

    @pytest.mark.parametrize("damage", ["gone", "no key", "empty chain"])
    def test_a_name_without_its_generation_leads_to_the_newest_one_that_is_left(
        self, volume: CertificateStore, signer: Signer, damage: str
    ) -> None:
        """
        A valid older certificate is better than none.
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

    def test_a_link_that_is_missing_is_made_again(self, volume: CertificateStore, signer: Signer) -> None:
        """
        One of two names has lost its link, and gets the generation of the other one.
        """
        stored = store(volume, signer.certificate(NAME, WWW))
        (volume.directory / ".certworker/live" / WWW).unlink()

        found = take_inventory(volume, NOW)

        assert ({NAME: stored.directory, WWW: stored.directory}, [WWW]) == (found.served, found.relinked)
        assert content(stored) == content(volume.current(WWW))

    def test_all_links_at_once(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A backup without `live/` is restored.
        """
        expected = {
            name: store(volume, signer.certificate(name), token=token).directory
            for token, name in enumerate(("a.example.com", "b.example.com"), start=1)
        }
        shutil.rmtree(volume.directory / ".certworker/live")

        assert expected == take_inventory(volume, NOW).served

    def test_nothing_that_is_useless_is_linked(self, volume: CertificateStore, signer: Signer) -> None:
        """
        An expired certificate, a defective pair and one of another name are no replacement: the name is lost.
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

    def test_one_name_that_cannot_be_read_costs_the_others_nothing(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A name whose files cannot be read is left out.
        """
        stored = store(volume, signer.certificate(NAME))
        (volume.directory / "loop.example.com").mkdir()
        (volume.directory / "loop.example.com/fullchain.pem").symlink_to("fullchain.pem")
        (volume.directory / ".certworker/live/loop.example.com").mkdir()

        assert {NAME: stored.directory} == take_inventory(volume, NOW).served

    def test_the_facts_of_a_generation_are_not_needed(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Readers use the pair only.
        """
        stored = store(volume, signer.certificate(NAME))
        (stored.directory / "meta.json").unlink()

        assert {NAME: stored.directory} == take_inventory(volume, NOW).served


class TestCompleteLinks:
    @pytest.mark.parametrize(
        "files", [["privkey.pem"], ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"]]
    )
    def test_what_a_directory_lacks_is_made_again(
        self, volume: CertificateStore, signer: Signer, files: list[str]
    ) -> None:
        """
        Every reader finds its file.
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

    def test_a_directory_that_the_core_is_deleting_is_left_alone(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        Appwrite unlinks the files first; a restored link would stop it from removing the directory.
        """
        store(volume, signer.certificate(NAME))
        for file in (volume.directory / NAME).iterdir():
            file.unlink()

        found = take_inventory(volume, NOW)

        assert ({}, []) == (found.served, found.incomplete)

    def test_a_name_that_was_removed_since_does_not_come_back(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        The inventory is some seconds old by then.
        """
        store(volume, signer.certificate(NAME))
        volume.remove(NAME)

        complete_links(volume, [NAME])

        assert not (volume.directory / NAME).exists()
