"""
The answer to a challenge, as a value.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from certworker.challenges.challenge import CHALLENGE_PATH, TOKEN, Http01Challenge


class TestAnswer:
    def test_it_is_a_value(self) -> None:
        """
        It goes through the hands of several solvers, and all of them lay out and take away the same.
        """
        answer = Http01Challenge("shop.org", "token", "token.thumbprint")

        assert answer == Http01Challenge("shop.org", "token", "token.thumbprint")
        with pytest.raises(FrozenInstanceError):
            answer.token = "../../etc/passwd"  # type: ignore[misc]


class TestToken:
    @pytest.mark.parametrize("token", ["a", "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", "_-", "x" * 100])
    def test_base64url_is_a_token(self, token: str) -> None:
        """
        Let's Encrypt's have 43 characters; Appwrite's core serves up to 100.
        """
        assert TOKEN.fullmatch(token)

    @pytest.mark.parametrize("token", ["", "x" * 101, "../x", "a/b", "a.b", "a b", "a\n", "ä", "%2e"])
    def test_nothing_else_is(self, token: str) -> None:
        """
        It becomes the name of a file, and a question to Redis.
        """
        assert not TOKEN.fullmatch(token)

    def test_it_is_asked_for_where_the_rfc_says(self) -> None:
        """
        RFC 8555, section 8.3.
        """
        assert CHALLENGE_PATH == "/.well-known/acme-challenge/"
