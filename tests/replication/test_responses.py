"""
Tests of the responses to challenges on hosts without the account key.
"""

from __future__ import annotations

import json

import pytest
from redis import Redis

from certworker.challenges.challenge import Http01Challenge
from certworker.challenges.responder import Responder
from certworker.challenges.tokens import TOKENS, ChallengeTokens
from certworker.replication.responses import Responses, of_all_hosts
from certworker.replication.sealing import ReplicationKeys
from tests.replication.hosts import KEY

THUMBPRINT = "x" * 43
CHALLENGE = Http01Challenge("a.example.org", "token", f"token.{THUMBPRINT}")


@pytest.fixture
def tokens(connection: Redis) -> ChallengeTokens:
    """
    Return the tokens of a worker that encrypts its responses.
    """
    found = ChallengeTokens(connection)
    found.seal = Responses(connection, ReplicationKeys([KEY])).seal
    return found


def present(tokens: ChallengeTokens) -> Responder:
    """
    Respond to the challenge, and return the responder.
    """

    def remember(token: str, *, name: str, key_authorization: str) -> None:
        tokens.remember(token, authority="ca", name=name, key_authorization=key_authorization)

    responder = Responder(remember, tokens.forget, tokens.authority_of, lambda _label: None)
    responder.present(CHALLENGE)
    return responder


def test_any_host_with_the_key_responds(connection: Redis, tokens: ChallengeTokens) -> None:
    """
    The response lasts as long as its token, and Redis does not have it in clear text.
    """
    responses = Responses(connection, ReplicationKeys([KEY]))
    responder = present(tokens)

    assert CHALLENGE.key_authorization == responses.answer("token")
    assert THUMBPRINT.encode() not in (connection.hget(TOKENS, "token") or b"")
    assert Responses(connection, ReplicationKeys([ReplicationKeys.generate()])).answer("token") is None
    responder.clean_up(CHALLENGE)
    tokens.all()
    assert responses.answer("token") is None
    assert responses.answer("../etc") is None


def test_an_attacker_cannot_plant_a_response(connection: Redis, tokens: ChallengeTokens) -> None:
    """
    A response is valid only for its token, and only with the key.
    """
    present(tokens)
    stored = json.loads(connection.hget(TOKENS, "token") or b"")
    responses = Responses(connection, ReplicationKeys([KEY]))
    for sealed in (stored["sealed"], "planted", "", 7, None, "x" * 100_000, responses.seal("other", "text")):
        connection.hset(TOKENS, "other", json.dumps({**stored, "sealed": sealed}))
        assert responses.answer("other") is None


@pytest.mark.parametrize("keys", [[], [KEY]])
def test_an_own_response_needs_no_other_host(
    connection: Redis, tokens: ChallengeTokens, keys: list[str]
) -> None:
    """
    A worker responds to its own tokens, and, with a key, to those of other hosts.
    """
    present(tokens)

    def respond(token: str, *, is_own: bool) -> str | None:
        return of_all_hosts(lambda token: f"own {token}", lambda _: is_own, connection, keys)(token)

    assert "own token" == respond("token", is_own=True)
    assert (CHALLENGE.key_authorization if keys else "own token") == respond("token", is_own=False)
    assert "own unknown" == respond("unknown", is_own=False)
