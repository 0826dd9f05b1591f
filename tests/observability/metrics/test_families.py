"""
Tests of the table of all metrics.
"""

from __future__ import annotations

import re

from certworker.observability.metrics import families
from certworker.observability.metrics.families import FAMILIES, LABELS, Family

UNITS = ("_seconds", "_ratio")


class TestFamilies:
    def test_each_is_in_the_documentation_once(self) -> None:
        """
        The list for the documentation has each metric of the module once.
        """
        known = [each for each in vars(families).values() if isinstance(each, Family)]

        assert sorted(each.name for each in known) == sorted(each.name for each in FAMILIES)
        assert len(FAMILIES) == len({each.name for each in FAMILIES})

    def test_each_name_follows_the_rules_of_prometheus(self) -> None:
        """
        A name has a base unit, and its suffix is that of its type.
        """
        for family in FAMILIES:
            name = family.short_name
            assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
            assert not name.endswith(("_total", "_ms", "_days", "_percent", "_created", "_count")), name
            assert (family.type in ("histogram", "gauge histogram")) == bool(family.buckets), name
            assert not family.buckets or name.endswith(UNITS), name
            assert list(family.buckets) == sorted(family.buckets), name

    def test_each_is_described(self) -> None:
        """
        The meaning is one sentence, and each label has a description.
        """
        for family in FAMILIES:
            assert family.meaning.endswith("."), family.short_name
            assert set(family.labels) <= set(LABELS), family.short_name

    def test_each_label_is_used(self) -> None:
        """
        The table of labels has no other label.
        """
        assert set(LABELS) == {label for family in FAMILIES for label in family.labels}
