"""
Tests of the content of shards.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
import yaml

from certworker.traefik.shards import (
    LARGEST_FILE_BYTES,
    bits_in,
    bits_of,
    content_of,
    count_in,
    entry_in,
    fits,
    parse,
    render,
    shard_file,
    shards_in,
)


def content(name: str) -> bytes:
    """
    Return the file of *name*, as in the layout with a file for each name.
    """
    directory = f"/storage/certificates/.certworker/generations/0001-{name}"
    return (
        f"tls:\n  certificates:\n  - certFile: {directory}/fullchain.pem\n"
        f"    keyFile: {directory}/privkey.pem\n"
    ).encode()


ENTRIES = {name: content(name) for name in ("a.example.com", "_.example.com", "xa.example.com")}


class TestRender:
    def test_traefik_reads_all_pairs(self) -> None:
        """
        A shard is YAML with the pair of each name.
        """
        pairs = yaml.safe_load(render(ENTRIES))["tls"]["certificates"]

        assert [yaml.safe_load(ENTRIES[name])["tls"]["certificates"][0] for name in sorted(ENTRIES)] == pairs

    def test_each_entry_is_found_again(self) -> None:
        """
        The entries of a shard are the contents that it was written from.
        """
        shard = render(ENTRIES)

        assert ENTRIES == parse(shard)
        assert ENTRIES == {name: entry_in(shard, name) for name in ENTRIES}
        assert (b"", 3) == (entry_in(shard, "example.com"), count_in(shard))


class TestParse:
    @pytest.mark.parametrize(
        "shard",
        [
            b"",
            b"tls:\n  certificates:\n",
            render(ENTRIES)[:-20],
            render(ENTRIES).replace(b"  # a.example.com\n", b""),
            render(ENTRIES) + b"http: {}\n",
            render(ENTRIES).replace(b"# a", b"# \xff"),
        ],
        ids=["empty", "no entry", "cut", "no comment", "more", "not UTF-8"],
    )
    def test_a_changed_shard_is_detected(self, shard: bytes) -> None:
        """
        A shard that another program has changed is not used.
        """
        assert parse(shard) is None


class TestFits:
    def test_only_a_plain_file_fits(self) -> None:
        """
        The file of an IP address, or of another program, is no entry of a shard.
        """
        assert fits(content("a"))
        assert not fits(content("a") + b"  stores:\n    default: {}\n")
        assert not fits(b"http: {}\n")


class TestFileNames:
    def test_names_are_distributed_evenly(self) -> None:
        """
        The hash is stable, and each part of the names has about the same size.
        """
        sizes = Counter(bits_of(f"shop{number}.example.com")[:4] for number in range(4_000))

        assert "1010001101111001" == bits_of("example.com")
        assert 16 == len(sizes)
        assert 180 < min(sizes.values())
        assert max(sizes.values()) < 320

    def test_only_shards_have_bits(self) -> None:
        """
        The file of a name is never taken for a shard.
        """
        assert "0110" == bits_in(shard_file("0110"))
        assert bits_in("certworker_shard_2.yml") is None
        assert {"01"} == shards_in(["example.com.yml", shard_file("01"), shard_file("01") + ".tmp"])


class TestContentOf:
    def test_unsuitable_files_are_empty(self, tmp_path: Path) -> None:
        """
        A missing file, a directory, a pipe and a huge file have no content.
        """
        (tmp_path / "directory").mkdir()
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "huge").touch()
        os.truncate(tmp_path / "huge", LARGEST_FILE_BYTES + 1)
        (tmp_path / "file").write_bytes(b"content")

        found = [content_of(tmp_path / name) for name in ("missing", "directory", "pipe", "huge", "file")]
        assert [b"", b"", b"", b"", b"content"] == found
