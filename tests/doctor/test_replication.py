"""
Tests of the checks of the replication.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis import Redis

from certworker.doctor.findings import Verdict
from certworker.doctor.replication import SHORT_LAG_SECONDS, replication
from certworker.replication.nodes import FRESH, Node, Nodes
from certworker.replication.sealing import ReplicationKeys
from certworker.replication.stream import PUBLISHED
from certworker.settings import Settings, load
from tests.servers.ports import free_port


@pytest.fixture
def replicated(environ: dict[str, str]) -> Settings:
    """
    Return the settings of a host with two keys.
    """
    keys = f"{ReplicationKeys.generate()},{ReplicationKeys.generate()}"
    return load({**environ, "CERTWORKER_REPLICATION_KEY": keys})


@pytest.fixture
def worker(connection: Redis) -> Node:
    """
    Report a host without a problem, and return its report.
    """
    nodes = Nodes(connection)
    report = Node("a" * 16, "host1", "worker", "1.0", nodes.now(), 3, "9-0", is_complete=True)
    nodes.report(report)
    return report


def found(settings: Settings) -> list[tuple[str, Verdict, str]]:
    """
    Return the subjects, the verdicts and the codes of all findings.
    """
    return [(each.subject, each.verdict, each.code) for each in replication(settings)]


def test_hosts_without_a_problem_have_one_line(replicated: Settings, worker: Node) -> None:
    """
    The report has the number of keys and the hosts, and no key. Without a key, it has no section.
    """
    assert [("keys", Verdict.WELL, ""), ("hosts", Verdict.WELL, "")] == found(replicated)
    texts = [each.text for each in replication(replicated)]
    assert ["2, of which the first one encrypts", "host1 (worker)"] == texts
    assert [] == found(replicated.model_copy(update={"replication": type(replicated.replication)()}))


def test_each_problem_of_a_host_has_its_code(replicated: Settings, worker: Node, connection: Redis) -> None:
    """
    A host that is away, that lacks names, that lags, or that rejects bundles has a line with the remedy.
    """
    nodes = Nodes(connection)
    old = int((nodes.now().timestamp() - 2 * SHORT_LAG_SECONDS) * 1000)
    connection.xadd(PUBLISHED, {"bundle": "x"}, id=f"{old}-0")
    reports = (
        replace(worker, position=f"{old}-0"),
        replace(worker, id="b" * 16, host="host2", seen=worker.seen - 2 * FRESH, version="0.9"),
        replace(worker, id="c" * 16, host="host3", position="0-0", version="1.1"),
        replace(worker, id="d" * 16, host="host4", position=f"{old}-0", names=1),
        replace(worker, id="e" * 16, host="host5", position=f"{old}-0", code="replication.wrong_key"),
    )
    for report in reports:
        nodes.report(report)

    assert [
        ("host2", Verdict.WARN, "replication.node_away"),
        ("host3", Verdict.WARN, "replication.node_behind"),
        ("host4", Verdict.WARN, "replication.node_behind"),
        ("host5", Verdict.FAIL, "replication.wrong_key"),
        ("versions", Verdict.WARN, "replication.versions_differ"),
    ] == found(replicated)[2:]
    assert "1.0, 1.1." in list(replication(replicated))[-1].text


def test_without_reports_or_redis_the_keys_are_checked(
    replicated: Settings, environ: dict[str, str], connection: Redis
) -> None:
    """
    A missing report is a warning. If Redis does not respond, another section has the reason.
    """
    key = ReplicationKeys.generate()
    silent = load({**environ, "_APP_REDIS_PORT": str(free_port()), "CERTWORKER_REPLICATION_KEY": key})

    assert [("keys", Verdict.WELL, ""), ("hosts", Verdict.WARN, "")] == found(replicated)
    assert [("keys", Verdict.WELL, ""), ("hosts", Verdict.SKIPPED, "")] == found(silent)
