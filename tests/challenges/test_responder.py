"""
Tests of the responses that each worker computes.
"""

from __future__ import annotations

from functools import partial

import pytest
from redis import Redis

from certworker.challenges.challenge import Http01Challenge
from certworker.challenges.responder import Responder
from certworker.challenges.tokens import ChallengeTokens

ANSWER = Http01Challenge("api.shop.org", "token_1-A", "token_1-A.OWN-THUMBPRINT")


def replica(connection: Redis, **thumbprints: str) -> Responder:
    """
    Return the responder of a worker with the accounts of *thumbprints*. It orders from the CA `main`.
    """
    tokens = ChallengeTokens(connection)
    accounts = {label: partial(str, thumbprint) for label, thumbprint in thumbprints.items()}
    return Responder(
        remember=partial(tokens.remember, authority="main"),
        forget=tokens.forget,
        authority_of=tokens.authority_of,
        thumbprints=accounts.get,
    )


class TestAnswer:
    def test_each_worker_responds_for_other_workers(self, connection: Redis) -> None:
        """
        A worker responds to the tokens of other workers, because a load balancer may select any
        worker.
        """
        replica(connection, main="OWN-THUMBPRINT").present(ANSWER)

        assert ANSWER.key_authorization == replica(connection, main="OWN-THUMBPRINT").answer("token_1-A")

    def test_a_removed_token_has_no_response(self, connection: Redis) -> None:
        """
        A removed token has no response.
        """
        responder = replica(connection, main="OWN-THUMBPRINT")
        responder.present(ANSWER)
        responder.clean_up(ANSWER)

        assert responder.answer("token_1-A") is None

    def test_an_unknown_token_has_no_response(self, connection: Redis) -> None:
        """
        An unknown token has no response, because it may belong to an order of another client.
        """
        assert replica(connection, main="OWN-THUMBPRINT").answer("token_1-A") is None

    def test_a_ca_without_an_account_has_no_response(self, connection: Redis) -> None:
        """
        A worker without an account at the CA does not know the thumbprint.
        """
        replica(connection, main="OWN-THUMBPRINT").present(ANSWER)

        assert replica(connection, other="ANOTHER").answer("token_1-A") is None

    @pytest.mark.parametrize(
        "token", ["", "..", "../../etc/passwd", "a.b", "a b", "<script>", "x" * 101, "a\n"]
    )
    def test_an_invalid_token_has_no_response(self, connection: Redis, token: str) -> None:
        """
        An invalid token from the untrusted URL is neither returned nor sent to Redis.
        """
        assert replica(connection, main="OWN-THUMBPRINT").answer(token) is None

    def test_an_attacker_with_redis_cannot_plant_a_response(self, connection: Redis) -> None:
        """
        An entry from another program has no response. A response always contains the thumbprint of
        the worker's account.
        """
        connection.hset("certworker:challenges", "planted", "planted.ATTACKER")

        assert replica(connection, main="OWN-THUMBPRINT").answer("planted") is None
