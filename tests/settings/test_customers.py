"""
Tests of the settings of customers' domains.
"""

from __future__ import annotations

import pytest

from certworker.errors.config import InvalidSettings
from certworker.settings import load


class TestOwnership:
    @pytest.mark.parametrize(("value", "proof"), [("", "off"), ("TXT", "txt"), ("off", "off")])
    def test_no_proof_is_required_by_default(self, value: str, proof: str) -> None:
        """
        A proof of ownership is required only if the operator chooses its kind.
        """
        assert proof == load({"CERTWORKER_OWNERSHIP": value}).customers.ownership

    def test_another_value_is_refused(self) -> None:
        """
        A typo must not switch the proof off.
        """
        with pytest.raises(InvalidSettings, match="CERTWORKER_OWNERSHIP must be off or txt"):
            load({"CERTWORKER_OWNERSHIP": "dns"})


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
