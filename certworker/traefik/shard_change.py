"""
One change of several shards. A shard that becomes too large is split.

A split writes the two parts before it removes their shard. After a crash in between, the next change of these
names, or the next repair, completes the split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from certworker.errors import CertworkerError
from certworker.storage import durable
from certworker.traefik.shards import (
    FILE_MODE,
    LARGEST_SHARD,
    MOST_BITS,
    bits_of,
    content_of,
    parse,
    render,
    shard_file,
)


class ShardChange:
    """
    One change of the shards in *directory*. The caller holds the lock of the directory.

    Args:
        staging: The directory for temporary files, which is not watched.
        shards: The bits of the shards that exist.
        is_outdated: Returns whether the first entry must not replace the second.
        rebuild: Whether the entries replace a shard that another program has changed. Otherwise, the shard
            stays, and the entries are not written.

    Attributes:
        written: The names whose entries are now in a shard.
        failures: The failure of each name whose entry could not be written.
    """

    def __init__(
        self,
        directory: Path,
        staging: Path,
        shards: set[str],
        is_outdated: Callable[[bytes, bytes], bool],
        *,
        rebuild: bool,
    ) -> None:
        self._directory = directory
        self._staging = staging
        self._shards = shards
        self._is_outdated = is_outdated
        self._rebuild = rebuild
        self._replaced = list[Path]()
        self.written = set[str]()
        self.failures = dict[str, CertworkerError]()

    def put(self, entries: Mapping[str, bytes]) -> None:
        """
        Write *entries*, the content of each file by its name without the extension.
        """
        self._spread("", entries)
        if self._replaced and not self.failures:
            # The parts are durable now.
            for shard in self._replaced:
                durable.remove(shard)

    def remove(self, names: Iterable[str]) -> None:
        """
        Remove the entries of *names* from all shards.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: Some entries may remain.
        """
        by_shard = dict[str, list[str]]()
        for name in names:
            bits = bits_of(name)
            for length in range(1, MOST_BITS + 1):
                if bits[:length] in self._shards:
                    by_shard.setdefault(bits[:length], []).append(name)
        for bits, members in by_shard.items():
            shard = self._directory / shard_file(bits)
            entries = parse(content_of(shard)) or {}
            left = {name: content for name, content in entries.items() if name not in members}
            if not left and entries:
                durable.remove(shard)
            elif len(left) < len(entries):
                durable.write(shard, render(left), FILE_MODE, via=self._staging)

    def _spread(self, bits: str, entries: Mapping[str, bytes]) -> None:
        """
        Write *entries*, whose names have hashes that begin with *bits*, to existing or new shards.
        """
        if not entries:
            return
        shard = self._directory / shard_file(bits)
        exists, has_parts = bits in self._shards, self._has_parts(bits)
        try:
            merged = self._merged(shard, entries) if exists else entries
            if merged is None:
                return
            if not bits or has_parts or (len(merged) > LARGEST_SHARD and len(bits) < MOST_BITS):
                for bit in "01":
                    parts = {name: each for name, each in merged.items() if bits_of(name)[len(bits)] == bit}
                    self._spread(bits + bit, parts)
                if exists:
                    self._replaced.append(shard)
                return
            durable.write(shard, render(merged), FILE_MODE, via=self._staging)
            self.written.update(merged)
        except CertworkerError as failure:
            self.failures.update(dict.fromkeys(entries, failure))

    def _has_parts(self, bits: str) -> bool:
        return any(each.startswith(bits) and each != bits for each in self._shards)

    def _merged(self, shard: Path, entries: Mapping[str, bytes]) -> Mapping[str, bytes] | None:
        """
        Return *entries* together with those of *shard*; None: another program has changed the shard, which is
        not rebuilt.
        """
        found = parse(content_of(shard))
        if found is None:
            return entries if self._rebuild else None
        for name, content in entries.items():
            if name not in found or not self._is_outdated(content, found[name]):
                found[name] = content
        return found
