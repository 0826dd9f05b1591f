"""
Tests of changes to shards.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.traefik.shard_change import ShardChange
from certworker.traefik.shards import LARGEST_SHARD, bits_in, parse, render, shard_file, shards_in
from tests.traefik.test_shards import content


def change(directory: Path, *, rebuild: bool = False) -> ShardChange:
    """
    Return a change to *directory*. A longer content is a later certificate.
    """
    staging = directory / ".certworker"
    staging.mkdir(exist_ok=True)
    shards = shards_in(file.name for file in directory.iterdir())
    return ShardChange(directory, staging, shards, lambda new, old: len(new) < len(old), rebuild=rebuild)


def entries_of(directory: Path) -> dict[str, dict[str, bytes]]:
    """
    Return the entries of each shard in *directory*, by its bits.
    """
    return {
        bits: parse(file.read_bytes()) or {}
        for file in directory.glob("*.yml")
        if (bits := bits_in(file.name))
    }


class TestPut:
    @pytest.mark.parametrize("one_by_one", [True, False], ids=["one by one", "together"])
    def test_a_large_shard_is_split(self, tmp_path: Path, *, one_by_one: bool) -> None:
        """
        All names are in one shard each, and no shard is too large.
        """
        entries = {f"{number}.example.com": content(f"{number}") for number in range(1_500)}
        batches = [dict(list(entries.items())[start : start + 100]) for start in range(0, 1_500, 100)]
        for batch in batches if one_by_one else [entries]:
            change(tmp_path).put(batch)

        shards = entries_of(tmp_path)
        assert entries == {name: each for shard in shards.values() for name, each in shard.items()}
        assert len(entries) == sum(map(len, shards.values()))
        assert max(map(len, shards.values())) <= LARGEST_SHARD
        assert 4 <= len(shards) <= 8

    def test_an_interrupted_split_is_completed(self, tmp_path: Path) -> None:
        """
        The later entry of a name counts, wherever it is, and the shard that was split is removed.
        """
        names = ["a", "b", "c", "d", "e", "f", "g", "h"]
        change(tmp_path).put({name: content(name) for name in names})
        [(bits, newer)] = [(bits, dict(each)) for bits, each in entries_of(tmp_path).items() if "a" in each]
        newer["a"] = content("a-newer")
        (tmp_path / shard_file(bits + "0")).write_bytes(render({"a": content("a")}))
        (tmp_path / shard_file(bits + "1")).write_bytes(render({"a": content("a")}))
        (tmp_path / shard_file(bits)).write_bytes(render(newer))

        change(tmp_path).put({"a": content("a")})

        found = entries_of(tmp_path)
        assert bits not in found
        assert content("a-newer") in [each["a"] for each in found.values() if "a" in each]
        assert set(names) == {name for each in found.values() for name in each}

    def test_a_changed_shard_stays_unless_it_is_rebuilt(self, tmp_path: Path) -> None:
        """
        A shard of another program is written only by the repair, which has all names.
        """
        change(tmp_path).put({"a": content("a")})
        [shard] = tmp_path.glob("*.yml")
        shard.write_bytes(b"http: {}\n")
        first, second = change(tmp_path), change(tmp_path, rebuild=True)
        first.put({"a": content("a")})
        assert (set(), {}, b"http: {}\n") == (first.written, first.failures, shard.read_bytes())

        second.put({"a": content("a")})
        assert ({"a"}, {"a": content("a")}) == (second.written, parse(shard.read_bytes()))

    def test_a_failure_costs_only_its_shard(self, tmp_path: Path) -> None:
        """
        The names of a shard that cannot be written fail, and those of the other shard are written.
        """
        (tmp_path / shard_file("0")).mkdir()
        entries = {f"{number}": content(f"{number}") for number in range(20)}
        changed = change(tmp_path, rebuild=True)
        changed.put(entries)

        written = set(parse((tmp_path / shard_file("1")).read_bytes()) or {})
        assert written == changed.written
        assert entries.keys() - written == changed.failures.keys()


class TestRemove:
    def test_only_the_entries_of_the_names_are_removed(self, tmp_path: Path) -> None:
        """
        The other entries remain. An empty shard is removed.
        """
        entries = {f"{number}": content(f"{number}") for number in range(20)}
        change(tmp_path).put(entries)
        change(tmp_path).remove(["3", "missing"])
        left = {name: each for shard in entries_of(tmp_path).values() for name, each in shard.items()}
        assert {name: each for name, each in entries.items() if name != "3"} == left

        change(tmp_path).remove(entries)
        assert {} == entries_of(tmp_path)
