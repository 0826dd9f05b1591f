"""
Tests of `certworker status --nodes`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis import Redis

from certworker.cli.nodes import show_nodes
from certworker.replication.nodes import FRESH, Node, Nodes


def test_each_host_has_a_line(connection: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The line shows what is wrong with the host.
    """
    show_nodes(connection, as_json=False)
    assert "CERTWORKER_REPLICATION_KEY" in capsys.readouterr().out
    nodes = Nodes(connection)
    worker = Node("a" * 16, "host1", "worker", "1.0", nodes.now(), 1_200, "0-0", is_complete=True)
    nodes.report(worker)
    seen = worker.seen - 2 * FRESH
    away = replace(worker, id="b" * 16, host="host2", role="mirror", names=0, seen=seen)
    nodes.report(replace(away, code="replication.wrong_key"))

    show_nodes(connection, as_json=False)

    well, other = capsys.readouterr().out.splitlines()
    assert "host1                worker  1.0        names: 1,200" == well
    for part in (
        f"away since {seen:%Y-%m-%d %H:%M:%S} UTC",
        "missing: 1,200",
        "certworker explain replication.wrong_key",
    ):
        assert part in other
