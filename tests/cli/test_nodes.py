"""
Tests of `certworker status --nodes`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from redis import Redis

from certworker.cli.nodes import show_nodes
from certworker.replication.nodes import FRESH, Node, Nodes

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
WORKER = Node("a" * 16, "host1", "worker", "1.0", NOW, 1_200, "0-0", is_complete=True)


def test_each_host_has_a_line(connection: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The line shows what is wrong with the host.
    """
    show_nodes(connection, NOW, as_json=False)
    assert "CERTWORKER_REPLICATION_KEY" in capsys.readouterr().out
    nodes = Nodes(connection, lambda: NOW)
    nodes.report(WORKER)
    away = replace(WORKER, id="b" * 16, host="host2", role="mirror", names=0, seen=NOW - 2 * FRESH)
    nodes.report(replace(away, code="replication.wrong_key"))

    show_nodes(connection, NOW, as_json=False)

    well, other = capsys.readouterr().out.splitlines()
    assert "host1                worker  1.0            1,200 names" == well
    for part in ("away since 2026-11-29 11:58", "1,200 missing", "certworker explain replication.wrong_key"):
        assert part in other
