"""
What happened to a name last.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from certworker.errors.acme import BadCertificate
from certworker.errors.rate import CaBusy, Paused
from certworker.redis.codec import LONGEST_TEXT
from certworker.state.domain_records import RECORDS, DomainRecord, DomainRecords

NOW = datetime(2026, 11, 23, 10, 15, 9, tzinfo=UTC)
DAY = timedelta(days=1)
REFUSED = BadCertificate(name="a.org", reason="its chain is out of order")


@pytest.fixture
def records(connection: redis.Redis) -> DomainRecords:
    """
    No record yet.
    """
    return DomainRecords(connection)


def issue(records: DomainRecords, *names: str) -> None:
    """
    Record a certificate of 90 days for *names*.
    """
    records.record_issued(
        names,
        not_before=NOW,
        not_after=NOW + 90 * DAY,
        serial="04ab",
        authority="letsencrypt",
        next_check=NOW + DAY / 2,
        now=NOW,
    )


def record_of(records: DomainRecords, name: str) -> DomainRecord:
    """
    The record of *name*, which has one.
    """
    record = records.read(name)
    assert record is not None
    return record


class TestIssued:
    """
    A certificate is in service.
    """

    def test_everything_is_read_back(self, records: DomainRecords) -> None:
        """
        `certworker status` shows nothing else.
        """
        issue(records, "a.org", "b.org")

        assert record_of(records, "b.org") == DomainRecord(
            name="b.org",
            names=("a.org", "b.org"),
            state="issued",
            code="",
            message="",
            remedy="",
            attempts=0,
            crashes=0,
            not_before=NOW,
            not_after=NOW + 90 * DAY,
            serial="04ab",
            authority="letsencrypt",
            next_check=NOW + DAY / 2,
            updated=NOW,
        )

    def test_failures_are_forgotten(self, records: DomainRecords) -> None:
        """
        An old error beside a valid certificate would send people searching.
        """
        records.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)
        issue(records, "a.org")

        assert record_of(records, "a.org").code == ""
        assert records.attempts("a.org") == 0


class TestFailed:
    """
    An attempt failed.
    """

    def test_the_failure_is_told_with_its_remedy(self, records: DomainRecords) -> None:
        """
        The log of last week is gone; the record is what people find.
        """
        records.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)
        record = record_of(records, "a.org")

        assert (record.state, record.code, record.message, record.remedy, record.next_check) == (
            "failed",
            "acme.bad_cert",
            REFUSED.message,
            REFUSED.remedy,
            NOW + DAY,
        )

    def test_attempts_are_counted_across_restarts(
        self, records: DomainRecords, connection: redis.Redis
    ) -> None:
        """
        People debug by restarting; a count that began anew would burn the CA's five failures an hour.
        """
        records.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)
        after_a_restart = DomainRecords(connection)
        after_a_restart.start_attempt(["a.org"], next_check=NOW + DAY, now=NOW)
        after_a_restart.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)

        assert after_a_restart.attempts("a.org") == 2

    def test_the_certificate_in_service_stays_recorded(self, records: DomainRecords) -> None:
        """
        A failed renewal is no outage: the old certificate serves on.
        """
        issue(records, "a.org")
        records.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)

        assert record_of(records, "a.org").not_after == NOW + 90 * DAY


class TestWaiting:
    """
    The time has not come yet.
    """

    def test_it_is_no_failed_attempt(self, records: DomainRecords) -> None:
        """
        Waiting for room must not lengthen the pause after a real failure.
        """
        records.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)
        busy = CaBusy(until=NOW + DAY, authority="the CA", detail="later")
        records.record_failed(["a.org"], busy, next_check=NOW + DAY, now=NOW)
        record = record_of(records, "a.org")

        assert (record.state, record.code, record.attempts) == ("waiting", "rate.busy", 1)

    def test_a_pause_is_none_either(self, records: DomainRecords) -> None:
        """
        It is seen as what it is, with the link that a person has to open.
        """
        paused = Paused(authority="the CA", name="a.org", url="https://ca.example/unpause?jwt=x")
        records.record_failed(["a.org"], paused, next_check=NOW + DAY, now=NOW)
        record = record_of(records, "a.org")

        assert (record.state, record.attempts) == ("paused", 0)
        assert "https://ca.example/unpause?jwt=x" in record.remedy


class TestRead:
    """
    Whatever stands in Redis, it is read.
    """

    def test_a_name_without_a_record(self, records: DomainRecords) -> None:
        """
        Not known is not the same as nothing to do; the caller decides.
        """
        assert records.read("unknown.org") is None
        assert records.attempts("unknown.org") == 0

    def test_many_in_their_order(self, records: DomainRecords) -> None:
        """
        They are read in portions; the last one is as true as the first.
        """
        names = [f"{number}.org" for number in range(1_203)]
        for name in names[::2]:
            issue(records, name)

        found = list(records.read_many(names))

        assert [record.name if record else None for record in found] == [
            name if number % 2 == 0 else None for number, name in enumerate(names)
        ]

    def test_a_forgotten_name(self, records: DomainRecords) -> None:
        """
        A removed domain leaves nothing behind.
        """
        issue(records, "a.org")
        records.forget("a.org")

        assert records.read("a.org") is None

    @pytest.mark.parametrize(
        "fields",
        [
            {"state": "issued"},
            {"state": "dreaming", "updated": "2026-11-23T10:15:09Z"},
            {"state": "issued", "updated": "yesterday"},
            {"state": "issued", "updated": "2026-11-23T10:15:09"},
            {b"\xff": b"\xfe"},
        ],
    )
    def test_a_record_that_cannot_be_read_is_as_good_as_lost(
        self, records: DomainRecords, connection: redis.Redis, fields: dict[Any, Any]
    ) -> None:
        """
        Eviction and an attempt counted afterwards leave half a record; other programs write worse.
        """
        connection.hset(RECORDS + "a.org", mapping=fields)

        assert records.read("a.org") is None

    def test_a_key_of_another_kind_is_as_good_as_lost(
        self, records: DomainRecords, connection: redis.Redis
    ) -> None:
        """
        One wrong key must not hide the records of all the others.
        """
        connection.set(RECORDS + "a.org", "text")
        issue(records, "b.org")

        assert [bool(record) for record in records.read_many(["a.org", "b.org"])] == [False, True]

    @pytest.mark.parametrize(
        "names", ["", "{", "[1]", '["b.org"]', "[" * 50_000, '["a.org", "A b"]', '["a.org", "\\ud800"]']
    )
    def test_a_damaged_list_of_names_is_the_name_itself(
        self, records: DomainRecords, connection: redis.Redis, names: str
    ) -> None:
        """
        A record must never make us order a certificate for a name that it invented.
        """
        issue(records, "a.org")
        connection.hset(RECORDS + "a.org", mapping={"names": names, "attempts": "9" * 5_000})
        record = record_of(records, "a.org")

        assert record.names == ("a.org",)
        assert record.attempts == 0

    def test_what_is_read_is_printable_and_bounded(
        self, records: DomainRecords, connection: redis.Redis
    ) -> None:
        """
        A terminal shows the record; nothing in it moves the cursor, hides text or adds a line.
        """
        hostile = "m\x1b[2J\x1b]0;pwn\a\r\nfake\N{RIGHT-TO-LEFT OVERRIDE}\N{LINE SEPARATOR}" + "x" * 10_000
        issue(records, "a.org")
        fields: dict[Any, Any] = dict.fromkeys(("code", "message", "remedy", "serial", "authority"), hostile)
        connection.hset(RECORDS + "a.org", mapping=fields)
        record = record_of(records, "a.org")

        for text in (record.code, record.message, record.remedy, record.serial, record.authority):
            assert text.isprintable()
            assert text.startswith("m\\x1b[2J")
            assert len(text) <= LONGEST_TEXT

    @pytest.mark.parametrize(
        "moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59Z"]
    )
    def test_a_moment_at_the_end_of_time_can_be_reckoned_with(
        self, records: DomainRecords, connection: redis.Redis, moment: str
    ) -> None:
        """
        A day is added to it somewhere, and it is compared with others.
        """
        issue(records, "a.org")
        connection.hset(RECORDS + "a.org", mapping={"not_after": moment, "next_check": moment})
        record = record_of(records, "a.org")

        for each in (record.not_after, record.next_check):
            assert each is None or each - 400 * DAY < each + DAY

    def test_a_record_of_any_size_costs_no_other_its_place(
        self, records: DomainRecords, connection: redis.Redis
    ) -> None:
        """
        Values of megabytes and thousands of fields are not read; the others are, each in its place.
        """
        names = [f"{number}.org" for number in range(700)]
        for name in names:
            issue(records, name)
        for name in names[::50]:
            connection.hset(RECORDS + name, "message", "x" * 10_000_000)
        connection.hset(RECORDS + "1.org", mapping={f"field {number}": "x" for number in range(5_000)})
        for name in names[2::50]:
            connection.hset(RECORDS + name, "logs", "\x01" * 60_000)

        found = list(records.read_many(names))

        lost = {*names[::50], "1.org"}
        assert [None if name in lost else name for name in names] == [each and each.name for each in found]


@pytest.mark.parametrize(
    "fields", [{"not_before": "x" * 70_000}, {str(number): "x" for number in range(100)}]
)
def test_a_record_that_is_too_large_is_written_again(connection: redis.Redis, fields: dict[str, str]) -> None:
    """
    Without its removal no later outcome of the name can be read.
    """
    records = DomainRecords(connection)
    for field, value in fields.items():
        connection.hset(f"{RECORDS}shop.example.org", field, value)

    assert records.read("shop.example.org") is None
    records.start_attempt(["shop.example.org"], next_check=NOW, now=NOW)
    read = records.read("shop.example.org")
    assert read
    assert read.state == "issuing"
