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

ANSWER = Http01Challenge("api.shop.org", "token_1-A", "token_1-A.OUR-THUMBPRINT")


def replica(connection: Redis, **thumbprints: str) -> Responder:
    """
    Return the responder of one worker, with the accounts of *thumbprints*, which orders from the CA `main`.
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
    def test_any_replica_answers_for_any_other(self, connection: Redis) -> None:
        """
        The CA may reach any worker through a load balancer.
        """
        replica(connection, main="OUR-THUMBPRINT").present(ANSWER)

        assert ANSWER.key_authorization == replica(connection, main="OUR-THUMBPRINT").answer("token_1-A")

    def test_nothing_is_answered_afterwards(self, connection: Redis) -> None:
        """
        An old token gets no response.
        """
        responder = replica(connection, main="OUR-THUMBPRINT")
        responder.present(ANSWER)
        responder.clean_up(ANSWER)

        assert responder.answer("token_1-A") is None

    def test_an_unknown_token_has_no_answer(self, connection: Redis) -> None:
        """
        Otherwise the account would answer the challenges of other people's orders.
        """
        assert replica(connection, main="OUR-THUMBPRINT").answer("token_1-A") is None

    def test_a_ca_without_an_account_here_has_no_answer(self, connection: Redis) -> None:
        """
        A worker that is configured for another CA does not know the thumbprint.
        """
        replica(connection, main="OUR-THUMBPRINT").present(ANSWER)

        assert replica(connection, other="ANOTHER").answer("token_1-A") is None

    @pytest.mark.parametrize(
        "token", ["", "..", "../../etc/passwd", "a.b", "a b", "<script>", "x" * 101, "a\n"]
    )
    def test_what_is_no_token_has_no_answer(self, connection: Redis, token: str) -> None:
        """
        The URL is untrusted: nothing of it is returned or reaches Redis.
        """
        assert replica(connection, main="OUR-THUMBPRINT").answer(token) is None

    def test_a_writer_to_redis_can_plant_no_answer(self, connection: Redis) -> None:
        """
        The response contains the thumbprint of the own account, so the CA of another account refuses it.
        """
        connection.hset("certworker:challenges", "planted", "planted.ATTACKER")

        assert replica(connection, main="OUR-THUMBPRINT").answer("planted") is None
