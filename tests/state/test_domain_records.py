"""
Tests of the record of the last outcome of a name.
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
    Return the records, which are empty.
    """
    return DomainRecords(connection)


def issue(records: DomainRecords, *names: str) -> None:
    """
    Record a certificate of 90 days for *names*.
    """
    records.record_issued(names, metadata_of(*names), next_check=NOW + DAY / 2, now=NOW)


def metadata_of(*names: str) -> CertificateMetadata:
    """
    Return the metadata of a certificate of 90 days.
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
        A covered name has the certificate of its wildcard, and no earlier failure.
        """
        records.record_failed(["a.shop.org"], REFUSED, next_check=NOW, now=NOW)

        records.record_issued(
            ["a.shop.org"], metadata_of("*.shop.org"), covered=True, next_check=NOW + DAY, now=NOW
        )

        record = record_of(records, "a.shop.org")
        assert ("covered", "", 0, "04ab") == (record.state, record.code, record.attempts, record.serial)
        assert ("a.shop.org",) == record.names
        assert record.state in SERVED

    def test_an_issued_name_has_all_fields(self, records: DomainRecords) -> None:
        """
        The record of each issued name has all fields.
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
        A success removes the code and the attempts of an earlier failure.
        """
        records.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)
        issue(records, "a.org")

        assert record_of(records, "a.org").code == ""
        assert records.attempts("a.org") == 0


class TestFailed:
    def test_the_failure_is_recorded_with_its_remedy(self, records: DomainRecords) -> None:
        """
        A failure is recorded with its code, its message, its remedy and the next check.
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
        The number of attempts remains after a restart, so that restarts permit no further failures.
        """
        records.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)
        after_a_restart = DomainRecords(connection)
        after_a_restart.start_attempt(["a.org"], next_check=NOW + DAY, now=NOW)
        after_a_restart.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)

        assert after_a_restart.attempts("a.org") == 2

    def test_a_failure_does_not_change_the_recorded_certificate(self, records: DomainRecords) -> None:
        """
        A failed renewal does not change the recorded expiry of the certificate in service.
        """
        issue(records, "a.org")
        records.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)

        assert record_of(records, "a.org").not_after == NOW + 90 * DAY


class TestWaiting:
    def test_a_wait_is_not_an_attempt(self, records: DomainRecords) -> None:
        """
        A failure that only waits does not increase the number of attempts.
        """
        records.record_failed(["a.org"], REFUSED, next_check=NOW + DAY, now=NOW)
        busy = CaBusy(until=NOW + DAY, authority="the CA", detail="later")
        records.record_failed(["a.org"], busy, next_check=NOW + DAY, now=NOW)
        record = record_of(records, "a.org")

        assert (record.state, record.code, record.attempts) == ("waiting", "rate.busy", 1)

    def test_a_pause_by_the_ca_is_not_an_attempt(self, records: DomainRecords) -> None:
        """
        A pause by the CA does not increase the number of attempts, and the remedy has the link.
        """
        paused = Paused(authority="the CA", name="a.org", url="https://ca.example/unpause?jwt=x")
        records.record_failed(["a.org"], paused, next_check=NOW + DAY, now=NOW)
        record = record_of(records, "a.org")

        assert (record.state, record.attempts) == ("paused", 0)
        assert "https://ca.example/unpause?jwt=x" in record.remedy


class TestDeferred:
    def test_each_name_of_deferred_requests_waits(self, records: DomainRecords) -> None:
        """
        Each name of deferred requests has the state `waiting` with its reason.
        """
        requests = [(f"{number}.example.org",) for number in range(600)] + [("a.org", "b.org")]
        records.defer(requests, next_check=NOW + DAY, now=NOW)

        for name, names in (("599.example.org", ("599.example.org",)), ("b.org", ("a.org", "b.org"))):
            record = record_of(records, name)
            assert ("waiting", "", DEFERRED_MESSAGE) == (record.state, record.code, record.message)
            assert (names, NOW + DAY, NOW) == (record.names, record.next_check, record.updated)

    def test_a_deferral_removes_the_failure_and_not_its_attempts(self, records: DomainRecords) -> None:
        """
        A deferral removes an earlier failure, and does not change the number of attempts.
        """
        records.record_failed(["a.org"], REFUSED, next_check=NOW, now=NOW)
        records.defer([("a.org",)], next_check=NOW + DAY, now=NOW)
        record = record_of(records, "a.org")

        assert ("", "", 1) == (record.code, record.remedy, record.attempts)


class TestTenant:
    def test_the_newest_tenant_remains_through_all_outcomes(self, records: DomainRecords) -> None:
        """
        The tenant of the newest request remains after a failure and a success, until the name is removed.
        """
        for tenant in ("one", "two"):
            records.record_tenants({"a.org": tenant, "b.org": "other"})
        assert records.read("a.org") is None
        assert "two" == records.tenant_of("a.org")
        records.record_failed(["a.org"], REFUSED, next_check=NOW, now=NOW)
        assert "two" == record_of(records, "a.org").tenant
        issue(records, "a.org")
        assert "two" == record_of(records, "a.org").tenant
        records.forget("a.org")
        issue(records, "a.org")

        assert "" == record_of(records, "a.org").tenant

    @pytest.mark.parametrize("tenant", ["", "x\x00", "x\u202e", "\ud800", "x" * 254])
    def test_a_tenant_that_would_be_shown_in_another_form_is_ignored(
        self, connection: redis.Redis, records: DomainRecords, tenant: str
    ) -> None:
        """
        A tenant is never shortened or escaped: it would become equal to another one.
        """
        issue(records, "a.org")
        records.record_tenants({"a.org": tenant})
        assert "" == record_of(records, "a.org").tenant
        connection.hset(RECORDS + "a.org", "tenant", tenant.encode("utf-8", "surrogatepass"))

        assert "" == record_of(records, "a.org").tenant
        assert "" == records.tenant_of("a.org")

    def test_a_tenant_with_a_proof_remains(self, records: DomainRecords) -> None:
        """
        Only another proof or a removal replaces a tenant that has proved the ownership.
        """
        records.record_tenants({"a.org": "one"})
        records.record_owners({"a.org": "two"})
        records.record_tenants({"a.org": "one", "b.org": "one"})
        assert ("two", "two") == (records.owner_of("a.org"), records.tenant_of("a.org"))
        assert ("", "one") == (records.owner_of("b.org"), records.tenant_of("b.org"))

        records.record_owners({"a.org": "three"})
        assert ("three", "three") == (records.owner_of("a.org"), records.tenant_of("a.org"))
        records.forget("a.org")
        assert "" == records.owner_of("a.org")

    def test_a_claim_takes_all_names_or_none(self, records: DomainRecords) -> None:
        """
        A tenant claims new names and its own. One name of another, or without a tenant, prevents the claim.
        """
        assert records.claim(["a.org", "b.org"], "one") is None
        assert records.claim(["b.org", "c.org"], "one") is None
        assert "b.org" == records.claim(["d.org", "b.org"], "two")
        issue(records, "operator.org")
        assert "operator.org" == records.claim(["d.org", "operator.org"], "one")

        assert ["one", "one", "one", ""] == [
            records.tenant_of(name) for name in ("a.org", "b.org", "c.org", "d.org")
        ]


class TestRead:
    def test_an_unknown_name_has_no_record(self, records: DomainRecords) -> None:
        """
        A name without a record is None, and has no attempts.
        """
        assert records.read("unknown.org") is None
        assert records.attempts("unknown.org") == 0

    def test_many_records_are_in_the_order_of_the_names(self, records: DomainRecords) -> None:
        """
        Many records are read in batches, in the order of the names.
        """
        names = [f"{number}.org" for number in range(1_203)]
        for name in names[::2]:
            issue(records, name)

        found = list(records.read_many(names))

        assert [record.name if record else None for record in found] == [
            name if number % 2 == 0 else None for number, name in enumerate(names)
        ]

    def test_a_deleted_record_is_none(self, records: DomainRecords) -> None:
        """
        A deleted record is None.
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
        An invalid or incomplete record counts as lost.
        """
        connection.hset(RECORDS + "a.org", mapping=fields)

        assert records.read("a.org") is None

    def test_a_key_of_another_type_counts_as_lost(
        self, records: DomainRecords, connection: redis.Redis
    ) -> None:
        """
        A key of another type counts as lost, and the records of other names are read.
        """
        connection.set(RECORDS + "a.org", "text")
        issue(records, "b.org")

        assert [bool(record) for record in records.read_many(["a.org", "b.org"])] == [False, True]

    @pytest.mark.parametrize(
        "names", ["", "{", "[1]", '["b.org"]', "[" * 50_000, '["a.org", "A b"]', '["a.org", "\\ud800"]']
    )
    def test_an_invalid_list_of_names_is_replaced_with_the_name(
        self, records: DomainRecords, connection: redis.Redis, names: str
    ) -> None:
        """
        A record with an invalid list of names has only its own name, so that it joins no other names.
        """
        issue(records, "a.org")
        connection.hset(RECORDS + "a.org", mapping={"names": names, "attempts": "9" * 5_000})
        record = record_of(records, "a.org")

        assert record.names == ("a.org",)
        assert record.attempts == 0

    def test_a_list_counts_only_for_the_names_in_it(
        self, records: DomainRecords, connection: redis.Redis
    ) -> None:
        """
        Of records with the same list of names, only those of the names in it have the list.
        """
        issue(records, "a.org", "b.org")
        issue(records, "c.org")
        names = connection.hget(RECORDS + "a.org", "names")
        connection.hset(RECORDS + "c.org", "names", names)

        assert [each and each.names for each in records.read_many(["a.org", "c.org", "b.org"])] == [
            ("a.org", "b.org"),
            ("c.org",),
            ("a.org", "b.org"),
        ]

    def test_texts_are_printable_and_have_a_maximum_length(
        self, records: DomainRecords, connection: redis.Redis
    ) -> None:
        """
        The texts of a record are printable and have a maximum length.
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
        "timestamp", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59Z"]
    )
    def test_extreme_times_do_not_overflow(
        self, records: DomainRecords, connection: redis.Redis, timestamp: str
    ) -> None:
        """
        Extreme times of a record can be compared and changed without an overflow.
        """
        issue(records, "a.org")
        connection.hset(RECORDS + "a.org", mapping={"not_after": timestamp, "next_check": timestamp})
        record = record_of(records, "a.org")

        for each in (record.not_after, record.next_check):
            assert each is None or each - 400 * DAY < each + DAY

    def test_a_large_record_does_not_affect_the_others(
        self, records: DomainRecords, connection: redis.Redis
    ) -> None:
        """
        A very large record counts as lost, and the other records are read in order.
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
def test_a_record_that_is_too_large_is_replaced(connection: redis.Redis, fields: dict[str, str]) -> None:
    """
    Reading removes a record that is too large, so that the next outcome replaces it.
    """
    records = DomainRecords(connection)
    for field, value in fields.items():
        connection.hset(f"{RECORDS}shop.example.org", field, value)

    assert records.read("shop.example.org") is None
    records.start_attempt(["shop.example.org"], next_check=NOW, now=NOW)
    read = records.read("shop.example.org")
    assert read
    assert read.state == "issuing"
