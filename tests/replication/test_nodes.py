"""
Tests of the reports of nodes.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from certworker.redis.codec import encode_time
from certworker.replication.nodes import FORGOTTEN_AFTER, FRESH, MOST_NAMES, NODES, Node, Nodes, node_id
from certworker.replication.stream import BundleStream


@pytest.fixture
def worker(connection: Redis) -> Node:
    """
    Return the report of a complete worker, made now.
    """
    now = Nodes(connection).now().replace(microsecond=0)
    return Node("a" * 16, "host1", "worker", "1.0", now, 3, "7-0", is_complete=True)


def test_a_volume_has_one_id(tmp_path: Path) -> None:
    """
    All workers on a volume have the same id, and each volume has another one.
    """
    first, second = tmp_path / "first", tmp_path / "second"

    assert node_id(first) == node_id(first) != node_id(second)
    (first / ".certworker" / "node").unlink()
    (first / ".certworker" / "node").symlink_to("../../other")
    assert node_id(first) == node_id(first)


def test_a_copied_volume_has_another_id(tmp_path: Path) -> None:
    """
    Hosts whose volumes are copies of one volume are different nodes: by the files, or by the machine.
    """
    volume, copy, machine = tmp_path / "volume", tmp_path / "copy", tmp_path / "machine-id"
    machine.write_text(f"{'a' * 32}\n")
    on_this_machine = node_id(volume, machine)
    shutil.copytree(volume, copy, symlinks=True)

    assert os.readlink(copy / ".certworker" / "node") == os.readlink(volume / ".certworker" / "node")  # noqa: PTH115
    assert on_this_machine != node_id(copy, machine)
    machine.write_text(f"{'b' * 32}\n")
    assert on_this_machine != node_id(volume, machine)
    machine.unlink()
    assert node_id(volume, machine) == node_id(volume, machine) != node_id(copy, machine)


def test_a_report_is_read_as_it_was_written(connection: Redis, worker: Node) -> None:
    """
    The reports of all nodes are sorted by host.
    """
    nodes = Nodes(connection)
    mirror = replace(worker, id="b" * 16, host="host0", role="mirror", code="replication.wrong_key")
    for node in (worker, mirror):
        nodes.report(node)

    assert [mirror, worker] == nodes.all()


def test_only_complete_workers_that_report_answer(connection: Redis, worker: Node) -> None:
    """
    A node compares its names with a worker of another node.
    """
    nodes = Nodes(connection)
    for node in (
        worker,
        replace(worker, id="b" * 16, role="mirror"),
        replace(worker, id="c" * 16, is_complete=False),
        replace(worker, id="d" * 16, seen=worker.seen - 2 * FRESH),
    ):
        nodes.report(node)

    assert [worker] == nodes.others("0" * 16)
    assert [] == nodes.others(worker.id)


def test_a_node_that_lacks_something_is_shown(connection: Redis, worker: Node) -> None:
    """
    The state of a node has its missing names, the age of its first missing entry, and whether it is away.
    """
    nodes = Nodes(connection)
    BundleStream(connection).add({"bundle": b"1"})
    end = BundleStream(connection).end()
    for node in (
        replace(worker, position=end),
        replace(worker, id="b" * 16, host="host2", role="mirror", names=1, position="0-0"),
        replace(worker, id="c" * 16, host="host3", position=end, seen=worker.seen - 2 * FRESH),
        replace(worker, id="d" * 16, host="host4", position=end, code="replication.wrong_key"),
    ):
        nodes.report(node)

    well, behind, away, rejecting = nodes.states()
    assert well.is_well
    assert (2, True) == (behind.missing, 0 < behind.lag_seconds < 60)
    assert away.is_away
    assert [False] * 3 == [state.is_well for state in (behind, away, rejecting)]
    assert (0, 2) == (nodes.missing(3), nodes.missing(1))


def test_an_old_report_is_removed(connection: Redis, worker: Node) -> None:
    """
    A host that no longer exists is forgotten after a month.
    """
    nodes = Nodes(connection)
    nodes.report(replace(worker, seen=worker.seen - FORGOTTEN_AFTER - timedelta(days=1)))
    nodes.report(replace(worker, id="b" * 16))

    assert ["b" * 16] == [node.id for node in nodes.all()]


def test_invalid_reports_are_left_out(connection: Redis) -> None:
    """
    Any program may write a report.
    """
    for number, text in enumerate(
        (b"", b"[]", b"{}", b"\xff", b'{"seen": "2026-11-29T12:00:00Z", "role": "x"}')
    ):
        connection.hset(NODES, f"{number:016d}", text)

    assert [] == Nodes(connection).all()


def test_numbers_out_of_range_do_not_stop_the_others(connection: Redis, worker: Node) -> None:
    """
    A planted report with an impossible number or time is left out, and one of the future is removed.

    An impossible position counts as the beginning.
    """
    nodes = Nodes(connection)
    nodes.report(worker)
    BundleStream(connection).add({"bundle": b"1"})
    positions = (f"{2**64}-0", f"0-{2**64}", "\u0663-\u0660", f"{2**64 - 1}-{2**64 - 1}")
    planted: list[tuple[str, object]] = [
        *(("names", names) for names in (10**400, MOST_NAMES + 1, -1, True, 1.5)),
        ("seen", encode_time(worker.seen + 2 * FRESH)),
        *(("position", text) for text in positions),
    ]
    for number, (field, value) in enumerate(planted):
        fields = {**asdict(worker), "seen": encode_time(worker.seen), field: value}
        connection.hset(NODES, f"{number:016d}", json.dumps(fields))

    states = {each.node.id: each for each in nodes.states()}

    assert [f"{number:016d}" for number in range(6, 10)] == sorted(states)[:-1]
    assert ["0-0"] * 3 == [states[f"{number:016d}"].node.position for number in range(6, 9)]
    assert 3 == nodes.missing(0)
    nodes.report(worker)
    assert not connection.hexists(NODES, f"{5:016d}")
