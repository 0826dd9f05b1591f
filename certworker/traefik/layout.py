"""
Where the certificate of a name is in Traefik's directory: in a file of its own, or in a shard.

The callers of this module know only the file of each name. Its content may be in a shard.

Traefik serves the certificates of all files. So each change writes the new place first, and then removes the
old one: no name is unserved at any moment, even after a power cut. If both places remain after a crash, the
next change or repair removes the old one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from certworker.errors import CertworkerError
from certworker.storage import durable
from certworker.storage.metadata import GENERATIONS
from certworker.traefik.reload_interval import Size
from certworker.traefik.shard_change import ShardChange
from certworker.traefik.shards import (
    EXTENSION,
    FILE_MODE,
    MOST_BITS,
    bits_of,
    content_of,
    count_in,
    entry_in,
    fits,
    parse,
    shard_file,
    shards_in,
)

#: Where new certificates go. `auto` writes a file for each name, or shards if there are many names.
LayoutChoice = Literal["auto", "per-name", "sharded"]

#: Why files are written. `rebuild`, a repair of all names, replaces shards that another program has changed;
#: until then, their names get files of their own. `scatter` gives each name in a shard a file of its own.
Purpose = Literal["change", "rebuild", "scatter"]

#: With more names than this, `auto` writes shards.
MOST_FILES = 1_000
#: With fewer names than this, `auto` writes a file for each name again.
FEW_NAMES = 800

#: Up to this many files are read one by one; for more, the directory is listed first.
FEW_FILES = 16

#: `auto` counts the files of certworker again when the directory has grown by this factor: other programs may
#: have many files there.
_GROWTH = 1.1

_GENERATION = re.compile(rb"/" + re.escape(bytes(GENERATIONS)) + rb"/[0-9a-f-]+/fullchain\.pem\n")


class Layout:
    """
    The certificates of names in the watched *directory*, each under the file name of its name.

    Args:
        staging: The directory for temporary files, which is not watched.
        choice: Where new certificates go.
        is_outdated: Returns whether the first content must not replace the second.
    """

    def __init__(
        self,
        directory: Path,
        staging: Path,
        choice: LayoutChoice,
        is_outdated: Callable[[bytes, bytes], bool],
    ) -> None:
        self._directory = directory
        self._staging = staging
        self._choice = choice
        self.is_outdated = is_outdated
        #: The number of all files when `auto` last counted those of certworker.
        self._counted = 0
        #: The number of entries by the bits, the time and the size of each shard.
        self._counts = dict[tuple[str, int, int], int]()

    def read(self, file_name: str) -> bytes:
        """
        Return the content of the file of a name, wherever it is; empty if there is none.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read.
        """
        if content := content_of(self._directory / file_name):
            return content
        name = _name(file_name)
        for shard in self._shards_with(name):
            if content := entry_in(content_of(shard), name):
                return content
        return b""

    def read_many(self, file_names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """
        Yield each of *file_names* with the result of :meth:`read`. For many names, each shard is read once.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read.
        """
        if len(file_names) <= FEW_FILES:
            yield from ((file_name, self.read(file_name)) for file_name in file_names)
            return
        listed = self._listed()
        shards = shards_in(listed)
        by_shard = dict[str, list[str]]()
        for file_name in file_names:
            if file_name in listed or not shards:
                yield file_name, content_of(self._directory / file_name)
                continue
            bits = bits_of(_name(file_name))
            on_path = (bits[:length] for length in range(MOST_BITS, 0, -1))
            by_shard.setdefault(next((each for each in on_path if each in shards), ""), []).append(file_name)
        for bits, members in by_shard.items():
            entries = parse(content_of(self._directory / shard_file(bits))) or {}
            for file_name in members:
                yield file_name, entries.get(_name(file_name), b"")

    def is_sharded(self, adding: Collection[str] = ()) -> bool:
        """
        Return whether new certificates go to shards when files with the names *adding* are written.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read.
        """
        if self._choice != "auto":
            return self._choice == "sharded"
        listed = self._listed()
        if shards_in(listed):
            return True
        count = len(listed.union(adding))
        if count <= max(MOST_FILES, self._counted * _GROWTH):
            return False
        if len(self._own(listed).keys() | set(adding)) > MOST_FILES:
            return True
        self._counted = count
        return False

    def put(
        self, contents: Mapping[str, bytes], staged: Mapping[str, Path], purpose: Purpose = "change"
    ) -> dict[str, CertworkerError]:
        """
        Write *contents*, by file name, and return the failure of each file that could not be written.

        The caller holds the lock of the directory.

        Args:
            staged: Durable files on the same file system that have these contents, by file name. They may be
                moved.
            purpose: Why they are written.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: The directory cannot be read, or the old copy of a
                certificate cannot be removed.
        """
        if purpose != "scatter" and self.is_sharded(contents.keys()):
            listed = self._listed()
            gathered = {} if shards_in(listed) else self._own(listed)
            return self._put_into_shards({**gathered, **contents}, staged, rebuild=purpose == "rebuild")
        failures = self._put_files(contents, staged)
        written = [_name(file_name) for file_name in contents if file_name not in failures]
        shards = shards_in(shard.name for name in written for shard in self._shards_with(name))
        self._change(shards).remove(written)
        return failures

    def remove(self, file_name: str) -> None:
        """
        Remove the certificate of a name from every place. The caller holds the lock of the directory.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: The name may still be in service.
        """
        name = _name(file_name)
        self._change(shards_in(each.name for each in self._shards_with(name))).remove([name])
        durable.remove(self._directory / file_name)

    def size(self) -> Size:
        """
        Return the numbers of certificates and `.yml` files in the directory. Only changed shards are read.

        A file of another program counts as one certificate.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read.
        """
        listed = self._listed()
        shards, counts = shards_in(listed), dict[tuple[str, int, int], int]()
        for bits in shards:
            path = self._directory / shard_file(bits)
            with durable.translate_os_errors(path):
                try:
                    found = path.stat()
                except FileNotFoundError:
                    continue  # another worker has split or removed it
            key = (bits, found.st_mtime_ns, found.st_size)
            counts[key] = self._counts[key] if key in self._counts else count_in(content_of(path))
        self._counts = counts
        files = sum(file_name.endswith(EXTENSION) for file_name in listed)
        return Size(certificates=files - len(shards) + sum(counts.values()), files=files)

    def gather(self) -> None:
        """
        Put files of certworker into shards if the layout requires it, and complete interrupted splits.

        The caller holds the lock of the directory.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read, or an old copy cannot be removed.
        """
        if self._choice == "per-name":
            return
        listed = self._listed()
        shards, own = shards_in(listed), self._own(listed)
        if self._choice == "auto" and self._count(own, shards) <= (FEW_NAMES if shards else MOST_FILES):
            return
        split = [bits for bits in shards if any(each.startswith(bits) and each != bits for each in shards)]
        entries = {f"{name}{EXTENSION}": content for name, content in self._entries(split).items()}
        if entries or own:
            self._put_into_shards({**entries, **own}, {}, rebuild=False)

    def to_scatter(self) -> dict[str, bytes]:
        """
        Return the contents of all shards, by file name, if each name has to get a file of its own; else none.

        Raises:
            VolumeReadOnly, VolumeFault: The directory cannot be read.
        """
        listed = self._listed()
        shards = shards_in(listed)
        if not shards or self._choice == "sharded":
            return {}
        if self._choice == "auto" and self._count(self._own(listed), shards) >= FEW_NAMES:
            return {}
        return {f"{name}{EXTENSION}": content for name, content in self._entries(sorted(shards)).items()}

    def _count(self, own: Collection[str], shards: Iterable[str]) -> int:
        return len(own) + sum(count_in(content_of(self._directory / shard_file(bits))) for bits in shards)

    def _entries(self, shards: Iterable[str]) -> dict[str, bytes]:
        """
        Return the entries of *shards*. Of two entries for one name, the later certificate counts.
        """
        found = dict[str, bytes]()
        for bits in shards:
            for name, content in (parse(content_of(self._directory / shard_file(bits))) or {}).items():
                if name not in found or not self.is_outdated(content, found[name]):
                    found[name] = content
        return found

    def _own(self, listed: Iterable[str]) -> dict[str, bytes]:
        """
        Return the files of certworker among *listed* that can be entries of a shard, with their contents.
        """
        own = dict[str, bytes]()
        for file_name in listed:
            if file_name.endswith(EXTENSION) and not shards_in([file_name]):
                content = content_of(self._directory / file_name)
                if fits(content) and _GENERATION.search(content):
                    own[file_name] = content
        return own

    def _listed(self) -> set[str]:
        with durable.translate_os_errors(self._directory):
            try:
                with os.scandir(self._directory) as entries:
                    return {entry.name for entry in entries}
            except FileNotFoundError:
                return set()

    def _shards_with(self, name: str) -> list[Path]:
        """
        Return the shards that may have an entry of *name*, the latest part of a split first.
        """
        bits = bits_of(name)
        paths = (f"{self._directory}/{shard_file(bits[:length])}" for length in range(MOST_BITS, 0, -1))
        with durable.translate_os_errors(self._directory):
            return [Path(path) for path in paths if os.path.lexists(path)]

    def _change(self, shards: set[str], *, rebuild: bool = False) -> ShardChange:
        return ShardChange(self._directory, self._staging, shards, self.is_outdated, rebuild=rebuild)

    def _put_files(
        self, contents: Mapping[str, bytes], staged: Mapping[str, Path]
    ) -> dict[str, CertworkerError]:
        failures = dict[str, CertworkerError]()
        moved = [file_name for file_name in contents if file_name in staged]
        for file_name in moved:
            try:
                durable.move(staged[file_name], self._directory / file_name)
            except CertworkerError as failure:
                failures[file_name] = failure
        if moved:
            durable.sync_directory(self._directory)
        new = {file_name: content for file_name, content in contents.items() if file_name not in staged}
        try:
            if new:
                durable.write_all(self._directory, new, FILE_MODE, via=self._staging)
        except CertworkerError as failure:
            failures.update(dict.fromkeys(new, failure))
        return failures

    def _put_into_shards(
        self, contents: Mapping[str, bytes], staged: Mapping[str, Path], *, rebuild: bool
    ) -> dict[str, CertworkerError]:
        listed = self._listed()
        entries = {_name(file_name): content for file_name, content in contents.items() if fits(content)}
        change = self._change(shards_in(listed), rebuild=rebuild)
        change.put(entries)
        failures = {f"{name}{EXTENSION}": failure for name, failure in change.failures.items()}
        alone = {
            file_name: content
            for file_name, content in contents.items()
            if _name(file_name) not in change.written and file_name not in failures
        }
        failures |= self._put_files(alone, staged)
        replaced = {file_name for file_name in contents if _name(file_name) in change.written} & listed
        with durable.translate_os_errors(self._directory):
            for file_name in replaced:
                (self._directory / file_name).unlink(missing_ok=True)
        if replaced:
            durable.sync_directory(self._directory)
        return failures


def _name(file_name: str) -> str:
    return file_name.removesuffix(EXTENSION)
