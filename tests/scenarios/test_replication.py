"""
Bundles of other hosts that a host rejects, and hosts with problems.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from certworker.app import App
from certworker.replication.nodes import FRESH, Node, Nodes
from certworker.replication.sealing import ReplicationKeys
from certworker.replication.stream import PUBLISHED
from tests.replication.hosts import KEY, Mirror, Origin, entries_of
from tests.scenarios.installation import Installation
from tests.scenarios.scenario import Scenario, check_scenario, each_scenario


def receiving(change: Callable[[bytes], bytes], key: str = KEY) -> Callable[[App], object]:
    """
    Return a step in which a mirror reads a bundle that *change* has changed, encrypted with *key*.
    """

    def act(app: App) -> None:
        with TemporaryDirectory() as directory:
            Origin(Path(directory, "origin"), app.connection, key).issue("a.example.org", token=1)
            (fields,) = entries_of(app.connection)
            app.connection.delete(PUBLISHED)
            app.connection.xadd(PUBLISHED, {**fields, b"bundle": change(fields[b"bundle"])})
            Mirror(Path(directory, "mirror"), app.connection).follow()

    return act


def nothing(_installation: Installation) -> None:
    """
    Change nothing.
    """


def reporting(**changes: Any) -> Callable[[Installation], None]:
    """
    Return the installation of a worker with a replication key, and of another host with *changes*.
    """

    def build(installation: Installation) -> None:
        installation.settings["CERTWORKER_REPLICATION_KEY"] = KEY
        nodes = Nodes(installation.connection)
        worker = Node("a" * 16, "host1", "worker", "1.0", nodes.now(), 3, "0-0", is_complete=True)
        nodes.report(worker)
        nodes.report(replace(worker, id="b" * 16, host="host2", **changes))

    return build


SCENARIOS = [
    Scenario(
        "a host that does not report",
        "replication.node_away",
        lambda installation: reporting(seen=Nodes(installation.connection).now() - 2 * FRESH)(installation),
        "Start certworker on host2",
        shows="doctor",
    ),
    Scenario(
        "a host that lacks names",
        "replication.node_behind",
        reporting(names=1),
        "log of host2",
        shows="doctor",
    ),
    Scenario(
        "hosts with different versions",
        "replication.versions_differ",
        reporting(version="2.0"),
        "docker compose pull",
        shows="doctor",
    ),
    Scenario(
        "a host with another key",
        "replication.wrong_key",
        nothing,
        "CERTWORKER_REPLICATION_KEY",
        shows="loop",
        act=receiving(bytes, ReplicationKeys.generate()),
    ),
    Scenario(
        "a truncated bundle",
        "replication.damaged",
        nothing,
        "certworker:published",
        shows="loop",
        act=receiving(lambda bundle: bundle[:100]),
    ),
    Scenario(
        "a bundle of a later version",
        "replication.newer_version",
        nothing,
        "docker compose pull",
        shows="loop",
        act=receiving(lambda bundle: bundle[:2] + b"\x09" + bundle[3:]),
    ),
    Scenario(
        "a bundle of 100 MB",
        "replication.too_large",
        nothing,
        "redis-cli ACL LIST",
        shows="loop",
        act=receiving(lambda _bundle: bytes(100_000_000)),
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    The host reports the bundle and the remedy.
    """
    check_scenario(scenario, installation, caplog)
