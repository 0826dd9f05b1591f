"""
Tests of the forced request in the fields of a record.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from certworker.redis.codec import MOST_NAMES
from certworker.state.forced_request import (
    BEGUN,
    COMPLETED,
    LONGEST_REQUESTER,
    REQUEST,
    ForcedRequest,
    forced_in,
)

NAME = "shop.localhost"
NOW = datetime(2026, 11, 23, 10, 15, 9, tzinfo=UTC)
PENDING = ForcedRequest("0a1b", (NAME, f"www.{NAME}"), NOW, "root on host", "issue-1:2")


def changed(**fields: object) -> dict[str, str]:
    """
    Return the fields of a record with PENDING, whose JSON has these *fields* instead.
    """
    return {REQUEST: json.dumps(json.loads(PENDING.as_json()) | fields)}


class TestForcedIn:
    def test_a_pending_request_is_restored(self) -> None:
        """
        The fields of a record restore the request.
        """
        found = forced_in({REQUEST: PENDING.as_json()}, NAME)

        assert PENDING == found
        assert NOW == found.pending_since
        assert found.is_for((f"www.{NAME}", NAME))
        assert not found.is_for((NAME,))

    def test_a_completed_request_is_not_pending(self) -> None:
        """
        Only the id of the request itself completes it. The completion of an earlier request does not.
        """
        completed = forced_in({REQUEST: PENDING.as_json(), COMPLETED: "0a1b"}, NAME)
        later = forced_in({REQUEST: PENDING.as_json(), COMPLETED: "ffff"}, NAME)

        assert completed
        assert (True, None, False) == (
            completed.is_completed,
            completed.pending_since,
            completed.is_for(PENDING.names),
        )
        assert PENDING == later

    @pytest.mark.parametrize(
        ("begun", "token"),
        [
            ("0a1b 17", 17),
            ("ffff 17", 0),
            ("0a1b", 0),
            ("0a1b -17", 0),
            ("0a1b 1e3", 0),
            ("0a1b " + "9" * 13, 0),
            ("0a1b ١٧", 0),
        ],
    )
    def test_the_token_belongs_to_the_request(self, begun: str, token: int) -> None:
        """
        The token of another request, and an invalid token, do not count.
        """
        found = forced_in({REQUEST: PENDING.as_json(), BEGUN: begun}, NAME)

        assert found
        assert token == found.first_token

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {REQUEST: ""},
            {REQUEST: "1"},
            {REQUEST: "[" * 100_000},
            {REQUEST: json.dumps({"id": "0a1b", "pad": "x" * 70_000})},
            changed(id=7),
            changed(id=""),
            changed(names=NAME),
            changed(names=[]),
            changed(names=["other.localhost"]),
            changed(names=[NAME, "../shop"]),
            changed(names=[NAME, *(f"a{number}.localhost" for number in range(MOST_NAMES))]),
            changed(at=None),
            changed(at="soon"),
        ],
    )
    def test_an_invalid_request_does_not_count(self, fields: dict[str, str]) -> None:
        """
        An invalid request counts as none.
        """
        assert forced_in(fields, NAME) is None

    def test_the_requester_is_printable_and_short(self) -> None:
        """
        The requester of any producer is printable and bounded.
        """
        found = forced_in(changed(by="\x1b[2J" + "x" * 5_000, run=["a"]), NAME)

        assert found
        assert found.by.isprintable()
        assert len(found.by) <= LONGEST_REQUESTER
        assert "" == found.run
