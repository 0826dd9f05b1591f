"""
Tests of the list of created records in Redis and in files.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from certworker.dns01.provider import TxtRecord
from certworker.dns01.txt_records import LARGEST_ENTRY, RECORDS, TxtRecords, identifier_of

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
ORDER = "0123456789abcdef0123456789abcdef"
AUTHORIZATION = f"{'t' * 43}.LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
#: The SHA-256 hash of the key authorization.
VALUE = "PNP4VdAlGwHuZY_WLXE4HUccRFOjPIJ2k555Trx1dB8"
RECORD = TxtRecord("k1.far.net", VALUE, "far.net", "example.com", "t" * 43, AUTHORIZATION)
OTHER = replace(RECORD, fqdn="_acme-challenge.a.org", zone="a.org")


@pytest.fixture
def records(connection: Redis, tmp_path: Path) -> TxtRecords:
    """
    Return an empty list of records.
    """
    return TxtRecords(connection, tmp_path / "dns01", clock=lambda: NOW)


def files(directory: Path) -> list[Path]:
    """
    Return the files of the records.
    """
    return sorted((directory / "dns01").glob("*.json"))


class TestList:
    def test_a_record_is_in_redis_and_in_a_file(
        self, records: TxtRecords, connection: Redis, tmp_path: Path
    ) -> None:
        """
        Redis and a file have the whole record, so that another worker can delete it.
        """
        records.add([RECORD, OTHER], order=ORDER, provider="rfc2136")

        for found in (records.all(), _without(connection, records).all()):
            entry = found[identifier_of(RECORD)]
            assert {identifier_of(RECORD), identifier_of(OTHER)} == found.keys()
            assert RECORD == entry.record
            assert (RECORD.name, RECORD.token, AUTHORIZATION) == (
                entry.record.name,
                entry.record.token,
                entry.record.key_authorization,
            )
            assert (ORDER, "rfc2136", NOW, 0, None) == (
                entry.order,
                entry.provider,
                entry.created,
                entry.failures,
                entry.again,
            )
        assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in files(tmp_path)}

    def test_a_removed_record_is_neither_in_redis_nor_in_a_file(
        self, records: TxtRecords, connection: Redis, tmp_path: Path
    ) -> None:
        """
        A removed record is neither in Redis nor in a file, and other records remain.
        """
        records.add([RECORD, OTHER], order=ORDER, provider="rfc2136")

        records.remove(RECORD)
        records.remove(RECORD)

        assert [f"{identifier_of(OTHER)}.json"] == [file.name for file in files(tmp_path)]
        assert [identifier_of(OTHER).encode()] == connection.hkeys(RECORDS)
        assert None is records.get(RECORD)

    def test_lost_entries_of_redis_are_restored_as_new_ones(
        self, records: TxtRecords, connection: Redis, tmp_path: Path
    ) -> None:
        """
        Lost entries are restored with a new time, because the leases of running orders are lost, too.
        """
        records.add([RECORD], order=ORDER, provider="rfc2136")
        connection.flushall()
        later = TxtRecords(connection, tmp_path / "dns01", clock=lambda: LATER)

        (entry,) = later.all().values()

        assert LATER == entry.created
        assert entry == later.get(RECORD)

    def test_lost_files_are_written_again(
        self, records: TxtRecords, connection: Redis, tmp_path: Path
    ) -> None:
        """
        A worker with another state directory writes the missing files of the records.
        """
        records.add([RECORD], order=ORDER, provider="rfc2136")
        another = TxtRecords(connection, tmp_path / "host" / "dns01", clock=lambda: NOW)

        another.all()

        assert 1 == len(files(tmp_path / "host"))

    def test_a_failed_deletion_is_stored(self, records: TxtRecords) -> None:
        """
        Redis stores the failures and the next attempt of a deletion, which another worker may make.
        """
        records.add([RECORD], order=ORDER, provider="rfc2136")
        for _ in range(2):
            (entry,) = records.all().values()
            records.postpone(entry, LATER)

        (entry,) = records.all().values()
        assert (2, LATER) == (entry.failures, entry.again)

    def test_a_removed_record_is_removed_on_all_hosts(
        self, records: TxtRecords, connection: Redis, tmp_path: Path
    ) -> None:
        """
        The file of another host does not restore a removed record.
        """
        another = TxtRecords(connection, tmp_path / "host" / "dns01", clock=lambda: NOW)
        records.add([RECORD], order=ORDER, provider="rfc2136")
        assert another.all()

        records.remove(RECORD)

        assert {} == another.all() == records.all()
        assert [] == files(tmp_path) + files(tmp_path / "host")
        records.add([RECORD], order=ORDER, provider="rfc2136")
        assert {identifier_of(RECORD)} == another.all().keys()

    def test_an_empty_list_has_no_files(self, records: TxtRecords, tmp_path: Path) -> None:
        """
        An empty list creates no file, because most workers never use DNS-01.
        """
        assert {} == records.all()
        assert 0 == records.remove_leftovers()
        assert not (tmp_path / "dns01" / "x.json").exists()


class TestInvalidEntries:
    @pytest.mark.parametrize(
        "change",
        [
            {"fqdn": "a b.far.net"},
            {"fqdn": "k1.other.net"},
            {"fqdn": "-rf.far.net"},
            {"fqdn": 7},
            {"zone": "net; rm -rf /"},
            {"zone": ""},
            {"value": "v=spf1 -all"},
            {"value": VALUE + "\n"},
            {"value": "x" * 44},
            {"key_authorization": ""},
            {"name": "*.example.com\n"},
            {"token": "../../key"},
            {"key_authorization": "x"},
            {"order": "*"},
            {"order": None},
            {"provider": "\x1b[31m"},
            {"created": "yesterday"},
        ],
        ids=str,
    )
    def test_an_invalid_entry_is_removed(
        self, records: TxtRecords, connection: Redis, tmp_path: Path, change: dict[str, Any]
    ) -> None:
        """
        An invalid entry is removed, so a planted value cannot delete other records of a zone.
        """
        records.add([RECORD, OTHER], order=ORDER, provider="rfc2136")
        key = identifier_of(RECORD)
        changed = json.dumps({**json.loads(connection.hget(RECORDS, key) or ""), **change})
        connection.hset(RECORDS, key, changed)
        (tmp_path / "dns01" / f"{key}.json").write_text(changed)

        assert {identifier_of(OTHER)} == records.all().keys()
        assert [identifier_of(OTHER).encode()] == connection.hkeys(RECORDS)
        assert 1 == len(files(tmp_path))

    def test_an_entry_without_its_key_authorization_is_invalid(
        self, records: TxtRecords, connection: Redis
    ) -> None:
        """
        An entry is invalid if its value is not the hash of its key authorization.
        """
        records.add([RECORD], order=ORDER, provider="rfc2136")
        foreign = replace(RECORD, value="bGJtwx_aeQUdAkd9O06ksvOevovFljCQRQdFALMoc04")
        stored = json.loads(connection.hget(RECORDS, identifier_of(RECORD)) or "")
        connection.hset(RECORDS, identifier_of(foreign), json.dumps({**stored, "value": foreign.value}))

        assert None is records.get(foreign)
        assert {identifier_of(RECORD)} == records.all().keys()

    def test_an_entry_of_another_key_is_invalid(self, records: TxtRecords, connection: Redis) -> None:
        """
        An entry whose key does not match its record is invalid.
        """
        records.add([RECORD], order=ORDER, provider="rfc2136")
        stored = connection.hget(RECORDS, identifier_of(RECORD)) or b""
        connection.hset(RECORDS, "f" * 32, stored)

        assert {identifier_of(RECORD)} == records.all().keys()

    def test_invalid_and_large_entries_are_removed(
        self, records: TxtRecords, connection: Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Invalid and large entries are removed, and the log has their number.
        """
        records.add([OTHER], order=ORDER, provider="rfc2136")
        connection.hset(RECORDS, mapping={"x": "{}", "e" * 32: "x" * (LARGEST_ENTRY + 1), "d" * 32: "[]"})
        directory = tmp_path / "dns01"
        (directory / f"{'c' * 32}.json").write_bytes(b"\0" * (LARGEST_ENTRY + 1))
        (directory / f"{'b' * 32}.json").write_text("{")
        (directory / "notes.json").write_text("of the operator")

        assert {identifier_of(OTHER)} == records.all().keys()
        assert "removed invalid entries from the Redis key certworker:dns01:records: 3" in caplog.text
        assert 2 == caplog.text.count("removed an invalid file")
        assert (directory / "notes.json").exists()

    @pytest.mark.parametrize("unreadable", [lambda path: path.symlink_to(path.name), Path.mkdir])
    def test_an_unreadable_file_stays(
        self,
        unreadable: Callable[[Path], None],
        records: TxtRecords,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        A file that cannot be read stays and is logged once; the other records are listed.
        """
        records.add([OTHER], order=ORDER, provider="rfc2136")
        path = tmp_path / "dns01" / f"{'c' * 32}.json"
        unreadable(path)

        found = [records.all().keys() for _ in range(2)]

        assert [{identifier_of(OTHER)}] * 2 == found
        assert os.path.lexists(path)
        (line,) = caplog.messages
        assert f"[fs.io] The file system reports an error at {path} (" in line

    def test_an_unreadable_file_is_replaced_by_the_entry_in_redis(
        self, records: TxtRecords, connection: Redis, tmp_path: Path
    ) -> None:
        """
        A record whose file cannot be read stays in the list, and Redis repairs the file.
        """
        records.add([RECORD], order=ORDER, provider="rfc2136")
        (path,) = files(tmp_path)
        path.unlink()
        path.symlink_to(path.name)

        assert {identifier_of(RECORD)} == records.all().keys()
        assert {identifier_of(RECORD)} == _without(connection, records).all().keys()

    def test_a_key_of_another_type_is_replaced(self, records: TxtRecords, connection: Redis) -> None:
        """
        A key of another type is replaced with the entries of the files.
        """
        records.add([RECORD], order=ORDER, provider="rfc2136")
        connection.delete(RECORDS)
        connection.set(RECORDS, "another client")

        assert {identifier_of(RECORD)} == records.all().keys()


def _without(connection: Redis, records: TxtRecords) -> TxtRecords:
    connection.delete(RECORDS)
    return records
