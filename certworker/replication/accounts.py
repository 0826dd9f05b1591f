"""
The accounts at the CAs, shared by the workers of all hosts, so that a second host registers no other account.

The later key of an account counts: a bundle contains the time of the key's file. So an old bundle does not
restore a replaced key. A key that a key of another host has replaced here, or whose account this host has
deactivated, does not return, because its backup remains on this host.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from certworker.certificates import PrivateKey
from certworker.errors.replication import BundleDamaged
from certworker.replication.bundle import ACCOUNT, sealed_entry
from certworker.replication.sealing import ReplicationKeys
from certworker.storage import durable
from certworker.storage.shared_directory import WriteLock

logger = logging.getLogger(__name__)

KEY, NEXT_KEY, REGISTRATION = "key.pem", "key.next.pem", "account.json"
KEY_MODE = 0o600
DIRECTORY_MODE = 0o700
LARGEST_FILE_BYTES = 16 * 1024
MOST_ACCOUNTS = 100

_LABEL = re.compile(r"(?!\.)[A-Za-z0-9._:-]{1,253}")


class Accounts:
    """
    The files of the accounts on this host.

    Args:
        directory: STATE_DIR/accounts.
    """

    def __init__(self, directory: Path, keys: ReplicationKeys) -> None:
        self._directory = directory
        self._keys = keys
        #: The times of the files when they were last published or received, by label.
        self._known: dict[str, tuple[int, int]] = {}

    def entries(self) -> Iterator[dict[str, bytes]]:
        """
        Yield the entries of all accounts whose key is not being replaced.

        Raises:
            VolumeReadOnly, VolumeFault: A file cannot be read.
        """
        for label in self._labels():
            if entry := self._entry(label):
                yield entry

    def changed_entries(self) -> Iterator[dict[str, bytes]]:
        """
        Yield the entries of the accounts that have changed since they were last yielded here or received.

        Raises:
            VolumeReadOnly, VolumeFault: A file cannot be read.
        """
        for label in self._labels():
            times = self._times(label)
            if times != self._known.get(label) and (entry := self._entry(label)):
                yield entry
                self._known[label] = times

    def receive(self, content: bytes, names: bytes) -> bool:
        """
        Store the account in the *content* of a bundle, unless it is not newer than the account on this host.

        An account whose key is being replaced does not change either, and a retired key is not stored. Return
        whether the account was stored.

        Raises:
            BundleDamaged: The content is invalid.
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: The account cannot be stored.
        """
        try:
            (label,) = json.loads(names)
            fields = json.loads(content)
            key, registration = fields["key"].encode("ascii"), fields["registration"].encode()
            times = int(fields["changed"]), int(fields["registered"])
            PrivateKey.from_pem(key)
            is_valid = _LABEL.fullmatch(label) and min(times) >= -1 and max(times) < 2**63
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise BundleDamaged(reason="its account is invalid") from error
        if not is_valid:
            raise BundleDamaged(reason="its account has an invalid label or time")
        directory = self._directory / label
        if times <= self._times(label):
            return False
        durable.make_directory(directory, DIRECTORY_MODE)
        with WriteLock(directory / "lock").held():
            if times <= self._times(label) or (directory / NEXT_KEY).exists() or _is_retired(directory, key):
                return False
            self._store(directory, key, registration, times)
        self._known[label] = self._times(label)
        logger.info("received the account at %s from another host", label, extra={"event": "replicated"})
        return True

    def _store(self, directory: Path, key: bytes, registration: bytes, times: tuple[int, int]) -> None:
        path = directory / KEY
        own = _content(path)
        if own and own != key:
            durable.write(directory / f"{KEY}.{self._times(directory.name)[0]}.bak", own, KEY_MODE)
        # The registration has no effect until its key is stored.
        for file, content, changed in ((REGISTRATION, registration, times[1]), (KEY, key, times[0])):
            if content and _content(directory / file) != content:
                durable.write(directory / file, content, KEY_MODE)
            if content:
                with durable.translate_os_errors(directory / file):
                    os.utime(directory / file, ns=(changed, changed))

    def _entry(self, label: str) -> dict[str, bytes] | None:
        directory = self._directory / label
        if (directory / NEXT_KEY).exists():
            return None
        times = self._times(label)
        key, registration = _content(directory / KEY), _content(directory / REGISTRATION)
        if not key or times != self._times(label):
            return None
        fields = {
            "key": key.decode("ascii", "replace"),
            "registration": registration.decode("utf-8", "replace"),
            "changed": times[0],
            "registered": times[1],
        }
        return sealed_entry(ACCOUNT, (label,), json.dumps(fields).encode(), self._keys)

    def _labels(self) -> list[str]:
        with durable.translate_os_errors(self._directory):
            try:
                found = sorted(path.name for path in self._directory.iterdir() if path.is_dir())
            except FileNotFoundError:
                return []
        return [label for label in found if _LABEL.fullmatch(label)][:MOST_ACCOUNTS]

    def _times(self, label: str) -> tuple[int, int]:
        """
        Return when the key and the registration were changed, in nanoseconds; -1 for a missing file.
        """
        directory = self._directory / label
        return _time(directory / KEY), _time(directory / REGISTRATION)


def _is_retired(directory: Path, key: bytes) -> bool:
    """
    Return whether a key of another host has replaced *key* here, or this host has deactivated its account.
    """
    return any(_content(path) == key for path in directory.glob(f"{KEY}*.bak"))


def _time(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return -1


def _content(path: Path) -> bytes:
    with durable.translate_os_errors(path):
        try:
            return durable.read(path, LARGEST_FILE_BYTES)
        except (FileNotFoundError, durable.UnsuitableFile):
            return b""
