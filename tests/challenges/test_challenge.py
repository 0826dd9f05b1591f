"""
Tests of the HTTP-01 challenge and of publishing its response.
"""

from __future__ import annotations

import logging
from dataclasses import FrozenInstanceError, dataclass, field

import pytest

from certworker.challenges.challenge import CHALLENGE_PATH, TOKEN, Http01Challenge, present
from certworker.errors.ca import NotAcme
from certworker.errors.fs import VolumeFault


class TestHttp01Challenge:
    def test_it_is_a_value(self) -> None:
        """
        All solvers publish and remove the same challenge, because no solver can change it.
        """
        challenge = Http01Challenge("shop.org", "token", "token.thumbprint")

        assert challenge == Http01Challenge("shop.org", "token", "token.thumbprint")
        with pytest.raises(FrozenInstanceError):
            challenge.token = "../../etc/passwd"  # type: ignore[misc]


class TestToken:
    @pytest.mark.parametrize("token", ["a", "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", "_-", "x" * 100])
    def test_base64url_is_a_token(self, token: str) -> None:
        """
        Tokens of Let's Encrypt have 43 characters; Appwrite's core serves up to 100.
        """
        assert TOKEN.fullmatch(token)

    @pytest.mark.parametrize("token", ["", "x" * 101, "../x", "a/b", "a.b", "a b", "a\n", "ä", "%2e"])
    def test_nothing_else_is(self, token: str) -> None:
        """
        A token becomes the name of a file and a field in Redis, so other texts are refused.
        """
        assert not TOKEN.fullmatch(token)

    def test_the_path_is_that_of_the_rfc(self) -> None:
        """
        The path is that of RFC 8555, section 8.3.
        """
        assert CHALLENGE_PATH == "/.well-known/acme-challenge/"


CHALLENGES = (Http01Challenge("one.shop.org", "t1", "t1.x"), Http01Challenge("two.shop.org", "t2", "t2.x"))


@dataclass
class MemorySolver:
    """
    A solver in memory, which can run out of space or fail to remove a response.
    """

    tokens: list[str] = field(default_factory=list)
    capacity: int = 10
    fails_to_remove: bool = False

    def present(self, challenge: Http01Challenge) -> None:
        """
        Store the token.
        """
        if len(self.tokens) == self.capacity:
            raise VolumeFault(path="solver", reason="no space")
        self.tokens.append(challenge.token)

    def clean_up(self, challenge: Http01Challenge) -> None:
        """
        Remove the token.
        """
        if self.fails_to_remove:
            raise VolumeFault(path="solver", reason="not removed")
        if challenge.token in self.tokens:
            self.tokens.remove(challenge.token)


class TestPresent:
    def test_all_responses_are_published_before_the_block(self) -> None:
        """
        The CA may fetch the response from any solver as soon as the block begins.
        """
        solvers = [MemorySolver(), MemorySolver()]

        with present(CHALLENGES, solvers):
            assert [["t1", "t2"], ["t1", "t2"]] == [solver.tokens for solver in solvers]

        assert [[], []] == [solver.tokens for solver in solvers]

    def test_a_failure_in_the_block_removes_the_responses(self) -> None:
        """
        The responses are removed when the block raises.
        """
        solver = MemorySolver()

        with pytest.raises(NotAcme), present(CHALLENGES, [solver]):
            raise NotAcme(host="ca", found="page")

        assert [] == solver.tokens

    def test_a_failure_to_publish_removes_the_other_responses(self) -> None:
        """
        A solver that fails leaves no response at the other solvers.
        """
        solvers = [MemorySolver(), MemorySolver(capacity=1)]

        with pytest.raises(VolumeFault), present(CHALLENGES, solvers):
            pytest.fail("the block must not run")

        assert [[], []] == [solver.tokens for solver in solvers]

    def test_a_fault_while_cleaning_up_hides_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        The original failure is raised, and each response that was not removed is logged.
        """
        solvers = [MemorySolver(fails_to_remove=True), MemorySolver()]

        with (
            caplog.at_level(logging.WARNING, "certworker.challenges"),
            pytest.raises(NotAcme),
            present(CHALLENGES, solvers),
        ):
            raise NotAcme(host="ca", found="page")

        assert [] == solvers[1].tokens
        assert 2 == len(caplog.messages)

    def test_a_fault_while_cleaning_up_ends_no_issuance(self) -> None:
        """
        A response that cannot be removed does not fail the block.
        """
        with present(CHALLENGES, [MemorySolver(fails_to_remove=True)]):
            pass
