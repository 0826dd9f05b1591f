"""
The names that have no certificate of their own, because a wildcard covers them.

`.certworker/covered/NAME` is a link to the link of the wildcard in `.certworker/live`, whether that link
exists or not. So the volume alone shows which names need a certificate after the removal of the wildcard.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from certworker.domains import covering_wildcard, file_name
from certworker.storage import durable
from certworker.storage.metadata import LIVE, NAME
from certworker.storage.remembered_listing import RememberedListing


class CoveredNames:
    """
    The names on the volume in *directory* that rely on a wildcard.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / ".certworker" / "covered"
        self._is_made = False
        self._count = RememberedListing(self._directory, lambda: len(self.entries()))

    def add(self, names: Iterable[str]) -> bool:
        """
        Record that each of *names* relies on the wildcard that covers it; return whether a record is new.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: The record cannot be written.
        """
        missing = {_checked(name): _target(name) for name in names if self.wildcard_of(name) is None}
        if not missing:
            return False
        if not self._is_made:
            durable.make_directory(self._directory)
            self._is_made = True
        for file, target in missing.items():
            self._link(self._directory / file, target)
        durable.sync_directory(self._directory)
        return True

    def wildcard_of(self, name: str) -> str | None:
        """
        Return the wildcard that *name* relies on, in service or not; None: it relies on no wildcard.

        Raises:
            VolumeReadOnly, VolumeFault: The volume cannot be read.
        """
        path = f"{self._directory}/{_checked(name)}"
        with durable.translate_os_errors(path):
            try:
                target = os.readlink(path)  # noqa: PTH115 (with a Path it takes ten times as long)
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                if error.errno != errno.EINVAL:  # it is not a link, so another program made it
                    raise
                return None
        wildcard = covering_wildcard(name)
        return wildcard if wildcard and target == _target(name) else None

    def names(self) -> Iterator[str]:
        """
        Return the names that rely on a wildcard, in alphabetical order.

        Raises:
            VolumeReadOnly, VolumeFault: The volume cannot be read.
        """
        return (name for name in sorted(self.entries()) if self.wildcard_of(name))

    def relying_on(self, wildcard: str) -> list[str]:
        """
        Return the names that rely on *wildcard*, in alphabetical order.

        Raises:
            VolumeReadOnly, VolumeFault: The volume cannot be read.
        """
        below = (name for name in sorted(self.entries()) if wildcard == covering_wildcard(name))
        # Other programs may have put files there.
        return [name for name in below if self.wildcard_of(name)]

    def count(self) -> int:
        """
        Return the number of records, which may include files of other programs.

        An unchanged directory is usually not listed again.
        """
        return self._count.current()

    def entries(self) -> set[str]:
        """
        Return the file names of the records, which may include files of other programs.

        Raises:
            VolumeReadOnly, VolumeFault: The volume cannot be read.
        """
        with durable.translate_os_errors(self._directory):
            try:
                with os.scandir(self._directory) as entries:
                    return {entry.name for entry in entries if NAME.fullmatch(entry.name)}
            except FileNotFoundError:
                return set()

    def remove(self, name: str) -> None:
        """
        Remove the record that *name* relies on a wildcard.

        Raises:
            VolumeReadOnly, VolumeFault: The record cannot be removed.
        """
        path = self._directory / _checked(name)
        if os.path.lexists(path):
            durable.remove(path)

    def _link(self, path: Path, target: str) -> None:
        # A link is made atomically. Anything else that another program put at this path is removed first.
        with durable.translate_os_errors(path):
            try:
                path.symlink_to(target)
            except FileExistsError:
                durable.remove(path)
                path.symlink_to(target)


def _checked(name: str) -> str:
    # Names have already been checked; this check is the last defense against a path outside the directory.
    if not NAME.fullmatch(name):
        raise ValueError("not a name for a file of the volume")
    return file_name(name)


def _target(name: str) -> str:
    return f"../{LIVE.name}/{file_name(covering_wildcard(name) or name)}"
