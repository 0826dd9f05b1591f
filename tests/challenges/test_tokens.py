"""
Tests of the challenge tokens, which all workers share.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from certworker.challenges.tokens import LIFETIME, TOKENS, TOKENS_A_COMMAND, ChallengeTokens, StoredToken

NOW = datetime(2026, 11, 23, 10, 15, 9, tzinfo=UTC)
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"


class Clock:
    """
    A clock that a test sets.
    """

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """
    Return a clock with a fixed time.
    """
    return Clock()


@pytest.fixture
def tokens(connection: redis.Redis, clock: Clock) -> ChallengeTokens:
    """
    Return an empty store of tokens.
    """
    return ChallengeTokens(connection, clock)


class TestAuthorityOf:
    """
    Tests of the CA that a token belongs to.
    """

    def test_each_worker_knows_the_ca_of_a_token(
        self, tokens: ChallengeTokens, connection: redis.Redis, clock: Clock
    ) -> None:
        """
        Another worker knows the CA of the token, because the CA may request any worker.
        """
        tokens.remember(TOKEN, authority="letsencrypt", name="a.org")

        assert ChallengeTokens(connection, clock).authority_of(TOKEN) == "letsencrypt"

    def test_an_unknown_or_removed_token_has_no_ca(self, tokens: ChallengeTokens) -> None:
        """
        A token that is unknown or removed has no CA.
        """
        tokens.remember(TOKEN, authority="letsencrypt", name="a.org")
        tokens.forget(TOKEN)
        tokens.forget(TOKEN)

        assert tokens.authority_of(TOKEN) is None
        assert tokens.authority_of("unknown") is None

    def test_a_token_expires(self, tokens: ChallengeTokens, clock: Clock) -> None:
        """
        The token of a killed worker expires.
        """
        tokens.remember(TOKEN, authority="letsencrypt", name="a.org")
        clock.now += LIFETIME

        assert tokens.authority_of(TOKEN) is None

    @pytest.mark.parametrize(
        "text", ["", "../../etc/passwd", "a b", "a\n", "é", "a" * 101, "a\x00", "%2e%2e", "{token}"]
    )
    def test_an_invalid_token_has_no_ca(
        self, tokens: ChallengeTokens, connection: redis.Redis, text: str
    ) -> None:
        """
        An invalid token from an HTTP request has no CA, even if Redis has an entry for it.
        """
        connection.hset(
            TOKENS, text, '{"authority": "x", "name": "a.org", "expires": "2099-01-01T00:00:00Z"}'
        )

        assert tokens.authority_of(text) is None

    def test_an_invalid_token_is_not_stored(self, tokens: ChallengeTokens) -> None:
        """
        An invalid token, such as a path, is refused.
        """
        with pytest.raises(ValueError, match="not a challenge token"):
            tokens.remember("../x", authority="letsencrypt", name="a.org")

    @pytest.mark.parametrize(
        "planted",
        [
            "",
            "letsencrypt",
            "[]",
            "null",
            '{"authority": "letsencrypt"}',
            '{"authority": 1, "name": "a.org", "expires": "2099-01-01T00:00:00Z"}',
            '{"authority": "x", "name": "a.org", "expires": 4102444800}',
            b"\xff\xfe",
            "[" * 100_000,
        ],
    )
    def test_an_invalid_entry_is_ignored(
        self, tokens: ChallengeTokens, connection: redis.Redis, planted: str | bytes
    ) -> None:
        """
        An invalid entry in Redis is ignored.
        """
        connection.hset(TOKENS, TOKEN, planted)

        assert tokens.authority_of(TOKEN) is None
        assert tokens.all() == {}


class TestAll:
    """
    Tests of the list of valid tokens.
    """

    def test_valid_tokens_are_returned_and_expired_ones_removed(
        self, tokens: ChallengeTokens, connection: redis.Redis, clock: Clock
    ) -> None:
        """
        The valid tokens are returned, and the expired tokens are removed, so the hash stays small.
        """
        tokens.remember("old", authority="letsencrypt", name="a.org")
        clock.now += timedelta(minutes=59)
        tokens.remember(TOKEN, authority="letsencrypt", name="b.org")
        clock.now += timedelta(minutes=1)

        expires = clock.now + timedelta(minutes=59)
        assert tokens.all() == {TOKEN: StoredToken("letsencrypt", "b.org", expires)}
        assert connection.hkeys(TOKENS) == [TOKEN.encode()]

    def test_a_token_beyond_the_lifetime_is_removed(
        self, tokens: ChallengeTokens, connection: redis.Redis
    ) -> None:
        """
        An entry whose expiry exceeds the lifetime of tokens is removed.
        """
        planted = '{"authority": "letsencrypt", "name": "a.org", "expires": "2099-01-01T00:00:00Z"}'
        connection.hset(TOKENS, TOKEN, planted)

        assert tokens.all() == {}
        assert not connection.exists(TOKENS)

    @pytest.mark.slow
    def test_many_invalid_tokens_are_removed_with_few_commands(
        self, tokens: ChallengeTokens, connection: redis.Redis
    ) -> None:
        """
        The removal of many invalid tokens needs fewer than 500 commands.
        """
        count = 100 * TOKENS_A_COMMAND
        tokens.remember(TOKEN, authority="letsencrypt", name="b.org")
        connection.eval(
            "for i = 1, ARGV[1] do redis.call('HSET', KEYS[1], i, 'x') end", 1, TOKENS, str(count)
        )
        before = connection.info("commandstats")

        assert list(tokens.all()) == [TOKEN]
        after = connection.info("commandstats")
        assert connection.hkeys(TOKENS) == [TOKEN.encode()]
        assert sum(calls(after, each) - calls(before, each) for each in ("hscan", "hgetall", "hdel")) < 500

    def test_several_tokens_are_removed_together(
        self, tokens: ChallengeTokens, connection: redis.Redis
    ) -> None:
        """
        Several tokens are removed in one call.
        """
        for token in ("one", "two", "three"):
            tokens.remember(token, authority="letsencrypt", name="a.org")
        tokens.forget("one", "two")
        tokens.forget()

        assert list(tokens.all()) == ["three"]


def calls(statistics: Any, command: str) -> int:
    """
    Return the number of calls of *command*, from the INFO of Redis.
    """
    return int(statistics.get(f"cmdstat_{command}", {}).get("calls", 0))
