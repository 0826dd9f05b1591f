"""
Tests of the loader for the YAML files of other programs.
"""

from __future__ import annotations

import pytest
import yaml

from certworker import text_yaml

#: PyYAML multiplies for each part, so the time of a conversion grows with the square of the parts.
PARTS = ":59" * 400_000


class TestLoad:
    @pytest.mark.parametrize("number", ["5", "0x1F", "1:59", "1.5", "-.inf", "1:59.5"])
    @pytest.mark.parametrize("tag", ["", "!!int ", "!!float "])
    def test_a_number_is_its_text(self, number: str, tag: str) -> None:
        """
        Each form of a number becomes a string, also with an explicit tag.
        """
        assert {"a": number} == text_yaml.load(f"a: {tag}{number}")

    @pytest.mark.parametrize("number", [f"1{PARTS}", f"1{PARTS}.5", "9" * 1_000_000])
    def test_a_huge_number_is_not_converted(self, number: str) -> None:
        """
        A number of a megabyte becomes a string. Its conversion would take hours.
        """
        assert [number] == text_yaml.load(f"- {number}")

    def test_other_values_are_those_of_a_safe_loader(self) -> None:
        """
        Other values do not change, and a tag of Python is refused.
        """
        assert {"a": [True, None, "x"]} == text_yaml.load("a: [yes, null, x]")
        with pytest.raises(yaml.YAMLError):
            text_yaml.load("!!python/object/apply:os.getpid []")
