"""
Tests of the answers to comparisons: which node answers, and what other programs write.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from certworker.replication.answers import LIFETIME_MS, LISTING_SECONDS
from certworker.replication.bundle import sealed_entry
from certworker.replication.comparison import ANSWERS, COMPARISONS
from certworker.replication.sealing import ReplicationKeys
from certworker.replication.stream import BundleStream
from tests.replication.hosts import KEY, Mirror, Origin, answering, answers_of
from tests.servers.worker import wait_until


def test_one_of_several_workers_answers(tmp_path: Path, origin: Origin, mirror: Mirror) -> None:
    """
    Two workers have the same certificates, and a node gets each only once.
    """
    stored = origin.issue("a.org", token=1)
    with answering(origin), answering(origin):
        assert mirror.compare()

    assert ["stored"] == mirror.outcomes
    assert mirror.serves("a.org", stored)


def test_other_programs_get_no_answer(origin: Origin, connection: Redis) -> None:
    """
    A portion with another key, of this node or with invalid content is not answered.
    """
    other = ReplicationKeys([ReplicationKeys.generate()])
    stream, keys = BundleStream(connection, COMPARISONS), ReplicationKeys([KEY])
    fields = {"id": "1", "node": "0" * 16, "is_worker": False, "after": "", "until": None, "ranks": {}}
    fields["made"] = connection.time()[0]
    own = json.dumps(fields).encode()
    with answering(origin):
        stream.add(sealed_entry("comparison", ("1",), own, other))
        stream.add(sealed_entry("comparison", ("1",), own, keys))
        stream.add(sealed_entry("comparison", ("1",), b"[]", keys))
        stream.add({"bundle": b"x"})
        wait_until(lambda: len(origin.rejected) == 2 or None, lambda: str(origin.rejected))

    assert ["replication.wrong_key", "replication.damaged"] == [failure.code for failure in origin.rejected]
    assert [] == list(connection.scan_iter(ANSWERS + "*"))


def test_a_later_portion_gets_recent_certificates(origin: Origin, connection: Redis) -> None:
    """
    Another worker answers the first portion. A minute later, this one uses no old list for the next portion.
    """
    now = 1000.0
    answers = answers_of(origin, lambda: now)
    answers.step()
    stream, keys = BundleStream(connection, COMPARISONS), ReplicationKeys([KEY])

    def sent(number: str) -> int:
        fields = {
            "id": number,
            "node": "1" * 16,
            "is_worker": False,
            "after": "a",
            "until": None,
            "ranks": {},
            "made": connection.time()[0],
        }
        stream.add(sealed_entry("comparison", (number,), json.dumps(fields).encode(), keys))
        answers.step()
        return connection.xlen(ANSWERS + number) - 1

    assert 0 == sent("1")
    origin.issue("new.org", token=1)
    assert 0 == sent("2")
    now += LISTING_SECONDS
    assert 1 == sent("3")


def test_a_replayed_portion_gets_no_answer(
    origin: Origin, mirror: Mirror, connection: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A program that adds a captured portion again after a minute causes no answer.
    """
    origin.issue("a.org", token=1)
    answers = answers_of(origin)
    answers.step()
    with answering(origin):
        assert mirror.compare()
    captured: Any = connection.xrange(COMPARISONS)
    for key in connection.scan_iter("certworker:answering:*"):
        connection.delete(key)
    read_time = connection.time
    monkeypatch.setattr(connection, "time", lambda: (read_time()[0] + LIFETIME_MS // 1000, 0))
    answers.step()
    assert [] == list(connection.scan_iter(ANSWERS + "*"))
    monkeypatch.undo()
    for _, fields in captured:
        connection.xadd(COMPARISONS, fields)
    answers.step()
    assert 1 == len(list(connection.scan_iter(ANSWERS + "*")))
