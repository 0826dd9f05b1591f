"""
The list of the TXT records that certworker has created: in Redis for all workers, and in the state directory.

A record is in the list before it is created, and until it is deleted. So a worker that is killed in between
leaves no unknown record behind. Redis alone or the directory alone is enough to find each record.

An entry is valid only with the key authorization whose digest is the value. Without the key authorization, a
program with access to Redis or to the files cannot make certworker delete the value.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from redis import Redis

from certworker.challenges.challenge import TOKEN, Dns01Challenge
from certworker.dns01.delegation import HOST_NAME
from certworker.dns01.provider import TxtRecord
from certworker.errors import CertworkerError
from certworker.redis.codec import count_in, decode_text, decode_time, encode_time, fields_in
from certworker.storage import durable
from certworker.storage.shared_directory import SharedDirectory

logger = logging.getLogger(__name__)

RECORDS = "certworker:dns01:records"
REMOVED = "certworker:dns01:removed:"

#: Workers on other hosts may have the file of a removed record. Each removes its own file within this time.
REMOVED_TTL = timedelta(days=1)

KEY_AUTHORIZATION = re.compile(r"[A-Za-z0-9_-]{1,100}\.[A-Za-z0-9_-]{43}")
OWNER = re.compile(r"[0-9a-f]{32}")

#: The name of a file, and the field in Redis: a digest of the owner name and the value.
_IDENTIFIER = re.compile(r"[0-9a-f]{32}")
_EXTENSION = ".json"

#: Bytes. The longest valid entry, with three names of full length, takes less.
LARGEST_ENTRY = 4_096
#: The maximum number of records that are read at once. The others follow after these are deleted.
MAX_RECORDS = 10_000

# KEYS: the records. ARGV: the number of records to read, the maximum size. Returns the fields and values, and
# the number of removed entries, which had an invalid key or were too large.
_READ = """
local entries, removed = {}, 0
for _, id in ipairs(redis.call('HKEYS', KEYS[1])) do
    if #entries >= 2 * ARGV[1] then break end
    if #id ~= 32 or redis.call('HSTRLEN', KEYS[1], id) > tonumber(ARGV[2]) then
        removed = removed + redis.call('HDEL', KEYS[1], id)
    else
        entries[#entries + 1] = id
        entries[#entries + 1] = redis.call('HGET', KEYS[1], id)
    end
end
return {entries, removed}
"""


@dataclass(frozen=True)
class Entry:
    """
    A record in the list.
    """

    record: TxtRecord
    #: The order that needs the record. The name of its lease ends with this string.
    order: str
    #: The label of the provider.
    provider: str
    created: datetime
    #: The number of failed deletions, and the time of the next attempt.
    failures: int = 0
    again: datetime | None = None


def identifier_of(record: TxtRecord) -> str:
    """
    Return the key of *record* in the list, a digest of its owner name and its value.
    """
    return hashlib.sha256(f"{record.fqdn} {record.value}".encode()).hexdigest()[:32]


class TxtRecords:
    """
    The list of the records of all workers.

    Args:
        connection: To Redis.
        directory: The directory of the files, which is created with the first record.
        clock: Returns the time in UTC.
    """

    def __init__(self, connection: Redis, directory: Path, *, clock: Callable[[], datetime]) -> None:
        self._connection = connection
        self._directory = SharedDirectory(directory, directory / "lock")
        self._clock = clock
        self._read = connection.register_script(_READ)
        #: The files that could not be read, and for which a warning was logged.
        self._unreadable: set[Path] = set()

    def add(self, records: Sequence[TxtRecord], *, order: str, provider: str) -> None:
        """
        Store *records* durably before they are created.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault, VolumeLocked: The files cannot be written.
            redis.RedisError: Redis failed.
        """
        now = self._clock()
        self._store([Entry(record, order, provider, now) for record in records])

    def postpone(self, entry: Entry, until: datetime) -> None:
        """
        Store that the deletion of the record failed, and is retried at *until*.

        Raises:
            CertworkerError, redis.RedisError: As for :meth:`add`.
        """
        self._store([replace(entry, failures=entry.failures + 1, again=until)])

    def remove(self, record: TxtRecord) -> None:
        """
        Remove *record* from the list, because it no longer exists, was never created, or is too old.

        Raises:
            VolumeReadOnly, VolumeFault, VolumeLocked: The file cannot be removed.
            redis.RedisError: Redis failed.
        """
        identifier = identifier_of(record)
        self._remove_file(identifier)
        self._connection.set(REMOVED + identifier, 1, px=REMOVED_TTL)
        self._connection.hdel(RECORDS, identifier)

    def all(self) -> dict[str, Entry]:
        """
        Return all records of the list by their keys, and repair the list.

        A record in only one place is stored in the other one, unless another worker has removed it. Invalid
        entries are removed and logged. A file that cannot be read stays, and is logged once.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault, VolumeLocked: The files cannot be read or written.
            redis.RedisError: Redis failed.
        """
        shared = self._shared()
        files = self._files()
        # The new time protects the records of running orders whose leases were lost with Redis.
        now = self._clock()
        lost = {
            key: replace(entry, created=now)
            for key, entry in files.items()
            # Another worker may have removed the record in the meantime.
            if key not in shared and not self._is_removed(key)
        }
        self._store(list(lost.values()))
        missing = [key for key in shared if key not in files and self._connection.hexists(RECORDS, key)]
        self._write([shared[key] for key in missing])
        return {**shared, **lost}

    def get(self, record: TxtRecord) -> Entry | None:
        """
        Return the current entry of *record*; None if it is invalid, or no longer in the list.

        Raises:
            redis.RedisError: Redis failed.
        """
        return _entry_in(self._connection.hget(RECORDS, identifier_of(record)))

    def remove_leftovers(self) -> int:
        """
        Remove the unfinished files of killed workers; return their number.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read, or a file cannot be removed.
        """
        return self._directory.remove_leftovers()

    def _store(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        # The marks are deleted first: while they exist, other workers remove the files of these records.
        self._connection.delete(*(REMOVED + identifier_of(each.record) for each in entries))
        self._write(entries)
        self._connection.hset(
            RECORDS, mapping={identifier_of(each.record): _encode(each) for each in entries}
        )

    def _is_removed(self, identifier: str) -> bool:
        """
        Return whether a worker has removed the record, and remove its file if this host still has one.
        """
        if not self._path(identifier).exists():
            return True
        if not self._connection.exists(REMOVED + identifier):
            return False
        self._remove_file(identifier)
        return True

    def _remove_file(self, identifier: str) -> None:
        with self._directory.writing():
            durable.remove(self._path(identifier))

    def _write(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        path = self._directory.path
        durable.make_directory(path, 0o700)
        contents = {identifier_of(each.record) + _EXTENSION: _encode(each).encode() for each in entries}
        with self._directory.writing():
            durable.write_all(path, contents, 0o600, path)

    def _shared(self) -> dict[str, Entry]:
        fields, removed = self._read([RECORDS], [MAX_RECORDS, LARGEST_ENTRY])
        entries: dict[str, Entry] = {}
        for field, value in zip(fields[::2], fields[1::2], strict=True):
            entry, key = _entry_in(value), decode_text(field)
            if entry and identifier_of(entry.record) == key:
                entries[key] = entry
            else:
                removed += self._connection.hdel(RECORDS, field)
        if removed:
            logger.warning("removed invalid entries from the Redis key %s: %d", RECORDS, removed)
        return entries

    def _files(self) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for path in self._paths():
            try:
                entry = self._entry_at(path)
            except FileNotFoundError:
                continue
            except CertworkerError as failure:
                # The record of an unreadable file is still to be deleted, so the file stays.
                if path not in self._unreadable:
                    self._unreadable.add(path)
                    logger.warning("%s", failure, extra={"code": failure.code})
                continue
            self._unreadable.discard(path)
            if entry and identifier_of(entry.record) == path.stem:
                entries[path.stem] = entry
            else:
                durable.remove(path)
                logger.warning("removed an invalid file: %s", path)
        return entries

    def _entry_at(self, path: Path) -> Entry | None:
        """
        Return the entry in the file *path*, or None if its content is invalid.

        Raises:
            FileNotFoundError: The file is missing.
            VolumeReadOnly, VolumeFault: The file cannot be read.
        """
        try:
            return _entry_in(durable.read(path, LARGEST_ENTRY))
        except durable.UnsuitableFile:
            return None
        except FileNotFoundError:
            raise
        except OSError:
            with durable.translate_os_errors(path):
                raise

    def _paths(self) -> Iterator[Path]:
        directory = self._directory.path
        with durable.translate_os_errors(directory):
            found = sorted(directory.iterdir()) if directory.is_dir() else []
        named = (each for each in found if each.suffix == _EXTENSION and _IDENTIFIER.fullmatch(each.stem))
        for number, path in enumerate(named):
            if number >= MAX_RECORDS:
                break
            yield path

    def _path(self, identifier: str) -> Path:
        return self._directory.path / f"{identifier}{_EXTENSION}"


def _encode(entry: Entry) -> str:
    record = entry.record
    return json.dumps(
        {
            "fqdn": record.fqdn,
            "value": record.value,
            "zone": record.zone,
            "name": record.name,
            "token": record.token,
            "key_authorization": record.key_authorization,
            "order": entry.order,
            "provider": entry.provider,
            "created": encode_time(entry.created),
            "failures": entry.failures,
            "again": encode_time(entry.again),
        }
    )


def _entry_in(stored: bytes | str | None) -> Entry | None:
    """
    Return the entry in *stored*, which may come from any program; None if it is invalid.
    """
    fields = fields_in(stored if stored and len(stored) <= LARGEST_ENTRY else None)
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    created = decode_time(fields.get("created"))
    record = _record_in(texts)
    if not (record and created and OWNER.fullmatch(texts.get("order", ""))):
        return None
    provider = texts.get("provider", "")
    if not provider.isprintable() or len(provider) > 100:
        return None
    again = decode_time(fields.get("again"))
    return Entry(record, texts["order"], provider, created, count_in(fields.get("failures")), again)


def _record_in(texts: Mapping[str, str]) -> TxtRecord | None:
    fqdn, zone, name = (texts.get(field, "") for field in ("fqdn", "zone", "name"))
    value, token, authorization = (texts.get(field, "") for field in ("value", "token", "key_authorization"))
    valid = (
        all(HOST_NAME.fullmatch(each) for each in (fqdn, zone))
        and (fqdn == zone or fqdn.endswith(f".{zone}"))
        and (not name or HOST_NAME.fullmatch(name))
        and (not token or TOKEN.fullmatch(token))
        and KEY_AUTHORIZATION.fullmatch(authorization)
        and value == Dns01Challenge(name, token, authorization).value
    )
    return TxtRecord(fqdn, value, zone, name, token, authorization) if valid else None
