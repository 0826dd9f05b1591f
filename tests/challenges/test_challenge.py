"""
Tests of the challenges HTTP-01 and DNS-01, and of publishing their responses.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, dataclass, field

import pytest

from certworker.challenges.challenge import (
    CHALLENGE_PATH,
    TOKEN,
    Dns01Challenge,
    Http01Challenge,
    present,
    present_all,
)
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
            challenge.token = "../../etc/passwd"  # type: ignore[misc] # it is frozen


class TestDns01Challenge:
    def test_the_record_lies_below_the_name(self) -> None:
        """
        The CA queries TXT records of _acme-challenge (RFC 8555, section 8.4).
        """
        assert "_acme-challenge.shop.org" == Dns01Challenge("shop.org", "token", "token.thumbprint").fqdn

    def test_the_value_is_the_hash_of_the_key_authorization(self) -> None:
        """
        The known answer is that of OpenSSL: SHA-256 in base64url without padding.
        """
        challenge = Dns01Challenge(
            "shop.org",
            "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA",
            "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.nP1qzpXGymHBrUEepNY9HCsQk7K8KhOypzEt62jcerQ",
        )

        assert "NGwKoXBgCT8JhEa0bK7AwfSqHyu_ZWeugV07fLGIVq0" == challenge.value


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


class TestPresentAll:
    def test_each_type_goes_to_its_solvers_and_dns_is_first(self) -> None:
        """
        A certificate may have names that are proved by HTTP-01 and names that are proved by DNS-01.
        """
        solver, order = MemorySolver(), list[str]()
        over_http = Http01Challenge("www.shop.org", "one", "one.thumbprint")
        in_dns = [Dns01Challenge("shop.org", token, f"{token}.thumbprint") for token in ("two", "three")]

        @contextmanager
        def present_in_dns(challenges: Sequence[Dns01Challenge]) -> Iterator[None]:
            assert in_dns == list(challenges)
            assert [] == solver.tokens
            order.append("present")
            yield
            order.append("withdraw")

        with present_all([over_http, *in_dns], [solver], present_in_dns):
            assert ["present"] == order
            assert ["one"] == solver.tokens

        assert ["present", "withdraw"] == order
        assert [] == solver.tokens
