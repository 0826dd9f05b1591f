"""
Tests of the list of hosts.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import SecretStr

from certworker.dashboard.nodes import nodes
from certworker.dashboard.sources import Sources
from certworker.replication.nodes import FRESH, Node, Nodes
from certworker.settings.replication import ReplicationSettings
from tests.replication.hosts import KEY


def with_key(sources: Sources) -> Sources:
    """
    Return *sources* with a replication key.
    """
    replication = ReplicationSettings.model_construct(key=SecretStr(KEY))
    return replace(sources, settings=sources.settings.model_copy(update={"replication": replication}))


def test_each_host_has_what_it_lacks(sources: Sources) -> None:
    """
    The list has the hosts that report and those that are away, sorted by host.
    """
    reports = Nodes(sources.connection)
    worker = Node("a" * 16, "host1", "worker", "1.0", reports.now(), 3, "0-0", is_complete=True)
    reports.report(worker)
    away = replace(worker, id="b" * 16, host="host2", role="mirror", names=1, seen=worker.seen - 2 * FRESH)
    reports.report(replace(away, code="replication.wrong_key"))

    first, second = nodes(with_key(sources)) or ()
    assert ("a" * 16, False, 0, 0.0, "") == (
        first.node,
        first.away,
        first.missing,
        first.lag_seconds,
        first.code,
    )
    assert (True, 2, "replication.wrong_key") == (second.away, second.missing, second.code)


def test_without_a_key_there_is_no_list(sources: Sources) -> None:
    """
    A single host has no list, even if another installation reports in the same Redis.
    """
    assert nodes(sources) is None
    assert () == nodes(with_key(sources))
