"""
Tests of the links through which readers find a certificate.
"""

from __future__ import annotations

import shutil

import pytest

from certworker.storage.certificate_store import CertificateStore
from tests.storage.authority import Signer
from tests.storage.stored import NAME, content, store, write_plain_files

WWW = f"www.{NAME}"


class TestDirectories:
    def test_appwrite_can_delete_the_directory(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Appwrite can delete the directory: it is not a link, and the names of its files have a dot.
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
        The links are relative, because other containers mount the volume at another path.
        """
        store(volume, signer.certificate(NAME))

        moved = volume.directory.with_name("mounted-elsewhere")
        volume.directory.rename(moved)
        assert (moved / NAME / "fullchain.pem").read_bytes().startswith(b"-----BEGIN CERTIFICATE")

    def test_a_linked_directory_is_replaced(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A linked directory is replaced, and nothing is written outside of the volume.
        """
        outside = volume.directory.with_name("outside")
        outside.mkdir()
        volume.directory.mkdir()
        (volume.directory / NAME).symlink_to(outside)

        store(volume, signer.certificate(NAME))

        assert [] == list(outside.iterdir())
        assert not (volume.directory / NAME).is_symlink()

    def test_files_of_other_programs_are_foreign(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Only files that another program put into the directory are foreign.
        """
        store(volume, signer.certificate(NAME))
        write_plain_files(volume, WWW, signer.certificate(WWW))

        foreign = {name: volume.links.is_foreign(name) for name in (NAME, WWW, "missing.example.com")}

        assert {NAME: False, WWW: True, "missing.example.com": False} == foreign

    def test_a_name_without_its_directory_is_orphaned(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Of two names, only the one whose directory was deleted is orphaned, also that of a wildcard.
        """
        for name in (NAME, WWW, f"*.{NAME}"):
            store(volume, signer.certificate(name))
        assert [] == list(volume.links.orphaned())

        shutil.rmtree(volume.directory / WWW)
        shutil.rmtree(volume.directory / f"_.{NAME}")

        assert [f"*.{NAME}", WWW] == list(volume.links.orphaned())


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
    def test_a_name_outside_of_the_volume_is_refused(self, volume: CertificateStore, name: str) -> None:
        """
        A text that is not a domain name raises ValueError, as a last defense.
        """
        for action in (volume.current, volume.metadata, volume.remove):
            with pytest.raises(ValueError, match="not a name"):
                action(name)

    def test_a_certificate_with_an_invalid_name_is_not_stored(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A certificate with an invalid name, which a faulty CA can send, is not stored.
        """
        with pytest.raises(ValueError, match="not a name"):
            store(volume, signer.certificate("good.example.com", "../outside"))

        assert not volume.directory.exists()

    def test_the_directory_of_a_wildcard_has_no_asterisk(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        The directory of a wildcard begins with `_.`, as in lego, because a shell expands an asterisk.
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

    def test_a_directory_with_an_asterisk_is_no_name(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A directory with an asterisk is ignored, so that a name has one directory.
        """
        write_plain_files(volume, f"*.{NAME}", signer.certificate(f"*.{NAME}"))

        assert [] == list(volume.names())

    def test_the_longest_name_fits(self, volume: CertificateStore, signer: Signer) -> None:
        """
        The longest domain name is a valid directory name.
        """
        name = ".".join(["a" * 49] * 5) + ".ab"
        assert 252 == len(name)

        stored = store(volume, signer.certificate(name))

        assert content(stored) == content(volume.current(name))

    def test_names_are_in_alphabetical_order(self, volume: CertificateStore, signer: Signer) -> None:
        """
        The names are in alphabetical order, whatever the order on the disk is.
        """
        for name in ("c.example.com", "a.example.com", "b.example.com"):
            store(volume, signer.certificate(name))

        assert ["a.example.com", "b.example.com", "c.example.com"] == list(volume.names())

    def test_other_files_are_no_names(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Other files on the volume, such as lost+found and the webroot, are not names.
        """
        store(volume, signer.certificate(NAME))
        for other in ("lost+found", ".well-known", "empty.example.com", "README"):
            (volume.directory / other).mkdir()
        (volume.directory / "file.example.com").write_text("not a directory")

        assert [NAME] == list(volume.names())

    def test_a_missing_volume_has_no_names(self, volume: CertificateStore) -> None:
        """
        A missing volume has no names, and reading it does not fail.
        """
        assert ([], None, None, 0) == (
            list(volume.names()),
            volume.current(NAME),
            volume.metadata(NAME),
            volume.links.highest_token(),
        )


class TestTheSameSerial:
    def test_a_stored_certificate_is_not_stored_again(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A certificate that a CA sends again uses its existing generation.
        """
        certificate = signer.certificate(NAME, WWW)
        first = store(volume, certificate, token=1)
        volume.mark_published(first)

        again = store(volume, certificate, token=5)

        assert first.directory == again.directory
        assert [first.directory] == list(first.directory.parent.iterdir())

    def test_a_damaged_certificate_is_stored_again(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A certificate whose generation is damaged gets a new generation.
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
        Copies of a certificate in the directories of two names are adopted as one generation.
        """
        certificate = signer.certificate(NAME, WWW)
        for name in (NAME, WWW):
            write_plain_files(volume, name, certificate)
            assert volume.adopt(name)

        assert volume.links.generation(NAME) == volume.links.generation(WWW)
        assert 1 == len(list((volume.directory / ".certworker/generations").iterdir()))
