"""
Tests of the names that a wildcard covers, which have no certificate of their own.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from certworker.errors.fs import VolumeReadOnly
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.covered_names import CoveredNames
from tests.storage.authority import Signer
from tests.storage.stored import store

NAMES = ["a.example.com", "b.example.com"]
WILDCARD = "*.example.com"


@pytest.fixture
def covered(tmp_path: Path) -> CoveredNames:
    """
    Return the covered names of an empty volume.
    """
    return CoveredNames(tmp_path)


class TestAdd:
    def test_the_volume_has_the_names_of_a_wildcard(self, covered: CoveredNames, tmp_path: Path) -> None:
        """
        Another worker reads the same names from the volume, without Redis.
        """
        assert covered.add([*NAMES, "c.example.net"])

        again = CoveredNames(tmp_path)
        assert [*NAMES, "c.example.net"] == list(again.names())
        assert NAMES == again.relying_on(WILDCARD)
        assert WILDCARD == again.wildcard_of(NAMES[0])
        assert 3 == again.count()

    def test_files_of_other_programs_are_ignored(self, covered: CoveredNames, tmp_path: Path) -> None:
        """
        Files of other programs are not covered names.
        """
        covered.add(NAMES)
        directory = tmp_path / ".certworker" / "covered"
        (directory / "file.example.com").touch()
        (directory / "folder.example.com").mkdir()
        (directory / "link.example.com").symlink_to("/etc/hostname")
        (directory / "other.example.com").symlink_to("../live/_.example.net")
        (directory / "_.example.com").symlink_to("../live/_.example.com")

        assert NAMES == covered.relying_on(WILDCARD) == list(covered.names())

    def test_a_known_name_is_not_written_again(self, covered: CoveredNames, tmp_path: Path) -> None:
        """
        A known name causes no write, because a request for it can come every day.
        """
        covered.add(NAMES)
        directory = tmp_path / ".certworker" / "covered"
        before = directory.stat().st_mtime_ns, os.lstat(directory / NAMES[0]).st_ino

        assert not covered.add(NAMES)
        assert before == (directory.stat().st_mtime_ns, os.lstat(directory / NAMES[0]).st_ino)

    def test_the_link_refers_to_the_certificate_of_the_wildcard(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        The link of a covered name refers to the certificate of its wildcard.
        """
        stored = store(volume, signer.certificate(WILDCARD))
        volume.covered.add(NAMES[:1])

        link = volume.directory / ".certworker" / "covered" / NAMES[0]
        assert stat.S_ISLNK(os.lstat(link).st_mode)
        assert stored.directory == link.resolve()
        assert (stored.metadata, WILDCARD) == volume.serving(NAMES[0])

    @pytest.mark.parametrize("odd", ["a file", "a directory", "a link elsewhere"])
    def test_a_file_of_another_program_is_replaced(
        self, covered: CoveredNames, tmp_path: Path, odd: str
    ) -> None:
        """
        A file of another program is not a covered name, and is replaced when its name is added.
        """
        covered.add(NAMES[1:])
        path = tmp_path / ".certworker" / "covered" / NAMES[0]
        if odd == "a file":
            path.write_text("x")
        elif odd == "a directory":
            path.mkdir()
        else:
            path.symlink_to("/etc")
        assert covered.wildcard_of(NAMES[0]) is None
        assert NAMES[1:] == list(covered.names())

        assert covered.add(NAMES)
        assert NAMES == list(covered.names())

    def test_a_volume_that_cannot_be_written_is_a_failure(self, forbidden: Path) -> None:
        """
        A volume that cannot be written raises a failure.
        """
        with pytest.raises(VolumeReadOnly):
            CoveredNames(forbidden).add(NAMES)

    @pytest.mark.parametrize("name", ["../outside.example.com", "a/b.example.com", "..", "", "_.example.com"])
    def test_a_name_outside_of_the_directory_is_refused(self, covered: CoveredNames, name: str) -> None:
        """
        A text that is not a domain name raises ValueError, as a last defense.
        """
        for action in (covered.wildcard_of, covered.remove, lambda each: covered.add([each])):
            with pytest.raises(ValueError, match="not a name"):
                action(name)


class TestRemove:
    def test_a_removed_name_is_unknown(self, covered: CoveredNames) -> None:
        """
        A removed name is unknown, and a second removal succeeds.
        """
        covered.add(NAMES)

        covered.remove(NAMES[0])
        covered.remove(NAMES[0])

        assert NAMES[1:] == list(covered.names())
        assert covered.wildcard_of(NAMES[0]) is None

    def test_an_empty_volume_has_no_covered_names(self, covered: CoveredNames) -> None:
        """
        An empty volume has no covered names, and reading it does not fail.
        """
        covered.remove(NAMES[0])

        assert ([], [], 0) == (list(covered.names()), covered.relying_on(WILDCARD), covered.count())
