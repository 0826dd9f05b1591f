"""
Tests of the names that were removed from the volume.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from certworker.storage.removed_names import LIFETIME, SENT, RemovedNames

HOUR = timedelta(hours=1)


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


def test_an_old_record_is_removed(tmp_path: Path) -> None:
    """
    A record is removed when each certificate of a public CA has expired, and is not sent shortly before.
    """
    removed, now = RemovedNames(tmp_path), datetime.now(UTC)
    for name, age in (("old.org", LIFETIME + HOUR), ("sent.org", SENT - HOUR), ("late.org", SENT + HOUR)):
        removed.add(name, 1)
        when = (now - age).timestamp()
        os.utime(tmp_path / ".certworker" / "removed" / name, (when, when), follow_symlinks=False)

    assert [False, True, True] == [
        removed.is_younger(name, SENT, now) for name in ("late.org", "sent.org", "unknown.org")
    ]
    removed.prune(now)
    assert {"sent.org", "late.org"} == set(dict(removed.all()))
