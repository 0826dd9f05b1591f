"""
How names become directories, and nothing else.
"""

from __future__ import annotations

import pytest

from certworker.storage.certificate_store import CertificateStore
from tests.storage.authority import Signer
from tests.storage.stored import NAME, content, store


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
        Nothing is written outside the volume, and the core would never delete a linked directory.
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
        ],
    )
    def test_no_name_leads_out_of_its_directory(self, volume: CertificateStore, name: str) -> None:
        """
        Names are checked at the door; this is the wall behind the door.
        """
        for act in (volume.current, volume.metadata, volume.remove):
            with pytest.raises(ValueError, match="not a name"):
                act(name)

    def test_a_certificate_with_such_a_name_is_not_written(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A CA, too, may send a name that nobody ordered.
        """
        with pytest.raises(ValueError, match="not a name"):
            store(volume, signer.certificate("good.example.com", "../outside"))

        assert not volume.directory.exists()

    def test_the_longest_name_fits(self, volume: CertificateStore, signer: Signer) -> None:
        """
        253 characters are allowed, and a file name has 255.
        """
        name = ".".join(["a" * 49] * 5) + ".ab"
        assert 252 == len(name)

        stored = store(volume, signer.certificate(name))

        assert content(stored) == content(volume.current(name))

    def test_they_come_in_alphabetical_order(self, volume: CertificateStore, signer: Signer) -> None:
        """
        The order on the disk does not matter.
        """
        for name in ("c.example.com", "a.example.com", "b.example.com"):
            store(volume, signer.certificate(name))

        assert ["a.example.com", "b.example.com", "c.example.com"] == list(volume.names())

    def test_what_is_no_certificate_is_no_name(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A volume has a lost+found, the webroot, and whatever a person put there.
        """
        store(volume, signer.certificate(NAME))
        for other in ("lost+found", ".well-known", "empty.example.com", "README"):
            (volume.directory / other).mkdir()
        (volume.directory / "file.example.com").write_text("not a directory")

        assert [NAME] == list(volume.names())

    def test_an_absent_volume_has_none(self, volume: CertificateStore) -> None:
        """
        Asking must not fail before the first certificate.
        """
        assert ([], None, None, 0) == (
            list(volume.names()),
            volume.current(NAME),
            volume.metadata(NAME),
            volume.highest_token(),
        )
