"""
Tests of the stream: its limits, its gaps, and what other programs write.
"""

from __future__ import annotations

from redis import Redis

from certworker.replication.stream import (
    BEGINNING,
    ENTRIES_PER_READ,
    MOST_BYTES,
    MOST_ENTRIES,
    PUBLISHED,
    BundleStream,
)


def test_entries_are_read_in_portions(connection: Redis) -> None:
    """
    Each command reads a portion after the position.
    """
    stream = BundleStream(connection)
    for number in range(ENTRIES_PER_READ + 1):
        stream.add({"bundle": b"%d" % number})

    first = stream.read(BEGINNING)
    second = stream.read(first.entries[-1].position)

    assert [b"0", b"31"] == [first.entries[place].fields["bundle"] for place in (0, -1)]
    assert [b"32"] == [entry.fields["bundle"] for entry in second.entries]
    assert second.last == second.entries[-1].position
    assert not second.has_gap


def test_the_stream_is_bounded(connection: Redis) -> None:
    """
    The number of entries and the number of bytes have a limit.
    """
    stream = BundleStream(connection)
    for number in range(MOST_ENTRIES + 10):
        stream.add({"bundle": b"%d" % number})
    assert MOST_ENTRIES == connection.xlen(PUBLISHED)

    for _ in range(5):
        stream.add({"bundle": bytes(60 * 1024)})
    assert MOST_BYTES // (60 * 1024 + 1) >= connection.xlen(PUBLISHED) - 1
    assert 1.2 * MOST_BYTES >= (connection.memory_usage(PUBLISHED) or 0)


def test_a_gap_is_detected(connection: Redis) -> None:
    """
    A reader learns that entries after its position are missing: shortened, or lost with Redis.
    """
    stream = BundleStream(connection)
    for number in range(3):
        stream.add({"bundle": b"%d" % number})
    first = stream.read(BEGINNING).entries[0].position
    assert not stream.read(first).has_gap

    connection.xtrim(PUBLISHED, maxlen=1, approximate=False)
    assert stream.read(first).has_gap

    connection.delete(PUBLISHED)
    emptied = stream.read(first)
    assert (True, BEGINNING) == (emptied.has_gap, emptied.last)


def test_a_huge_entry_is_not_transferred(connection: Redis) -> None:
    """
    The script leaves out the content of an entry of 100 MB, and removes it, so that it is read only once.
    """
    connection.xadd(PUBLISHED, {"bundle": bytes(100_000_000)})
    stream = BundleStream(connection)
    stream.add({"bundle": b"next"})

    huge, following = stream.read(BEGINNING).entries

    assert ({}, True) == (huge.fields, huge.size > 100_000_000)
    assert b"next" == following.fields["bundle"]
    assert following.position == stream.end()
    assert 10_000 > (connection.memory_usage(PUBLISHED) or 0)
    assert [following] == stream.read(BEGINNING).entries


def test_a_key_of_another_type_is_replaced(connection: Redis) -> None:
    """
    A key of another type counts as an empty stream.
    """
    connection.set(PUBLISHED, "text")
    stream = BundleStream(connection)

    assert [] == stream.read(BEGINNING).entries
    stream.add({"bundle": b"1"})
    assert 1 == len(stream.read(BEGINNING).entries)
