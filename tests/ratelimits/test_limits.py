"""
Tests of the limits of known CAs, and those of the operator's file.
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
    Return the path of the limits file.
    """
    return tmp_path / "limits.json"


class TestTable:
    def test_the_limits_are_those_of_lets_encrypt(self) -> None:
        """
        The refill intervals are those of Let's Encrypt's page on rate limits.
        """
        limits = TABLE["letsencrypt"]
        refills = [
            getattr(limits, field.name).interval for field in fields(Limits) if field.name != "domains"
        ]

        assert [timedelta(seconds=36), 7 * DAY / 50, 7 * DAY / 5, HOUR / 5, DAY] == refills

    def test_the_labels_are_those_of_the_settings(self) -> None:
        """
        Each label of the table is that of a known CA. An unknown label would disable its limits.
        """
        assert set(TABLE) <= {choice.label for choice in KNOWN_CAS}

    def test_an_unknown_ca_has_no_limits(self) -> None:
        """
        An unknown CA has no limits, and only its refusals count.
        """
        assert Limits() == limits_of("ca.example.org", None)

    def test_some_failures_are_reserved_for_the_full_quota(self) -> None:
        """
        certworker uses three of five failures, so that an operator can retry after a restart loop.
        """
        failures = LETS_ENCRYPT.failures_per_name
        assert failures

        assert (3, 5) == (failures.taken(use_full_quota=False), failures.taken(use_full_quota=True))


class TestFile:
    def test_a_file_changes_only_the_limits_that_it_names(self, file: Path) -> None:
        """
        The file changes the limits that it names, and no others.
        """
        file.write_text(json.dumps({"letsencrypt": {"orders_per_account": "3000/3h"}}))
        limits = limits_of("letsencrypt", file)

        assert Limit(3_000, 3 * HOUR) == limits.orders_per_account
        assert LETS_ENCRYPT.certificates_per_set == limits.certificates_per_set

    def test_a_registered_domain_can_have_its_own_limit(self, file: Path) -> None:
        """
        A registered domain can have its own limit, which a CA grants to the owner.
        """
        file.write_text(json.dumps({"letsencrypt": {"domains": {"Example.org": "500/7d"}}}))
        limits = limits_of("letsencrypt", file)

        assert Limit(500, 7 * DAY) == limits.of_domain("example.org")
        assert LETS_ENCRYPT.certificates_per_domain == limits.of_domain("example.net")

    def test_a_ca_can_be_named_as_in_the_setting(self, file: Path) -> None:
        """
        The file can name a CA by its value in CERTWORKER_AUTHORITY.
        """
        file.write_text(json.dumps({"https://ca.example.org/acme/directory": {"failures_per_name": "2/10m"}}))
        limits = limits_of("ca.example.org-acme", file)

        assert Limit(2, timedelta(minutes=10)) == limits.failures_per_name

    def test_a_part_of_a_limit_can_be_reserved(self, file: Path) -> None:
        """
        The file can reserve a part of a limit for requests with the full quota.
        """
        file.write_text(json.dumps({"letsencrypt": {"failures_per_name": "10 of 50/1h"}}))

        assert Limit(50, HOUR, ours=10) == limits_of("letsencrypt", file).failures_per_name

    def test_null_removes_a_limit(self, file: Path) -> None:
        """
        A null removes the limit, for example after a contract with the CA.
        """
        file.write_text(json.dumps({"letsencrypt": {"orders_per_account": None}}))

        assert limits_of("letsencrypt", file).orders_per_account is None

    def test_other_cas_retain_their_limits(self, file: Path) -> None:
        """
        Other CAs retain their limits.
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
    def test_invalid_content_prevents_the_start(self, file: Path, content: str) -> None:
        """
        Invalid content and unknown fields prevent the start, and the message names the setting.
        """
        file.write_text(content, encoding="latin-1")

        with pytest.raises(InvalidSettings, match="CERTWORKER_LIMITS_FILE"):
            limits_of("letsencrypt", file)

    def test_a_missing_file_prevents_the_start(self, file: Path) -> None:
        """
        A missing file prevents the start, so that a missing mount does not change limits silently.
        """
        with pytest.raises(InvalidSettings):
            limits_of("letsencrypt", file)
