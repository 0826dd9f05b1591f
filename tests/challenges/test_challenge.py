"""
Tests of the challenges HTTP-01 and DNS-01, and the publication of their responses.
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
    def test_a_challenge_is_immutable(self) -> None:
        """
        A challenge cannot be changed, so all solvers publish and remove the same challenge.
        """
        challenge = Http01Challenge("shop.org", "token", "token.thumbprint")

        assert challenge == Http01Challenge("shop.org", "token", "token.thumbprint")
        with pytest.raises(FrozenInstanceError):
            challenge.token = "../../etc/passwd"  # type: ignore[misc] # it is frozen


class TestDns01Challenge:
    def test_the_record_is_below_the_name(self) -> None:
        """
        The TXT record has the name _acme-challenge below the domain (RFC 8555, section 8.4).
        """
        assert "_acme-challenge.shop.org" == Dns01Challenge("shop.org", "token", "token.thumbprint").fqdn

    def test_the_value_is_the_hash_of_the_key_authorization(self) -> None:
        """
        The value is SHA-256 in base64url without padding, as OpenSSL computes it.
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
        A token has up to 100 characters of base64url. Tokens of Let's Encrypt have 43.
        """
        assert TOKEN.fullmatch(token)

    @pytest.mark.parametrize("token", ["", "x" * 101, "../x", "a/b", "a.b", "a b", "a\n", "ä", "%2e"])
    def test_other_texts_are_no_tokens(self, token: str) -> None:
        """
        Another text is not a token, because a token becomes the name of a file and a field in Redis.
        """
        assert not TOKEN.fullmatch(token)

    def test_the_path_is_defined_by_the_rfc(self) -> None:
        """
        The path has the prefix of RFC 8555, section 8.3.
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
        Each solver has all responses when the block starts, because the CA may request any solver.
        """
        solvers = [MemorySolver(), MemorySolver()]

        with present(CHALLENGES, solvers):
            assert [["t1", "t2"], ["t1", "t2"]] == [solver.tokens for solver in solvers]

        assert [[], []] == [solver.tokens for solver in solvers]

    def test_a_failure_in_the_block_removes_the_responses(self) -> None:
        """
        The responses are removed if the block raises an exception.
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

    def test_a_failed_removal_hides_no_other_failure(self, caplog: pytest.LogCaptureFixture) -> None:
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

    def test_a_failed_removal_prevents_no_certificate(self) -> None:
        """
        A response that cannot be removed does not fail the block.
        """
        with present(CHALLENGES, [MemorySolver(fails_to_remove=True)]):
            pass


class TestPresentAll:
    def test_each_type_is_presented_by_its_solvers_and_dns_is_first(self) -> None:
        """
        The DNS-01 challenges are presented first, then the HTTP-01 challenges.
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
