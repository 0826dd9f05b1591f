"""
The records of names that wait.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from redis import Redis

from certworker.errors.fs import VolumeFull
from certworker.state.deferred_records import MESSAGE, DeferredRecords
from certworker.state.domain_records import DomainRecords

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=15)


class TestParkedRecords:
    def test_each_name_says_that_it_waits(self, connection: Redis) -> None:
        """
        `certworker status` tells why nothing happens.
        """
        requests = [(f"{number}.example.org",) for number in range(600)] + [("a.org", "b.org")]
        DeferredRecords(connection).write(requests, next_check=LATER, now=NOW)

        records = DomainRecords(connection)
        for name, names in (("599.example.org", ("599.example.org",)), ("b.org", ("a.org", "b.org"))):
            record = records.read(name)
            assert record
            assert ("waiting", "", MESSAGE) == (record.state, record.code, record.message)
            assert (names, LATER, NOW) == (record.names, record.next_check, record.updated)

    def test_what_went_wrong_before_is_no_reason_to_wait(self, connection: Redis) -> None:
        """
        The attempts stay counted, but the sentence of the last failure would mislead.
        """
        records = DomainRecords(connection)
        records.record_failed(("a.org",), VolumeFull(path="/x", reason="full"), next_check=NOW, now=NOW)
        DeferredRecords(connection).write([("a.org",)], next_check=LATER, now=NOW)
        record = records.read("a.org")

        assert record
        assert ("", "", 1) == (record.code, record.remedy, record.attempts)
