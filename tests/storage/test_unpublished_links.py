"""
Tests of the links to certificates that are stored, but not yet in service.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.errors.fs import Fenced
from certworker.storage import durable
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.unpublished_links import UnpublishedLinks
from tests.storage.authority import Signer
from tests.storage.stored import NAME, store

WWW = f"www.{NAME}"


@pytest.fixture
def unpublished(volume: CertificateStore) -> UnpublishedLinks:
    """
    Return the links to unpublished generations of the volume.
    """
    return UnpublishedLinks(volume.directory / ".certworker/generations")


class TestUnpublishedLinks:
    def test_an_unpublished_certificate_is_found_by_its_names(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        An unpublished certificate is found by exactly its names, in any order, until it is published.
        """
        stored = store(volume, signer.certificate(NAME, WWW.upper()))

        found = volume.unpublished((WWW, NAME))
        assert found
        assert (stored.directory, stored.metadata) == (found.directory, found.metadata)
        assert volume.unpublished((NAME,)) is None

        volume.mark_published(stored)
        assert volume.unpublished((WWW, NAME)) is None
        assert [] == volume.unpublished_sets()

    def test_a_late_worker_does_not_remove_a_newer_link(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A worker removes only the link of its own certificate, not of a newer one.
        """
        older = store(volume, signer.certificate(NAME), token=1)
        newer = store(volume, signer.certificate(NAME), token=2)

        volume.mark_published(older)

        found = volume.unpublished((NAME,))
        assert found
        assert newer.directory == found.directory

    def test_a_replaced_certificate_is_not_unpublished(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        An unpublished certificate is ignored if one of its names has a newer one.
        """
        both = store(volume, signer.certificate(NAME, WWW), token=1)
        store(volume, signer.certificate(NAME), token=2)

        assert volume.unpublished((NAME, WWW)) is None
        assert [(NAME,)] == volume.unpublished_sets()
        with pytest.raises(Fenced):
            volume.link(both)

    def test_the_link_of_an_incomplete_generation_is_removed(
        self, volume: CertificateStore, unpublished: UnpublishedLinks, signer: Signer
    ) -> None:
        """
        The link of an incomplete generation, of a killed worker, is ignored, and :meth:`prune` removes it.
        """
        store(volume, signer.certificate(NAME))
        unpublished.add(volume.directory / ".certworker/generations/000000000009-00000000")

        assert [(NAME,)] == volume.unpublished_sets()
        assert 2 == len(unpublished.identifiers())
        volume.prune(served=())
        assert 1 == len(unpublished.identifiers())

    def test_a_generation_that_disappears_is_no_longer_found(
        self, volume: CertificateStore, unpublished: UnpublishedLinks, signer: Signer
    ) -> None:
        """
        Metadata that was read before does not hide that its generation has disappeared.
        """
        stored = store(volume, signer.certificate(NAME))
        assert [stored.directory] == list(unpublished.find((NAME,)))

        durable.remove(stored.directory)

        assert [] == list(unpublished.find((NAME,)))

    def test_a_second_removal_is_no_failure(self, unpublished: UnpublishedLinks, tmp_path: Path) -> None:
        """
        The removal of a missing link succeeds, because another worker can have removed it.
        """
        unpublished.remove(tmp_path / "000000000001-00000000")

        assert set() == unpublished.identifiers()
