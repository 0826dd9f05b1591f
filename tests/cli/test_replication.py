"""
Tests of `certworker replication`.
"""

from __future__ import annotations

from certworker.settings import load
from tests.servers.worker import WorkerProcess


def test_a_new_key_is_printed(worker: WorkerProcess) -> None:
    """
    Each key is new, and valid for the setting.
    """
    first, second = (worker.command("replication", "key").stdout.strip() for _ in range(2))

    assert first != second
    assert [first, second] == load({"CERTWORKER_REPLICATION_KEY": f"{first},{second}"}).replication.keys
