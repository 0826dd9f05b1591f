"""
The limits of known CAs, and those of the operator's file.
"""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from certworker.errors.config import InvalidSettings
from certworker.ratelimits.limits import LETS_ENCRYPT, TABLE, limits_of
from certworker.settings.ca import KNOWN_CAS
from certworker.settings.limits import Limit, Limits

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """
    Return the path of the file with granted limits.
    """
    return tmp_path / "limits.json"


class TestTable:
    def test_the_figures_are_those_of_lets_encrypt(self) -> None:
        """
        The intervals are those of its page on rate limits: 36 seconds, 202 minutes, 34 hours …
        """
        limits = TABLE["letsencrypt"]
        refills = [
            getattr(limits, field.name).interval for field in fields(Limits) if field.name != "domains"
        ]

        assert [timedelta(seconds=36), 7 * DAY / 50, 7 * DAY / 5, HOUR / 5, DAY] == refills

    def test_its_labels_are_those_of_the_settings(self) -> None:
        """
        A wrong label would be a CA without limits.
        """
        assert set(TABLE) <= {choice.label for choice in KNOWN_CAS}

    def test_of_another_ca_nothing_is_assumed(self) -> None:
        """
        The refusals of an unknown CA are obeyed.
        """
        assert Limits() == limits_of("ca.example.org", None)

    def test_certworker_by_itself_leaves_some_to_a_person(self) -> None:
        """
        After a restart loop an operator who has fixed the cause can still try.
        """
        failures = LETS_ENCRYPT.failures_per_name
        assert failures

        assert (3, 5) == (failures.taken(use_full_quota=False), failures.taken(use_full_quota=True))


class TestFile:
    def test_it_changes_what_it_names_and_nothing_else(self, file: Path) -> None:
        """
        A CA grants one limit at a time.
        """
        file.write_text(json.dumps({"letsencrypt": {"orders_per_account": "3000/3h"}}))
        limits = limits_of("letsencrypt", file)

        assert Limit(3_000, 3 * HOUR) == limits.orders_per_account
        assert LETS_ENCRYPT.certificates_per_set == limits.certificates_per_set

    def test_a_registered_domain_may_have_a_figure_of_its_own(self, file: Path) -> None:
        """
        Let's Encrypt grants such a limit to the owner of one large domain.
        """
        file.write_text(json.dumps({"letsencrypt": {"domains": {"Example.org": "500/7d"}}}))
        limits = limits_of("letsencrypt", file)

        assert Limit(500, 7 * DAY) == limits.of_domain("example.org")
        assert LETS_ENCRYPT.certificates_per_domain == limits.of_domain("example.net")

    def test_a_ca_is_named_as_in_the_setting(self, file: Path) -> None:
        """
        The file may use the value of CERTWORKER_AUTHORITY.
        """
        file.write_text(json.dumps({"https://ca.example.org/acme/directory": {"failures_per_name": "2/10m"}}))
        limits = limits_of("ca.example.org-acme", file)

        assert Limit(2, timedelta(minutes=10)) == limits.failures_per_name

    def test_a_part_of_it_may_be_left_to_a_person(self, file: Path) -> None:
        """
        As in the table for failures.
        """
        file.write_text(json.dumps({"letsencrypt": {"failures_per_name": "10 of 50/1h"}}))

        assert Limit(50, HOUR, ours=10) == limits_of("letsencrypt", file).failures_per_name

    def test_null_is_no_limit(self, file: Path) -> None:
        """
        A contract may have no limit.
        """
        file.write_text(json.dumps({"letsencrypt": {"orders_per_account": None}}))

        assert limits_of("letsencrypt", file).orders_per_account is None

    def test_other_cas_are_left_alone(self, file: Path) -> None:
        """
        One file serves all workers, whatever their CA.
        """
        file.write_text(json.dumps({"letsencrypt": {"orders_per_account": "3000/3h"}}))

        assert TABLE["letsencrypt-staging"] == limits_of("letsencrypt-staging", file)

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "[]",
            "{",
            '{"letsencrypt": []}',
            '{"letsencrypt": {"orders_per_account": 3000}}',
            '{"letsencrypt": {"orders_per_account": "0/3h"}}',
            '{"letsencrypt": {"orders_per_account": "3000"}}',
            '{"letsencrypt": {"orders_per_account": "3000/3 weeks"}}',
            '{"letsencrypt": {"orders_per_week": "3000/7d"}}',
            '{"letsencrypt": {"domains": "500/7d"}}',
            '{"letsencrypt": {"domains": null}}',
            '{"letsencrypt": {"domains": {"example.org": 500}}}',
            '{"lets encrypt": {}}',
            "[" * 100_000,
            "\xff",
        ],
    )
    def test_invalid_content_is_reported_at_the_start(self, file: Path, content: str) -> None:
        """
        An unknown field would be ignored until the limit of the CA is met.
        """
        file.write_text(content, encoding="latin-1")

        with pytest.raises(InvalidSettings, match="CERTWORKER_LIMITS_FILE"):
            limits_of("letsencrypt", file)

    def test_a_missing_file_is_reported(self, file: Path) -> None:
        """
        A missing mount does not lower the granted limits silently.
        """
        with pytest.raises(InvalidSettings):
            limits_of("letsencrypt", file)
