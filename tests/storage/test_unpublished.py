"""
What is stored and not yet in service is known, whatever happens to the worker.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.errors.fs import Fenced
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.unpublished import Unpublished
from tests.storage.authority import Signer
from tests.storage.stored import NAME, lay_plain_files, store

WWW = f"www.{NAME}"


@pytest.fixture
def unpublished(volume: CertificateStore) -> Unpublished:
    """
    Return what the volume has, without the volume.
    """
    return Unpublished(volume.directory / ".certworker/generations")


class TestUnpublished:
    def test_a_stored_certificate_is_found_by_exactly_its_names_until_it_is_published(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        Their order and their case do not matter.
        """
        stored = store(volume, signer.certificate(NAME, WWW.upper()))

        found = volume.unpublished((WWW, NAME))
        assert found
        assert (stored.directory, stored.metadata) == (found.directory, found.metadata)
        assert volume.unpublished((NAME,)) is None

        volume.published(stored)
        assert volume.unpublished((WWW, NAME)) is None
        assert [] == volume.unpublished_sets()

    def test_a_later_worker_keeps_what_it_has_stored(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A worker that was frozen forgets its own certificate only.
        """
        older = store(volume, signer.certificate(NAME), token=1)
        newer = store(volume, signer.certificate(NAME), token=2)

        volume.published(older)

        found = volume.unpublished((NAME,))
        assert found
        assert newer.directory == found.directory

    def test_one_that_a_later_one_has_replaced_is_none(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        It would be refused, and the name has a newer certificate.
        """
        both = store(volume, signer.certificate(NAME, WWW), token=1)
        store(volume, signer.certificate(NAME), token=2)

        assert volume.unpublished((NAME, WWW)) is None
        assert [(NAME,)] == volume.unpublished_sets()
        with pytest.raises(Fenced):
            volume.link(both)

    def test_one_that_was_never_completed_is_none_and_goes(
        self, volume: CertificateStore, unpublished: Unpublished, signer: Signer
    ) -> None:
        """
        The worker was killed before the generation was there; the link is removed with old generations.
        """
        store(volume, signer.certificate(NAME))
        unpublished.add(volume.directory / ".certworker/generations/000000000009-00000000")

        assert [(NAME,)] == volume.unpublished_sets()
        assert 2 == len(unpublished.identifiers())
        volume.prune(served=())
        assert 1 == len(unpublished.identifiers())

    def test_forgetting_twice_is_no_failure(self, unpublished: Unpublished, tmp_path: Path) -> None:
        """
        Another worker may have been quicker.
        """
        unpublished.remove(tmp_path / "000000000001-00000000")

        assert set() == unpublished.identifiers()


class TestTheSameSerial:
    def test_a_certificate_that_is_there_is_not_stored_again(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A CA hands out the certificate of a resumed order as often as it is asked.
        """
        certificate = signer.certificate(NAME, WWW)
        first = store(volume, certificate, token=1)
        volume.published(first)

        again = store(volume, certificate, token=5)

        assert first.directory == again.directory
        assert [first.directory] == list(first.directory.parent.iterdir())

    def test_one_whose_files_are_damaged_is(self, volume: CertificateStore, signer: Signer) -> None:
        """
        What readers cannot use is replaced.
        """
        certificate = signer.certificate(NAME)
        first = store(volume, certificate, token=1)
        (first.directory / "privkey.pem").write_text("damaged")

        again = store(volume, certificate, token=2)

        current = volume.current(NAME)
        assert current
        assert (again.directory, certificate.serial) == (current.directory, current.metadata.serial)
        assert first.directory != again.directory

    def test_two_directories_with_the_same_files_share_a_generation(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        Appwrite's worker and people copy a certificate for two names into a directory of each.
        """
        certificate = signer.certificate(NAME, WWW)
        for name in (NAME, WWW):
            lay_plain_files(volume, name, certificate)
            assert volume.adopt(name)

        assert volume.links.generation(NAME) == volume.links.generation(WWW)
        assert 1 == len(list((volume.directory / ".certworker/generations").iterdir()))
