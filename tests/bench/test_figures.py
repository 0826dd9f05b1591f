"""
Tests of the table of the benchmarks.
"""

from __future__ import annotations

from bench.figures import Figure, missed, table

FAST = Figure("a job", "certworker", 20.0, "ms", 30)
SLOW = Figure("a job", "  against the floor", 3.14159, "× as long", 2.0)
FEW = Figure("many", "certworker", 10.0, "certificates/s", 20, "above")
BARE = Figure("a job", "the floor", 14.0, "ms")


class TestTable:
    def test_each_line_has_its_value_and_its_limit(self) -> None:
        """
        A line has the unit, the limit with its direction, and whether the figure meets it.
        """
        lines = [" ".join(line.split()) for line in table([BARE, FAST, SLOW, FEW], []).splitlines()]

        assert "the floor 14 ms" in lines
        assert "certworker 20 ms ≤ 30 ok" in lines
        assert "against the floor 3.14 × as long ≤ 2 MISSED" in lines
        assert "certworker 10 certificates/s ≥ 20 MISSED" in lines

    def test_an_earlier_run_gets_a_column_with_ratios(self) -> None:
        """
        The ratio is that of this value to the earlier one. A figure without an earlier value is new.
        """
        shown = table([FAST, BARE], [], {FAST.key: 40.0})

        assert "ok  0.50 × 40" in " ".join(shown.split("\n")).replace("ok      ", "ok  ")
        assert "new" in shown

    def test_only_missed_limits_are_listed(self) -> None:
        """
        The list at the end has the benchmark, the value and the limit.
        """
        assert [
            "a job: against the floor: 3.14 × as long, limit ≤ 2",
            "many: certworker: 10 certificates/s, limit ≥ 20",
        ] == missed([BARE, FAST, SLOW, FEW])
