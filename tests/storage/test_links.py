"""
The links by which readers find a certificate, and those of unpublished certificates.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from certworker.errors.fs import Fenced
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.links import UnpublishedLinks
from tests.storage.authority import Signer
from tests.storage.stored import NAME, content, lay_plain_files, store

WWW = f"www.{NAME}"


class TestDirectories:
    def test_the_core_could_delete_it(self, volume: CertificateStore, signer: Signer) -> None:
        """
        PHP deletes a directory only if its real path is its path, and it unlinks `*.*` first.
        """
        store(volume, signer.certificate(NAME))

        directory = volume.directory / NAME
        assert directory.resolve() == directory.parent.resolve() / NAME
        for file in directory.glob("*.*"):
            file.unlink()
        directory.rmdir()
        assert (None, None, []) == (volume.current(NAME), volume.metadata(NAME), list(volume.names()))

    def test_the_links_are_relative(self, volume: CertificateStore, signer: Signer) -> None:
        """
        The volume is mounted elsewhere in other containers.
        """
        store(volume, signer.certificate(NAME))

        moved = volume.directory.with_name("mounted-elsewhere")
        volume.directory.rename(moved)
        assert (moved / NAME / "fullchain.pem").read_bytes().startswith(b"-----BEGIN CERTIFICATE")

    def test_a_directory_that_is_a_link_is_not_followed(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        Nothing is written outside the volume, and Appwrite would never delete a linked directory.
        """
        outside = volume.directory.with_name("outside")
        outside.mkdir()
        volume.directory.mkdir()
        (volume.directory / NAME).symlink_to(outside)

        store(volume, signer.certificate(NAME))

        assert [] == list(outside.iterdir())
        assert not (volume.directory / NAME).is_symlink()


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "..",
            ".",
            "",
            "../outside",
            "a/b",
            "/etc",
            ".certworker",
            ".well-known",
            "a\0b",
            "a\nb",
            "A.COM",
            "a" * 254,
            "*",
            "*.",
            "*.*.com",
            "*./etc",
            "_.shop.example.com",
            "*._.shop.example.com",
        ],
    )
    def test_no_name_leads_out_of_its_directory(self, volume: CertificateStore, name: str) -> None:
        """
        Names are checked before; this check is the last defense.
        """
        for act in (volume.current, volume.metadata, volume.remove):
            with pytest.raises(ValueError, match="not a name"):
                act(name)

    def test_a_certificate_with_such_a_name_is_not_written(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A CA may send a name that was never ordered.
        """
        with pytest.raises(ValueError, match="not a name"):
            store(volume, signer.certificate("good.example.com", "../outside"))

        assert not volume.directory.exists()

    def test_a_wildcard_has_a_directory_without_a_star(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A shell would expand the star; lego writes the same name.
        """
        wildcard, directory = f"*.{NAME}", f"_.{NAME}"
        stored = store(volume, signer.certificate(NAME, wildcard))

        assert [wildcard, NAME] == list(volume.names()) == volume.links.live()
        assert content(stored) == content(volume.current(wildcard))
        assert (volume.directory / directory / "fullchain.pem").is_file()
        assert [] == list(volume.directory.rglob("*[*]*"))
        assert volume.directory / directory == volume.links.domain_dir(wildcard)

        shutil.rmtree(volume.directory / directory)
        assert [wildcard] == list(volume.links.orphaned())
        volume.remove(wildcard)
        assert [NAME] == list(volume.names()) == volume.links.live()

    def test_a_directory_with_a_star_is_no_name(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Two directories for one name would be one too many.
        """
        lay_plain_files(volume, f"*.{NAME}", signer.certificate(f"*.{NAME}"))

        assert [] == list(volume.names())

    def test_the_longest_name_fits(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A name may have 253 characters, and a file name 255.
        """
        name = ".".join(["a" * 49] * 5) + ".ab"
        assert 252 == len(name)

        stored = store(volume, signer.certificate(name))

        assert content(stored) == content(volume.current(name))

    def test_they_come_in_alphabetical_order(self, volume: CertificateStore, signer: Signer) -> None:
        """
        The sequence on the disk does not matter.
        """
        for name in ("c.example.com", "a.example.com", "b.example.com"):
            store(volume, signer.certificate(name))

        assert ["a.example.com", "b.example.com", "c.example.com"] == list(volume.names())

    def test_what_is_no_certificate_is_no_name(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A volume may have a lost+found, the webroot, and anything that a person put there.
        """
        store(volume, signer.certificate(NAME))
        for other in ("lost+found", ".well-known", "empty.example.com", "README"):
            (volume.directory / other).mkdir()
        (volume.directory / "file.example.com").write_text("not a directory")

        assert [NAME] == list(volume.names())

    def test_an_absent_volume_has_none(self, volume: CertificateStore) -> None:
        """
        Reading does not fail before the first certificate.
        """
        assert ([], None, None, 0) == (
            list(volume.names()),
            volume.current(NAME),
            volume.metadata(NAME),
            volume.links.highest_token(),
        )


@pytest.fixture
def unpublished(volume: CertificateStore) -> UnpublishedLinks:
    """
    Return the links to unpublished generations of the volume.
    """
    return UnpublishedLinks(volume.directory / ".certworker/generations")


class TestUnpublishedLinks:
    def test_a_stored_certificate_is_found_by_exactly_its_names_until_it_is_published(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        The sequence of the names and their case do not matter.
        """
        stored = store(volume, signer.certificate(NAME, WWW.upper()))

        found = volume.unpublished((WWW, NAME))
        assert found
        assert (stored.directory, stored.metadata) == (found.directory, found.metadata)
        assert volume.unpublished((NAME,)) is None

        volume.mark_published(stored)
        assert volume.unpublished((WWW, NAME)) is None
        assert [] == volume.unpublished_sets()

    def test_a_later_worker_keeps_what_it_has_stored(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A worker that was frozen removes the link of its own certificate only.
        """
        older = store(volume, signer.certificate(NAME), token=1)
        newer = store(volume, signer.certificate(NAME), token=2)

        volume.mark_published(older)

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
        self, volume: CertificateStore, unpublished: UnpublishedLinks, signer: Signer
    ) -> None:
        """
        The worker was killed before the generation was complete; :meth:`prune` removes the link.
        """
        store(volume, signer.certificate(NAME))
        unpublished.add(volume.directory / ".certworker/generations/000000000009-00000000")

        assert [(NAME,)] == volume.unpublished_sets()
        assert 2 == len(unpublished.identifiers())
        volume.prune(served=())
        assert 1 == len(unpublished.identifiers())

    def test_forgetting_twice_is_no_failure(self, unpublished: UnpublishedLinks, tmp_path: Path) -> None:
        """
        Another worker may have removed the link before.
        """
        unpublished.remove(tmp_path / "000000000001-00000000")

        assert set() == unpublished.identifiers()


class TestTheSameSerial:
    def test_a_certificate_that_is_there_is_not_stored_again(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A CA sends the certificate of a resumed order as often as it is requested.
        """
        certificate = signer.certificate(NAME, WWW)
        first = store(volume, certificate, token=1)
        volume.mark_published(first)

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
