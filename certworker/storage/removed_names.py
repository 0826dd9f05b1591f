"""
The names that were removed from the volume, for the replication to other hosts.

`.certworker/removed/NAME` is a link whose target is a number: the fencing token of the removal's lease, or
that of the removed certificate, if higher. On this host, a certificate of another host with that token or a
lower one does not enter service. The record is removed at the latest after :data:`LIFETIME`, when each
certificate of a public CA has expired.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from certworker.domains import file_name, name_of_file
from certworker.storage import durable
from certworker.storage.metadata import NAME
from certworker.storage.shared_directory import for_each

#: How long a removal is recorded. A certificate of a public CA is valid for at most 398 days.
LIFETIME = timedelta(days=400)
#: How long a removal is sent to other hosts. They record it later than this host, so without a shorter time,
#: the hosts would send it back to each other permanently.
SENT = LIFETIME - timedelta(days=30)

_TOKEN = re.compile(r"\d{12}")


class RemovedNames:
    """
    The removed names on the volume in *directory*.

    Methods raise VolumeReadOnly or VolumeFault if the volume cannot be read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / ".certworker" / "removed"

    def add(self, name: str, token: int) -> None:
        """
        Record that the certificates of *name* up to *token* are removed.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: The record cannot be written.
        """
        if token > self.token_of(name):
            durable.make_directory(self._directory)
            durable.link(self._directory / file_name(name), f"{token:012d}", via=self._directory.parent)

    def forget(self, name: str) -> None:
        """
        Remove the record of *name*.
        """
        path = self._directory / file_name(name)
        if os.path.lexists(path):
            durable.remove(path)

    def prune(self, now: datetime) -> None:
        """
        Remove the records that are older than :data:`LIFETIME`.

        Raises:
            VolumeReadOnly, VolumeFault: A record cannot be removed.
        """
        old = [name for name, _ in self.all() if not self.is_younger(name, LIFETIME, now)]
        for_each(old, self.forget)

    def is_younger(self, name: str, age: timedelta, now: datetime) -> bool:
        """
        Return whether the removal of *name* was recorded within *age* before *now*, or is not recorded.
        """
        path = self._directory / file_name(name)
        with durable.translate_os_errors(path):
            try:
                return path.lstat().st_mtime > (now - age).timestamp()
            except FileNotFoundError:
                return True

    def token_of(self, name: str) -> int:
        """
        Return the token of the last removal of *name*; -1 if none is recorded.
        """
        path = self._directory / file_name(name)
        with durable.translate_os_errors(path):
            try:
                target = str(path.readlink())
            except (FileNotFoundError, NotADirectoryError):
                return -1
        return int(target) if _TOKEN.fullmatch(target) else -1

    def all(self) -> Iterator[tuple[str, int]]:
        """
        Yield the removed names with their tokens, in no particular order.
        """
        with durable.translate_os_errors(self._directory):
            try:
                with os.scandir(self._directory) as entries:
                    files = [entry.name for entry in entries if entry.is_symlink()]
            except FileNotFoundError:
                return
        for file in files:
            name = name_of_file(file)
            if NAME.fullmatch(name) and (token := self.token_of(name)) >= 0:
                yield name, token
