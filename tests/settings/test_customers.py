"""
Tests of the settings of customers' domains.
"""

from __future__ import annotations

import pytest

from certworker.errors.config import InvalidSettings
from certworker.settings import load


class TestMovedCheck:
    @pytest.mark.parametrize(("value", "check"), [("", "on"), ("on", "on"), ("OFF", "off")])
    def test_it_is_on_by_default(self, value: str, check: str) -> None:
        """
        The check of names in service is on, unless it is switched off.
        """
        assert check == load({"CERTWORKER_MOVED_CHECK": value}).customers.moved_check

    def test_another_value_is_refused(self) -> None:
        """
        The message has the allowed values.
        """
        with pytest.raises(InvalidSettings, match="CERTWORKER_MOVED_CHECK must be on or off"):
            load({"CERTWORKER_MOVED_CHECK": "daily"})
