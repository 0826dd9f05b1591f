"""
The settings that say whom to tell.
"""

from __future__ import annotations

import pytest

from certworker.errors.config import InvalidSettings
from certworker.settings import load


class TestNoticeSettings:
    def test_nobody_is_told_by_default(self) -> None:
        """
        An empty host switches mail off.
        """
        assert load({"_APP_SMTP_HOST": ""}).smtp_host is None
        assert load({}).notify_url is None

    @pytest.mark.parametrize(
        ("name", "value"), [("CERTWORKER_NOTIFY_URL", "ftp://x"), ("_APP_SMTP_SECURE", "yes")]
    )
    def test_a_wrong_value_is_named(self, name: str, value: str) -> None:
        """
        At start, not when somebody should have been told.
        """
        with pytest.raises(InvalidSettings, match=name):
            load({name: value})

    def test_secrets_are_not_shown(self) -> None:
        """
        Settings may end up in a log.
        """
        settings = load({"_APP_SMTP_PASSWORD": "hunter2", "CERTWORKER_NOTIFY_SECRET": "hunter3"})

        assert "hunter" not in repr(settings)
