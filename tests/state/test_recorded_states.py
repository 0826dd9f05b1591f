"""
Tests of the states of many records.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis

from certworker.redis.codec import encode_time
from certworker.state.domain_records import RECORDS, SERVED, STATES, DomainRecords
from certworker.state.recorded_states import RecordedStates
from certworker.validity import now_in_utc

NOW = encode_time(now_in_utc())


class TestRecordedStates:
    def test_the_states_are_those_of_the_records(self, connection: redis.Redis) -> None:
        """
        The states of more names than fit in a command are in the order of the names.
        """
        names = [f"{number}.org" for number in range(1_203)]
        for number, name in enumerate(names):
            if number % 8:
                fields: dict[Any, Any] = {"state": STATES[number % 8 - 1], "updated": NOW}
                connection.hset(RECORDS + name, mapping=fields)

        states = list(RecordedStates(connection).read_many(names))

        connection.hset(RECORDS + names[1], "tenant", "acme")
        connection.hset(RECORDS + names[2], "tenant", b"\xff")
        connection.hset(RECORDS + names[8], "tenant", "without a state")
        tenants = list(RecordedStates(connection).tenants(names))

        records = list(DomainRecords(connection).read_many(names))
        assert [record.tenant if record else "" for record in records] == tenants
        assert ["", "acme", "", ""] == tenants[:4]
        assert [record and record.state for record in DomainRecords(connection).read_many(names)] == states
        assert {None, *STATES} == set(states)

    def test_doubtful_names_have_no_valid_certificate_or_have_failed(self, connection: redis.Redis) -> None:
        """
        A name with a valid certificate, or with an attempt that runs or waits, is not doubtful.
        """
        now = now_in_utc()
        ends = {
            "later": now + timedelta(days=1),
            "now": now,
            "earlier": now - timedelta(days=1),
            "never": None,
        }
        names = [f"{state}.{end}.org" for state in STATES for end in ends]
        for name in names:
            state, end, _ = name.split(".")
            fields: dict[Any, Any] = {"state": state, "updated": NOW, "not_after": encode_time(ends[end])}
            connection.hset(RECORDS + name, mapping=fields)
        connection.hset(
            RECORDS + "invalid.org", mapping={"state": "issued", "updated": NOW, "not_after": "x" * 20}
        )
        connection.set(RECORDS + "type.org", "")
        others = ["without.org", "invalid.org", "type.org"]

        doubtful = RecordedStates(connection).doubtful([*names, *others], now)

        failed = [f"{state}.{end}.org" for state in ("failed", "paused", "moved") for end in ends]
        ended = [f"{state}.{end}.org" for state in SERVED for end in ("now", "earlier", "never")]
        assert {*failed, *ended, *others} == set(doubtful)

    @pytest.mark.parametrize(
        "fields",
        [
            {"state": "issued"},
            {"state": "dreaming", "updated": NOW},
            {"state": "issued", "updated": "yesterday"},
            {"state": "issued", "updated": "2026-11-23T10:15:09"},
            {"state": "issued,issued", "updated": NOW},
            {"state": "a" * 1_000_000, "updated": NOW},
            {"state": "issued", "updated": NOW, **{f"field {number}": "" for number in range(100)}},
            {b"\xff": b"\xfe"},
        ],
    )
    def test_an_invalid_record_has_no_state(self, connection: redis.Redis, fields: dict[Any, Any]) -> None:
        """
        An invalid record, and a key of another type, do not affect the states of other names.
        """
        connection.hset(RECORDS + "a.org", mapping=fields)
        connection.set(RECORDS + "b.org", "text")
        connection.hset(RECORDS + "c.org", mapping={"state": "failed", "updated": NOW})

        states = RecordedStates(connection).read_many(["a.org", "b.org", "c.org", "d.org"])

        assert [None, None, "failed", None] == list(states)
