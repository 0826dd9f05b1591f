"""
Tests of the parameters: the schema and the check of each accept the same values.
"""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from certworker.web.api.parameters import SEARCH

PARAMETERS = {parameter.name: parameter for parameter in SEARCH}


class TestSearch:
    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("limit", "500", 500),
            ("due", "7d", timedelta(days=7)),
            ("due", "90m", timedelta(minutes=90)),
            ("state", "no_certificate", "no_certificate"),
            ("sort", "expiry", "expiry"),
            ("text", "Shop", "Shop"),
        ],
    )
    def test_a_valid_text_has_its_value(self, name: str, text: str, value: object) -> None:
        """
        A valid text has its value, and matches the schema.
        """
        schema = PARAMETERS[name].schema

        assert value == PARAMETERS[name].parse(text)
        assert text in schema.get("enum", [text])
        assert re.search(schema.get("pattern", ""), text)

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("limit", "1000"),
            ("limit", "٣"),
            ("limit", "-1"),
            ("due", "1e3d"),
            ("due", "٣d"),
            ("due", "7d\n"),
            ("text", "x" * 254),
            ("tenant", "x" * 254),
        ],
    )
    def test_an_invalid_text_is_refused(self, name: str, text: str) -> None:
        """
        An invalid text raises ValueError with the reason.
        """
        with pytest.raises(ValueError, match=r"^it "):
            PARAMETERS[name].parse(text)
