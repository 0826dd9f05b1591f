"""
Our own knock at port 80.
"""

from __future__ import annotations

from certworker.answer import Answer
from certworker.checks.port80 import answers
from tests.servers.development import ChallengeServer
from tests.servers.redis import free_port

QUESTION = Answer("shop.localhost", "token", "token.thumbprint")


class TestAnswers:
    def test_the_right_answer_means_yes(self, challenge_server: ChallengeServer) -> None:
        """
        Then the CA will see it, too.
        """
        challenge_server.answers["token"] = "token.thumbprint"

        assert answers(QUESTION, challenge_server.port)
        assert ["shop.localhost"] == challenge_server.hosts

    def test_another_answer_or_none_means_no(self, challenge_server: ChallengeServer) -> None:
        """
        A catch-all page is no answer.
        """
        assert not answers(QUESTION, challenge_server.port)
        challenge_server.answers["token"] = "<html>"
        assert not answers(QUESTION, challenge_server.port)

    def test_nobody_there_means_no(self) -> None:
        """
        And no exception: Traefik may be starting.
        """
        assert not answers(QUESTION, free_port())
