"""
What other programs are told.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import cast

from redis import Redis

from certworker.ledger.events import EVENTS, EVENTS_KEPT, Events
from certworker.ledger.record import RECORDS, Records

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVENT = {"state": "failed", "issue_date": "2026-11-23T12:00:00Z", "renew_date": None, "logs": "told"}


class TestEvents:
    def test_an_event_is_an_object_in_the_stream(self, connection: Redis) -> None:
        """
        Any language reads that.
        """
        Events(connection).tell(["a.org"], EVENT)

        ((_, fields),) = cast("list[tuple[bytes, dict[bytes, bytes]]]", connection.xrange(EVENTS))
        assert EVENT == json.loads(fields[b"event"])

    def test_the_record_gets_what_it_has_not(self, connection: Redis) -> None:
        """
        Whoever was away for long reads the records; and one that is gone is not half made again.
        """
        Records(connection).began(["a.org"], next_look=NOW, now=NOW)

        Events(connection).tell(["a.org", "b.org"], EVENT)

        stored = cast("dict[bytes, bytes]", connection.hgetall(f"{RECORDS}a.org"))
        assert (b"told", b"") == (stored[b"logs"], stored[b"renew_date"])
        assert b"issuing" == stored[b"state"]
        assert not connection.exists(f"{RECORDS}b.org")

    def test_the_stream_does_not_grow_for_ever(self, connection: Redis) -> None:
        """
        Redis has half a gigabyte for all of Appwrite.
        """
        with connection.pipeline(transaction=False) as pipeline:
            for _ in range(EVENTS_KEPT + 500):
                pipeline.xadd(EVENTS, {"event": "{}"})
            pipeline.execute()

        Events(connection).tell([], EVENT)

        assert EVENTS_KEPT <= connection.xlen(EVENTS) < EVENTS_KEPT + 200
