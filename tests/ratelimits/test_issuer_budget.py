"""
The budget of a whole house.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from redis import Redis

from certworker.devca.authority import DevelopmentAuthority
from certworker.errors.config import InvalidSettings
from certworker.errors.rate import LocalGuard
from certworker.ratelimits.budget import BUDGET
from tests.app_fixture import open_app

NAME = "shop.localhost"


def limited(place: Path, directory_url: str, **limits: str) -> str:
    """
    The file for a CA at *directory_url* with these *limits*.
    """
    file = place / "limits.json"
    file.write_text(json.dumps({directory_url: limits}))
    return str(file)


class TestBudgetOf:
    def test_the_file_of_the_operator_counts(
        self, tmp_path: Path, connection: Redis, door_authority: DevelopmentAuthority, http_port: int
    ) -> None:
        """
        What a CA has granted, or a test wants.
        """
        url = door_authority.directory_url
        file = limited(tmp_path, url, certificates_per_set="1/7d")
        with open_app(tmp_path, connection, url, http_port, CERTWORKER_LIMITS_FILE=file) as app:
            app.issuance.issue((NAME,))
            with pytest.raises(LocalGuard):
                app.issuance.issue((NAME,), force=True)

    def test_an_emptied_redis_is_filled_from_the_volume(
        self, tmp_path: Path, connection: Redis, door_authority: DevelopmentAuthority, http_port: int
    ) -> None:
        """
        The generations on it are the history of what was issued.
        """
        url = door_authority.directory_url
        file = limited(tmp_path, url, certificates_per_set="1/7d")
        with open_app(tmp_path, connection, url, http_port, CERTWORKER_LIMITS_FILE=file) as app:
            app.issuance.issue((NAME,))
            connection.delete(BUDGET + app.issuers[0].ca.label)
            with pytest.raises(LocalGuard):
                app.issuance.issue((NAME,), force=True)

    def test_a_file_that_is_not_understood_stops_the_start(
        self, tmp_path: Path, connection: Redis, door_authority: DevelopmentAuthority, http_port: int
    ) -> None:
        """
        Not the first job, in the middle of the night.
        """
        url = door_authority.directory_url
        file = limited(tmp_path, url, certificates_per_set="many")
        with (
            pytest.raises(InvalidSettings),
            open_app(tmp_path, connection, url, http_port, CERTWORKER_LIMITS_FILE=file),
        ):
            pass
