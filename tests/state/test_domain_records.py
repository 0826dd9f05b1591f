"""
The last outcome of a name.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from certworker.errors.acme import BadCertificate
from certworker.errors.rate import CaBusy, Paused
from certworker.redis.codec import LONGEST_TEXT
from certworker.state.domain_records import DEFERRED_MESSAGE, RECORDS, SERVED, DomainRecord, DomainRecords
from certworker.storage.metadata import CertificateMetadata

NOW = datetime(2026, 11, 23, 10, 15, 9, tzinfo=UTC)
DAY = timedelta(days=1)
REFUSED = BadCertificate(name="a.org", reason="its chain is out of order")


@pytest.fixture
def records(connection: redis.Redis) -> DomainRecords:
    """
    Return the records, of which there are none yet.
    """
    return DomainRecords(connection)


def issue(records: DomainRecords, *names: str) -> None:
    """
    Record a certificate of 90 days for *names*.
    """
    records.record_issued(names, metadata_of(*names), next_check=NOW + DAY / 2, now=NOW)


def metadata_of(*names: str) -> CertificateMetadata:
    """
    Return the metadata of that certificate.
    """
    return CertificateMetadata(
        names=names,
        not_before=NOW,
        not_after=NOW + 90 * DAY,
        serial="04ab",
        issuer="R11",
        renewal_id="",
        authority="letsencrypt",
        kind="public",
        generation=1,
    )


def record_of(records: DomainRecords, name: str) -> DomainRecord:
    """
    Return the record of *name*, which has one.
    """
    record = records.read(name)
    assert record is not None
    return record


class TestIssued:
    def test_a_covered_name_has_the_certificate_of_its_wildcard(self, records: DomainRecords) -> None:
        """
        An earlier failure is over.
        """
        records.record_failed(["a.shop.org"], REFUSED, next_check=NOW, now=NOW)

        records.record_issued(
            ["a.shop.org"], metadata_of("*.shop.org"), covered=True, next_check=NOW + DAY, now=NOW
        )

        record = record_of(records, "a.shop.org")
        assert ("covered", "", 0, "04ab") == (record.state, record.code, record.attempts, record.serial)
        assert ("a.shop.org",) == record.names
        assert record.state in SERVED

    def test_everything_is_read_back(self, records: DomainRecords) -> None:
        """
        Each of the names has all fields.
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

    def test_a_success_removes_the_failure(self, records: DomainRecords) -> None:
        """
        Neither its code nor its attempts remain.
        """
        records.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)
        issue(records, "a.org")

        assert record_of(records, "a.org").code == ""
        assert records.attempts("a.org") == 0


class TestFailed:
    def test_the_failure_is_recorded_with_its_remedy(self, records: DomainRecords) -> None:
        """
        `certworker status` shows them.
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
        Otherwise each restart would permit another series of failures at the CA.
        """
        records.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)
        after_a_restart = DomainRecords(connection)
        after_a_restart.start_attempt(["a.org"], next_check=NOW + DAY, now=NOW)
        after_a_restart.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)

        assert after_a_restart.attempts("a.org") == 2

    def test_the_certificate_in_service_stays_recorded(self, records: DomainRecords) -> None:
        """
        A failed renewal does not change it.
        """
        issue(records, "a.org")
        records.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)

        assert record_of(records, "a.org").not_after == NOW + 90 * DAY


class TestWaiting:
    def test_a_wait_counts_no_attempt(self, records: DomainRecords) -> None:
        """
        The pause after the next failure is not longer for it.
        """
        records.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)
        busy = CaBusy(until=NOW + DAY, authority="the CA", detail="later")
        records.record_failed(["a.org"], busy, next_check=NOW + DAY, now=NOW)
        record = record_of(records, "a.org")

        assert (record.state, record.code, record.attempts) == ("waiting", "rate.busy", 1)

    def test_a_pause_by_the_ca_counts_no_attempt(self, records: DomainRecords) -> None:
        """
        The number of attempts stays the same, and the remedy has the link that a person has to open.
        """
        paused = Paused(authority="the CA", name="a.org", url="https://ca.example/unpause?jwt=x")
        records.record_failed(["a.org"], paused, next_check=NOW + DAY, now=NOW)
        record = record_of(records, "a.org")

        assert (record.state, record.attempts) == ("paused", 0)
        assert "https://ca.example/unpause?jwt=x" in record.remedy


class TestDeferred:
    def test_each_name_of_thousands_of_requests_waits(self, records: DomainRecords) -> None:
        """
        `certworker status` shows the reason.
        """
        requests = [(f"{number}.example.org",) for number in range(600)] + [("a.org", "b.org")]
        records.defer(requests, next_check=NOW + DAY, now=NOW)

        for name, names in (("599.example.org", ("599.example.org",)), ("b.org", ("a.org", "b.org"))):
            record = record_of(records, name)
            assert ("waiting", "", DEFERRED_MESSAGE) == (record.state, record.code, record.message)
            assert (names, NOW + DAY, NOW) == (record.names, record.next_check, record.updated)

    def test_an_earlier_failure_is_removed_and_its_attempts_stay(self, records: DomainRecords) -> None:
        """
        Its message would mislead: it is not why the name waits.
        """
        records.record_failed(["a.org"], REFUSED, next_check=NOW, now=NOW)
        records.defer([("a.org",)], next_check=NOW + DAY, now=NOW)
        record = record_of(records, "a.org")

        assert ("", "", 1) == (record.code, record.remedy, record.attempts)


class TestRead:
    def test_a_name_without_a_record(self, records: DomainRecords) -> None:
        """
        It is None, and has no attempts.
        """
        assert records.read("unknown.org") is None
        assert records.attempts("unknown.org") == 0

    def test_many_in_their_order(self, records: DomainRecords) -> None:
        """
        They are read in several commands.
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
        It has no record.
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
    def test_an_invalid_record_counts_as_lost(
        self, records: DomainRecords, connection: redis.Redis, fields: dict[Any, Any]
    ) -> None:
        """
        Eviction followed by a counted attempt leaves half a record; other programs write anything.
        """
        connection.hset(RECORDS + "a.org", mapping=fields)

        assert records.read("a.org") is None

    def test_a_key_of_another_type_counts_as_lost(
        self, records: DomainRecords, connection: redis.Redis
    ) -> None:
        """
        The records of other names are read.
        """
        connection.set(RECORDS + "a.org", "text")
        issue(records, "b.org")

        assert [bool(record) for record in records.read_many(["a.org", "b.org"])] == [False, True]

    @pytest.mark.parametrize(
        "names", ["", "{", "[1]", '["b.org"]', "[" * 50_000, '["a.org", "A b"]', '["a.org", "\\ud800"]']
    )
    def test_an_invalid_list_of_names_is_the_name_itself(
        self, records: DomainRecords, connection: redis.Redis, names: str
    ) -> None:
        """
        Otherwise a planted record would order a certificate for names that no request has.
        """
        issue(records, "a.org")
        connection.hset(RECORDS + "a.org", mapping={"names": names, "attempts": "9" * 5_000})
        record = record_of(records, "a.org")

        assert record.names == ("a.org",)
        assert record.attempts == 0

    def test_texts_are_printable_and_bounded(self, records: DomainRecords, connection: redis.Redis) -> None:
        """
        Nothing in a record moves the cursor of a terminal, hides text or adds a line.
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
    def test_extreme_times_do_not_overflow(
        self, records: DomainRecords, connection: redis.Redis, moment: str
    ) -> None:
        """
        Adding days to them works.
        """
        issue(records, "a.org")
        connection.hset(RECORDS + "a.org", mapping={"not_after": moment, "next_check": moment})
        record = record_of(records, "a.org")

        for each in (record.not_after, record.next_check):
            assert each is None or each - 400 * DAY < each + DAY

    def test_a_large_record_does_not_affect_the_others(
        self, records: DomainRecords, connection: redis.Redis
    ) -> None:
        """
        A record with megabytes or thousands of fields counts as lost; the others are read in order.
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
    Reading removes it: otherwise no later outcome of the name would be readable.
    """
    records = DomainRecords(connection)
    for field, value in fields.items():
        connection.hset(f"{RECORDS}shop.example.org", field, value)

    assert records.read("shop.example.org") is None
    records.start_attempt(["shop.example.org"], next_check=NOW, now=NOW)
    read = records.read("shop.example.org")
    assert read
    assert read.state == "issuing"
