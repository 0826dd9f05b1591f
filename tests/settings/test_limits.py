"""
Tests of the file with the rate limits that a CA has granted.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from certworker.errors.config import InvalidSettings
from certworker.settings import load
from certworker.settings.limits import Limit, grants_in

HOUR = timedelta(hours=1)


class TestLimit:
    @pytest.mark.parametrize(
        ("text", "period"),
        [
            ("5/30m", "30 min"),
            ("5/60m", "1 h"),
            ("5/90m", "90 min"),
            ("300/3h", "3 h"),
            ("300/36h", "36 h"),
            ("300/24h", "1 day"),
            ("50/7d", "7 days"),
        ],
    )
    def test_the_period_has_its_exact_length_in_words(self, text: str, period: str) -> None:
        """
        The period is exact, also if it has a part of an hour or of a day.
        """
        assert period == Limit.parse(text).period_in_words


class TestGrantsIn:
    def test_a_ca_can_be_named_by_its_label_and_by_its_url(self, tmp_path: Path) -> None:
        """
        The label and the URL name the same CA, and its limits are merged.
        """
        url = "https://acme-v02.api.letsencrypt.org/directory"
        written = {"letsencrypt": {"orders_per_account": "3000/3h"}, url: {"failures_per_name": None}}
        (tmp_path / "limits.json").write_text(json.dumps(written))

        assert {
            "letsencrypt": {"orders_per_account": Limit(3_000, 3 * HOUR), "failures_per_name": None}
        } == grants_in(tmp_path / "limits.json")

    def test_an_endless_file_is_refused(self) -> None:
        """
        A device is refused, because its content has no end.
        """
        with pytest.raises(OSError, match="not a regular file"):
            grants_in(Path("/dev/zero"))


class TestSetting:
    @pytest.mark.parametrize(
        "content", ["", "[]", '{"letsencrypt": []}', '{"letsencrypt": {"orders_per_week": "3000/7d"}}', "["]
    )
    def test_an_invalid_file_is_named_with_other_invalid_values(self, tmp_path: Path, content: str) -> None:
        """
        The loader names an invalid file together with other invalid values.
        """
        (tmp_path / "limits.json").write_text(content)
        given = {"CERTWORKER_LIMITS_FILE": str(tmp_path / "limits.json"), "CERTWORKER_LOG": "xml"}
        with pytest.raises(InvalidSettings) as refused:
            load(given)

        assert 2 == len(refused.value.findings)

    def test_the_limits_of_an_unused_ca_are_checked(self, tmp_path: Path) -> None:
        """
        An invalid limit of a CA that is not in use is refused, too.
        """
        (tmp_path / "limits.json").write_text(
            '{"https://ca.example.org/dir": {"orders_per_account": "many"}}'
        )
        with pytest.raises(InvalidSettings, match="CERTWORKER_LIMITS_FILE"):
            load({"CERTWORKER_LIMITS_FILE": str(tmp_path / "limits.json")})
