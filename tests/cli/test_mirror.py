"""
Tests of `certworker mirror`. tests/test_mirroring.py has its work.
"""

from __future__ import annotations

from tests.servers.worker import WorkerProcess


def test_without_a_key_it_does_not_start(worker: WorkerProcess) -> None:
    """
    The message names the setting and the command that makes a key.
    """
    ended = worker.command("mirror")

    assert 2 == ended.returncode
    assert "[config.invalid]" in ended.stderr
    assert "CERTWORKER_REPLICATION_KEY" in ended.stderr
    assert "certworker replication key" in ended.stderr
