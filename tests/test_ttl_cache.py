"""
The cache whose values expire.
"""

from __future__ import annotations

from certworker.ttl_cache import MAX_ENTRIES, TtlCache


class TestKept:
    def test_a_value_is_returned_until_it_expires(self) -> None:
        """
        The cache returns a value until it expires.
        """
        cache: TtlCache[str, int] = TtlCache()
        cache.put("long", 1, 60)
        cache.put("over", 2, 0)

        assert 1 == cache.get("long")
        assert None is cache.get("over")
        assert None is cache.get("never")

    def test_a_newer_value_replaces_the_older_one(self) -> None:
        """
        The cache returns the newest value of a key.
        """
        cache: TtlCache[str, int] = TtlCache()
        cache.put("name", 1, 60)
        cache.put("name", 2, 60)

        assert 2 == cache.get("name")

    def test_a_full_cache_drops_the_oldest_value(self) -> None:
        """
        A full cache drops its oldest value for a new one.
        """
        cache: TtlCache[int, int] = TtlCache()
        for number in range(MAX_ENTRIES + 1):
            cache.put(number, number, 60)

        assert None is cache.get(0)
        assert 1 == cache.get(1)
        assert MAX_ENTRIES == cache.get(MAX_ENTRIES)

    def test_expired_values_are_removed(self) -> None:
        """
        The cache removes expired values without a lookup of their keys.
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
