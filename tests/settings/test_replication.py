"""
Tests of the settings of the replication.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.errors.config import InvalidSettings
from certworker.replication.sealing import ReplicationKeys
from certworker.settings import load


def test_keys_are_separated_by_commas(tmp_path: Path) -> None:
    """
    There may be several keys, also in a file.
    """
    first, second = ReplicationKeys.generate(), ReplicationKeys.generate()
    (tmp_path / "key").write_text(f"{first}, {second}\n")

    assert [] == load({}).replication.keys
    assert [first] == load({"CERTWORKER_REPLICATION_KEY": first}).replication.keys
    found = load({"CERTWORKER_REPLICATION_KEY_FILE": str(tmp_path / "key")})
    assert [first, second] == found.replication.keys
    assert first not in repr(found)


@pytest.mark.parametrize("value", ["short", ",", "x" * 44, "ä" * 43, "!" * 44, f"{'A' * 43}=,b"])
def test_another_value_is_refused(value: str) -> None:
    """
    The message names the command that makes a key, and not the value.
    """
    with pytest.raises(InvalidSettings, match="certworker replication key") as raised:
        load({"CERTWORKER_REPLICATION_KEY": value})
    assert value == "," or value not in str(raised.value)
