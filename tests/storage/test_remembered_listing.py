"""
The directory is real, and the clock is simulated.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from certworker.storage.remembered_listing import LONGEST_SECONDS, SETTLED_SECONDS, RememberedListing


class Lister:
    """
    A listing of *directory* that counts its reads.
    """

    def __init__(self, directory: Path) -> None:
        self.directory, self.reads, self.now = directory, 0, 0.0
        self.listing = RememberedListing(directory, self.read, lambda: self.now)

    def read(self) -> list[str]:
        """
        List the directory.
        """
        self.reads += 1
        return sorted(each.name for each in self.directory.iterdir()) if self.directory.exists() else []

    def after(self, seconds: float) -> list[str]:
        """
        Return the current listing *seconds* later.
        """
        self.now += seconds
        return self.listing.current()


@pytest.fixture
def lister(tmp_path: Path) -> Lister:
    """
    Return a settled listing of a directory with one entry.
    """
    (tmp_path / "first").touch()
    lister = Lister(tmp_path)
    lister.after(0)
    lister.after(SETTLED_SECONDS)
    lister.reads = 0
    return lister


class TestRememberedListing:
    def test_an_unchanged_directory_is_not_listed(self, lister: Lister) -> None:
        """
        A hundred calls list an unchanged directory no more.
        """
        for _ in range(100):
            assert ["first"] == lister.after(10)

        assert 0 == lister.reads

    @pytest.mark.parametrize("change", ["added", "removed", "replaced"])
    def test_a_change_is_found(self, lister: Lister, change: str) -> None:
        """
        The next call finds an entry that was added, removed or replaced.
        """
        if change == "removed":
            (lister.directory / "first").unlink()
        else:
            (lister.directory / "second").touch()
        if change == "replaced":
            (lister.directory / "second").rename(lister.directory / "first")
        expected = {"added": ["first", "second"], "removed": [], "replaced": ["first"]}[change]

        assert expected == lister.after(0)
        assert 1 == lister.reads

    def test_a_restored_time_of_modification_hides_no_change(self, lister: Lister) -> None:
        """
        A program that sets the old time of modification changes another time.
        """
        times = lister.directory.stat()
        (lister.directory / "second").touch()
        os.utime(lister.directory, ns=(times.st_atime_ns, times.st_mtime_ns))

        assert ["first", "second"] == lister.after(10)

    def test_a_recent_change_is_listed_until_it_settles(self, lister: Lister) -> None:
        """
        A directory that has just changed is listed again, because a second change may have the same time.
        """
        (lister.directory / "second").touch()
        for pause in (0, SETTLED_SECONDS / 2, SETTLED_SECONDS, SETTLED_SECONDS):
            lister.after(pause)

        assert 3 == lister.reads

    def test_it_is_listed_again_after_an_hour(self, lister: Lister) -> None:
        """
        A file system that records no change delays its discovery by an hour at most.
        """
        lister.after(LONGEST_SECONDS)

        assert 1 == lister.reads

    def test_a_missing_directory(self, tmp_path: Path) -> None:
        """
        A directory that appears later is found, and so is one that disappears.
        """
        lister = Lister(tmp_path / "later")
        empty = [lister.after(10) for _ in range(3)]
        lister.directory.mkdir()
        (lister.directory / "first").touch()
        found = [lister.after(10) for _ in range(3)]
        (lister.directory / "first").unlink()
        lister.directory.rmdir()

        assert [[], [], []] == empty
        assert [["first"]] * 3 == found
        assert [] == lister.after(10)
