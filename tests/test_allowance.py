"""
The budget of a whole house.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from redis import Redis

from certworker.development.authority import DevelopmentAuthority
from certworker.errors.configuration import InvalidSettings
from certworker.errors.limits import LocalGuard
from certworker.ledger.budget import BUDGET
from tests.houses import open_house

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
        with open_house(tmp_path, connection, url, http_port, CERTWORKER_LIMITS_FILE=file) as house:
            house.issuer.issue((NAME,))
            with pytest.raises(LocalGuard):
                house.issuer.issue((NAME,), force=True)

    def test_an_emptied_redis_is_filled_from_the_volume(
        self, tmp_path: Path, connection: Redis, door_authority: DevelopmentAuthority, http_port: int
    ) -> None:
        """
        The generations on it are the history of what was issued.
        """
        url = door_authority.directory_url
        file = limited(tmp_path, url, certificates_per_set="1/7d")
        with open_house(tmp_path, connection, url, http_port, CERTWORKER_LIMITS_FILE=file) as house:
            house.issuer.issue((NAME,))
            connection.delete(BUDGET + house.desks[0].choice.label)
            with pytest.raises(LocalGuard):
                house.issuer.issue((NAME,), force=True)

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
            open_house(tmp_path, connection, url, http_port, CERTWORKER_LIMITS_FILE=file),
        ):
            pass
