"""
The names that were removed from the volume, for the replication to other hosts.

`.certworker/removed/NAME` is a link whose target is a number: the fencing token of the removal's lease.
A certificate of that token or a lower one is never put into service again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from certworker.domains import file_name, name_of_file
from certworker.storage import durable
from certworker.storage.metadata import NAME

_TOKEN = re.compile(r"\d{12}")


class RemovedNames:
    """
    The removed names on the volume in *directory*.
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
        Remove the record of *name*, which has a later certificate.
        """
        path = self._directory / file_name(name)
        if os.path.lexists(path):
            durable.remove(path)

    def token_of(self, name: str) -> int:
        """
        Return the token of the last removal of *name*; -1 if there was none.
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
