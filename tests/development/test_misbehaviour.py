"""
The switches themselves; that other clients meet them stands in test_clients.
"""

from __future__ import annotations

import time

import pytest
import requests

from certworker.certificates import PrivateKey
from certworker.development.authority import DevelopmentAuthority
from certworker.development.misbehaviour import Fault, Flaw, Misbehaviour
from certworker.development.problems import Problem
from tests.servers.acme_client import AcmeClient, problem_of
from tests.servers.development import ChallengeServer

NAME = "shop.localhost"


class TestFail:
    def test_faults_come_in_the_order_they_were_asked_for(self) -> None:
        """
        A test writes an outage down as it happens: twice 500, then 503, then all is well.
        """
        misbehaviour = Misbehaviour()
        misbehaviour.fail("order", Fault(500), times=2)
        misbehaviour.fail("order", Fault(503))
        faults = [misbehaviour.next_fault("order") for _ in range(4)]
        assert [500, 500, 503, None] == [fault and fault.status for fault in faults]

    def test_a_fault_is_for_one_kind(self) -> None:
        """
        The others go on.
        """
        misbehaviour = Misbehaviour()
        misbehaviour.fail("order", Fault(), times=None)
        assert misbehaviour.next_fault("newOrder") is None
        assert all(misbehaviour.next_fault("order") for _ in range(100))

    def test_behaving_ends_it_all(self) -> None:
        """
        The CA is repaired with one word.
        """
        misbehaviour = Misbehaviour(bad_nonces=3, flaws=frozenset(Flaw), slow_seconds={"order": 9.0})
        misbehaviour.fail("order", Fault(), times=None)
        misbehaviour.behave()
        assert misbehaviour.next_fault("order") is None
        assert (0, frozenset(), {}) == (
            misbehaviour.bad_nonces,
            misbehaviour.flaws,
            misbehaviour.slow_seconds,
        )


class TestAnswers:
    def test_a_rate_limit_says_until_when(self, authority: DevelopmentAuthority, client: AcmeClient) -> None:
        """
        RFC 8555, section 6.6: with Retry-After.
        """
        authority.misbehaviour.rate_limit(60, times=2)
        for _ in range(2):
            answer = client.new_order(NAME)
            assert (429, "rateLimited") == problem_of(answer)
            assert "60" == answer.headers["Retry-After"]
            assert answer.headers["Replay-Nonce"]
        assert client.new_order(NAME).ok

    def test_a_load_balancer_speaks_html(self, authority: DevelopmentAuthority, client: AcmeClient) -> None:
        """
        Without a nonce, for it knows nothing of ACME.
        """
        authority.misbehaviour.fail("newOrder", Fault(503, None, 7))
        answer = client.new_order(NAME)
        assert (503, "text/html", "7") == (
            answer.status_code,
            answer.headers["Content-Type"],
            answer.headers["Retry-After"],
        )
        assert "Replay-Nonce" not in answer.headers

    def test_a_cut_comes_after_the_deed(self, authority: DevelopmentAuthority, client: AcmeClient) -> None:
        """
        The order exists; only its URL is lost. That is the hard case.
        """
        authority.misbehaviour.fail("newOrder", Fault(cut=True))
        with pytest.raises(requests.ConnectionError):
            client.new_order(NAME)
        last = authority.requests[-1]
        assert ("newOrder", (NAME,), 0) == (last.kind, last.names, last.status)

    def test_slow_is_as_slow_as_asked_for(self, authority: DevelopmentAuthority, client: AcmeClient) -> None:
        """
        Only for that kind of request.
        """
        authority.misbehaviour.slow_seconds["newOrder"] = 0.2
        begun = time.monotonic()
        client.new_order(NAME)
        assert time.monotonic() - begun >= 0.2

    def test_bad_nonces_are_counted(self, authority: DevelopmentAuthority, client: AcmeClient) -> None:
        """
        Five in a row is what certworker has to survive.
        """
        authority.misbehaviour.bad_nonces = 5
        for _ in range(5):
            assert (400, "badNonce") == problem_of(client.new_order(NAME))
        assert client.new_order(NAME).ok


class TestOrders:
    def test_processing_takes_its_polls(
        self, authority: DevelopmentAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        The polls of the waiting client are told how long to wait.
        """
        authority.misbehaviour.processing_polls = 3
        authority.misbehaviour.poll_after_seconds = 2
        issued = client.issue(NAME, server=challenge_server)
        assert (NAME,) == issued.names
        polls = [asked for asked in authority.requests if asked.kind == "order"]
        assert len(polls) >= 4

    def test_an_order_ends_as_told(
        self, authority: DevelopmentAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        The order carries the problem (RFC 8555, section 7.1.3).
        """
        order = client.answer(client.order(NAME), challenge_server)
        authority.misbehaviour.order_failure = Problem("caa", "CAA forbids it", 403)
        answer = client.finalize(order, PrivateKey.generate()).json()
        assert ("invalid", "CAA forbids it") == (answer["status"], answer["error"]["detail"])

    def test_an_order_may_end_without_a_reason(
        self, authority: DevelopmentAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        RFC 8555 only says that a CA should give one.
        """
        order = client.answer(client.order(NAME), challenge_server)
        authority.misbehaviour.order_failure = Problem("caa", "CAA forbids it", 403)
        authority.misbehaviour.tells_why = False
        answer = client.finalize(order, PrivateKey.generate()).json()
        assert ("invalid", None) == (answer["status"], answer.get("error"))

    def test_it_may_offer_another_kind_of_challenge(
        self, authority: DevelopmentAuthority, client: AcmeClient
    ) -> None:
        """
        Some CAs offer DNS-01 only.
        """
        authority.misbehaviour.challenge = "dns-01"
        authorization = client.post(client.new_order(NAME).json()["authorizations"][0]).json()
        assert ["dns-01"] == [challenge["type"] for challenge in authorization["challenges"]]

    def test_a_refused_validation_is_refused_at_every_name(
        self, authority: DevelopmentAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        Whatever stands there.
        """
        authority.misbehaviour.refusal = Problem("dns", "NXDOMAIN looking up A for shop.localhost")
        assert "invalid" == client.answer(client.order(NAME), challenge_server).status
