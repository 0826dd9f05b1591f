"""
What was found a moment ago is there; what is older is not.
"""

from __future__ import annotations

from certworker.preflight.ttl_cache import MAX_ENTRIES, TtlCache


class TestKept:
    def test_a_value_is_there_until_its_time_is_over(self) -> None:
        """
        Old news would send somebody who has repaired a record looking for another fault.
        """
        kept: TtlCache[str, int] = TtlCache()
        kept.put("long", 1, 60)
        kept.put("over", 2, 0)

        assert 1 == kept.get("long")
        assert None is kept.get("over")
        assert None is kept.get("never")

    def test_the_newer_value_counts(self) -> None:
        """
        Two jobs may have asked the same thing at the same time.
        """
        kept: TtlCache[str, int] = TtlCache()
        kept.put("name", 1, 60)
        kept.put("name", 2, 60)

        assert 2 == kept.get("name")

    def test_the_oldest_go_when_there_are_too_many(self) -> None:
        """
        A worker runs for months, and meets more names than it needs to remember.
        """
        kept: TtlCache[int, int] = TtlCache()
        for number in range(MAX_ENTRIES + 1):
            kept.put(number, number, 60)

        assert None is kept.get(0)
        assert 1 == kept.get(1)
        assert MAX_ENTRIES == kept.get(MAX_ENTRIES)

    def test_what_has_ended_is_forgotten(self) -> None:
        """
        A value that nobody asks for any more does not stay until ten thousand others came.
        """
        now = [0.0]
        kept: TtlCache[str, int] = TtlCache(lambda: now[0])
        kept.put("short", 1, 5)
        kept.put("long", 2, 60)
        kept.put("renewed", 3, 5)
        kept.put("renewed", 4, 60)
        assert 3 == len(kept)

        now[0] = 5.0
        kept.put("another", 5, 60)

        assert 3 == len(kept)
        assert [None, 2, 4, 5] == [kept.get(key) for key in ("short", "long", "renewed", "another")]
        now[0] = 65.0
        assert None is kept.get("never")
        assert 0 == len(kept)
