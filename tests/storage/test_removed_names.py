"""
Tests of the names that were removed from the volume.
"""

from __future__ import annotations

from pathlib import Path

from certworker.storage.removed_names import RemovedNames


def test_the_highest_token_of_a_name_counts(tmp_path: Path) -> None:
    """
    A removal is recorded until the name has a later certificate.
    """
    removed = RemovedNames(tmp_path)
    assert (-1, []) == (removed.token_of("a.org"), list(removed.all()))
    for token in (5, 7, 6):
        removed.add("a.org", token)
    removed.add("*.a.org", 0)

    assert {("a.org", 7), ("*.a.org", 0)} == set(removed.all())
    removed.forget("a.org")
    removed.forget("unknown.org")
    assert [("*.a.org", 0)] == list(removed.all())


def test_files_of_other_programs_do_not_count(tmp_path: Path) -> None:
    """
    A link with another target is no removal.
    """
    directory = tmp_path / ".certworker" / "removed"
    directory.mkdir(parents=True)
    (directory / "a.org").symlink_to("../../etc")
    (directory / "b.org").mkdir()
    (directory / "c org").symlink_to("000000000001")

    assert [] == list(RemovedNames(tmp_path).all())
