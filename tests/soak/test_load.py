"""
The comparison of the levels of a load.
"""

from __future__ import annotations

from dataclasses import replace

from tests.soak.load import Level, grown, lowest, table

FIRST = Level(memory_kib=60_000, descriptors=25, threads=14, redis_keys=400, files=300, disk_kib=900)


class TestLevels:
    def test_a_tenth_is_not_a_leak(self) -> None:
        """
        A level that is a tenth higher, rounded up, has not grown.
        """
        last = Level(memory_kib=66_000, descriptors=28, threads=16, redis_keys=440, files=330, disk_kib=990)

        assert [] == grown(FIRST, FIRST, last)

    def test_a_leak_is_marked(self) -> None:
        """
        The table marks each value that grew by more than a tenth.
        """
        last = replace(FIRST, descriptors=29, redis_keys=441, files=3)

        assert ["descriptors", "redis_keys"] == grown(FIRST, FIRST, last)
        assert ["descriptors", "redis_keys"] == [
            line.split()[0] for line in table(FIRST, FIRST, last) if line.endswith("GROWN")
        ]

    def test_a_pool_that_fills_is_not_a_leak(self) -> None:
        """
        A value that reached its limit in the first half is no leak. One that grows steadily is.
        """
        middle = replace(FIRST, threads=20, descriptors=45)
        last = replace(FIRST, threads=21, descriptors=65)

        assert ["descriptors"] == grown(FIRST, middle, last)

    def test_memory_is_no_pool(self) -> None:
        """
        Memory that grew by more than a tenth has grown, even if it then stopped.
        """
        middle = replace(FIRST, memory_kib=66_100)

        assert ["memory_kib"] == grown(FIRST, middle, middle)

    def test_a_level_is_the_lowest_of_its_samples(self) -> None:
        """
        A key or a connection that exists for a moment does not count.
        """
        samples = [replace(FIRST, redis_keys=410), replace(FIRST, descriptors=30), FIRST]

        assert FIRST == lowest(samples)
