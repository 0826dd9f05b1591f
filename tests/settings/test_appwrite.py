"""
The settings about Appwrite's core.
"""

from __future__ import annotations

import pytest

from certworker.errors.config import InvalidSettings
from certworker.settings import load


class TestCoreSettings:
    def test_the_queue_of_an_ordinary_installation_is_served_by_itself(self) -> None:
        """
        Whoever replaces one service in a compose file sets nothing.
        """
        settings = load({})

        assert ("auto", "v1-certificates") == (settings.appwrite, settings.appwrite_queue)

    @pytest.mark.parametrize(
        ("name", "value"), [("CERTWORKER_APPWRITE", "maybe"), ("_APP_CERTIFICATES_QUEUE_NAME", "a b")]
    )
    def test_a_wrong_value_is_named(self, name: str, value: str) -> None:
        """
        At start, and not after an hour of silence.
        """
        with pytest.raises(InvalidSettings, match=name):
            load({name: value})
