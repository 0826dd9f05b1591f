"""
Tests of the cache.
"""

from __future__ import annotations

from certworker.ttl_cache import MAX_ENTRIES, TtlCache


class TestKept:
    def test_a_value_is_there_until_its_time_is_over(self) -> None:
        """
        A value is returned until it expires.
        """
        cache: TtlCache[str, int] = TtlCache()
        cache.put("long", 1, 60)
        cache.put("over", 2, 0)

        assert 1 == cache.get("long")
        assert None is cache.get("over")
        assert None is cache.get("never")

    def test_the_newer_value_counts(self) -> None:
        """
        A newer value replaces the older one.
        """
        cache: TtlCache[str, int] = TtlCache()
        cache.put("name", 1, 60)
        cache.put("name", 2, 60)

        assert 2 == cache.get("name")

    def test_the_oldest_go_when_there_are_too_many(self) -> None:
        """
        The oldest value is dropped when the cache is full.
        """
        cache: TtlCache[int, int] = TtlCache()
        for number in range(MAX_ENTRIES + 1):
            cache.put(number, number, 60)

        assert None is cache.get(0)
        assert 1 == cache.get(1)
        assert MAX_ENTRIES == cache.get(MAX_ENTRIES)

    def test_what_has_ended_is_forgotten(self) -> None:
        """
        Expired values are removed, without a lookup of their keys.
        """
        now = [0.0]
        cache: TtlCache[str, int] = TtlCache(lambda: now[0])
        cache.put("short", 1, 5)
        cache.put("long", 2, 60)
        cache.put("renewed", 3, 5)
        cache.put("renewed", 4, 60)
        assert 3 == len(cache)

        now[0] = 5.0
        cache.put("another", 5, 60)

        assert 3 == len(cache)
        assert [None, 2, 4, 5] == [cache.get(key) for key in ("short", "long", "renewed", "another")]
        now[0] = 65.0
        assert None is cache.get("never")
        assert 0 == len(cache)
