"""
Tests of the switches of fault injection. The module test_clients runs other clients against the faults.
"""

from __future__ import annotations

import time

import pytest
import requests
from josepy.json_util import encode_b64jose

from certworker.certificates import PrivateKey
from certworker.devca.messages import Problem
from tests.servers.acme_client import AcmeClient, problem_of
from tests.servers.development import ChallengeServer
from tests.servers.fault_injection import Aftermath, Fault, FaultInjection, Flaw
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.worker import wait_until

NAME = "shop.localhost"


class TestFail:
    def test_faults_occur_in_the_configured_order(self) -> None:
        """
        Faults occur in the order of their configuration: 500 twice, then 503, then none.
        """
        faults = FaultInjection()
        faults.fail("order", Fault(500), times=2)
        faults.fail("order", Fault(503))
        found = [faults.next_fault("order") for _ in range(4)]
        assert [500, 500, 503, None] == [fault and fault.status for fault in found]

    def test_a_fault_affects_one_kind_of_request(self) -> None:
        """
        Requests of another kind succeed.
        """
        faults = FaultInjection()
        faults.fail("order", Fault(), times=None)
        assert faults.next_fault("newOrder") is None
        assert all(faults.next_fault("order") for _ in range(100))

    def test_a_reset_removes_all_faults(self) -> None:
        """
        A reset removes all faults.
        """
        faults = FaultInjection(bad_nonces=3, flaws=frozenset(Flaw), slow_seconds={"order": 9.0})
        faults.fail("order", Fault(), times=None)
        faults.reset()
        assert faults.next_fault("order") is None
        assert (0, frozenset(), {}) == (
            faults.bad_nonces,
            faults.flaws,
            faults.slow_seconds,
        )


class TestAnswers:
    def test_a_rate_limit_has_retry_after(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        A rate limit has a Retry-After header (RFC 8555, section 6.6).
        """
        authority.faults.rate_limit(60, times=2)
        for _ in range(2):
            answer = client.new_order(NAME)
            assert (429, "rateLimited") == problem_of(answer)
            assert "60" == answer.headers["Retry-After"]
            assert answer.headers["Replay-Nonce"]
        assert client.new_order(NAME).ok

    def test_a_load_balancer_returns_html(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        The page of a load balancer is HTML without a nonce.
        """
        authority.faults.fail("newOrder", Fault(503, None, 7))
        answer = client.new_order(NAME)
        assert (503, "text/html", "7") == (
            answer.status_code,
            answer.headers["Content-Type"],
            answer.headers["Retry-After"],
        )
        assert "Replay-Nonce" not in answer.headers

    def test_a_cut_comes_after_the_request_is_carried_out(
        self, authority: FaultyAuthority, client: AcmeClient
    ) -> None:
        """
        The CA creates the order before it cuts the connection, so only its URL is lost.
        """
        authority.faults.fail("newOrder", Fault(cut=True))
        with pytest.raises(requests.ConnectionError):
            client.new_order(NAME)
        last = authority.requests[-1]
        assert ("newOrder", (NAME,), 0) == (last.kind, last.names, last.status)

    def test_a_slow_request_takes_the_configured_time(
        self, authority: FaultyAuthority, client: AcmeClient
    ) -> None:
        """
        A request of the configured kind takes the configured time.
        """
        authority.faults.slow_seconds["newOrder"] = 0.2
        start = time.monotonic()
        client.new_order(NAME)
        assert time.monotonic() - start >= 0.2

    def test_bad_nonces_are_counted(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        The CA refuses the configured number of nonces, then accepts the next one.
        """
        authority.faults.bad_nonces = 5
        for _ in range(5):
            assert (400, "badNonce") == problem_of(client.new_order(NAME))
        assert client.new_order(NAME).ok

    def test_a_fault_can_follow_the_carried_out_request(
        self, authority: FaultyAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        The CA finalizes the order, and responds with the fault.
        """
        order = client.answer(client.order(NAME), challenge_server)
        authority.faults.fail("finalize", Fault(404, "malformed", carried_out=True))
        request = encode_b64jose(PrivateKey.generate().sign_request((NAME,)))

        assert (404, "malformed") == problem_of(client.post(order.content["finalize"], {"csr": request}))
        assert "valid" == client.post(order.url).json()["status"]

    def test_a_fault_can_follow_some_normal_responses(
        self, authority: FaultyAuthority, client: AcmeClient
    ) -> None:
        """
        The fault follows the configured number of normal responses.
        """
        authority.faults.after("newOrder", 2, Fault(500))

        assert [201, 201, 500, 500] == [client.new_order(NAME).status_code for _ in range(4)]


class TestValidations:
    @pytest.mark.parametrize(
        ("aftermath", "challenge", "authorization", "order"),
        [
            (Aftermath.ORDER_INVALID, "invalid", "invalid", "invalid"),
            (Aftermath.ORDER_PENDING, "invalid", "invalid", "pending"),
            (Aftermath.AUTHORIZATION_PENDING, "invalid", "pending", "pending"),
            (Aftermath.CHALLENGE_PENDING, "pending", "pending", "pending"),
        ],
    )
    def test_a_failed_validation_has_the_states_of_its_aftermath(
        self,
        authority: FaultyAuthority,
        client: AcmeClient,
        aftermath: Aftermath,
        challenge: str,
        authorization: str,
        order: str,
    ) -> None:
        """
        Each aftermath has its own states, and the challenge always has the error.
        """
        authority.faults.aftermath = aftermath
        placed = client.order(NAME)
        url = placed.content["authorizations"][0]
        client.post(client.post(url).json()["challenges"][0]["url"], {})
        wait_until(lambda: "error" in client.post(url).json()["challenges"][0] or None, lambda: "no error")

        found = client.post(url).json()
        assert (challenge, authorization) == (found["challenges"][0]["status"], found["status"])
        assert order == client.post(placed.url).json()["status"]

    def test_a_response_can_be_refused_with_the_problem_of_the_validation(
        self, authority: FaultyAuthority, client: AcmeClient
    ) -> None:
        """
        The CA validates before it responds, and the response is the problem.
        """
        authority.faults.aftermath = Aftermath.RESPONSE_REFUSED
        url = client.post(client.order(NAME).content["authorizations"][0]).json()["challenges"][0]["url"]

        assert (400, "unauthorized") == problem_of(client.post(url, {}))

    @pytest.mark.parametrize(("kind", "status"), [("malformed", 400), ("conflict", 409)])
    def test_only_a_pending_challenge_accepts_a_response(
        self, authority: FaultyAuthority, client: AcmeClient, kind: str, status: int
    ) -> None:
        """
        The CA refuses a second response, as Boulder and Pebble do. A POST-as-GET is not a response.
        """
        authority.faults.repeated_response = kind
        authority.faults.validation_seconds = 60
        url = client.post(client.order(NAME).content["authorizations"][0]).json()["challenges"][0]["url"]
        client.post(url, {})

        assert (status, kind) == problem_of(client.post(url, {}))
        assert "processing" == client.post(url).json()["status"]

    def test_a_slow_replica_shows_the_former_state(
        self, authority: FaultyAuthority, client: AcmeClient
    ) -> None:
        """
        A poll shows the former state for the configured number of polls.
        """
        authority.faults.validation_seconds = 60
        url = client.order(NAME).content["authorizations"][0]
        client.post(client.post(url).json()["challenges"][0]["url"], {})
        authority.faults.stale_authorizations = 1

        shown = [client.post(url).json()["challenges"][0]["status"] for _ in range(2)]
        assert ["pending", "processing"] == shown

    def test_other_challenges_can_come_first(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        The configured challenges precede the HTTP-01 challenge.
        """
        authority.faults.more_challenges = (None, {"type": "dns-account-99"})
        challenges = client.post(client.order(NAME).content["authorizations"][0]).json()["challenges"]

        assert [None, {"type": "dns-account-99"}] == challenges[:2]
        assert "http-01" == challenges[2]["type"]


class TestOrders:
    def test_the_certificate_url_can_come_late(
        self, authority: FaultyAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        A valid order has no certificate URL for the configured number of polls.
        """
        authority.faults.certificate_polls = 2
        order = client.answer(client.order(NAME), challenge_server)
        request = encode_b64jose(PrivateKey.generate().sign_request((NAME,)))
        client.post(order.content["finalize"], {"csr": request})

        polls = [client.post(order.url).json() for _ in range(3)]
        assert ["valid"] * 3 == [poll["status"] for poll in polls]
        assert [False, False, True] == ["certificate" in poll for poll in polls]

    def test_processing_takes_the_configured_polls(
        self, authority: FaultyAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        An order stays processing for the configured number of polls.
        """
        authority.faults.processing_polls = 3
        authority.faults.poll_after_seconds = 2
        issued = client.issue(NAME, server=challenge_server)
        assert (NAME,) == issued.names
        polls = [request for request in authority.requests if request.kind == "order"]
        assert len(polls) >= 4

    def test_an_order_fails_with_the_configured_problem(
        self, authority: FaultyAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        The finalized order is invalid and has the configured problem (RFC 8555, section 7.1.3).
        """
        order = client.answer(client.order(NAME), challenge_server)
        authority.faults.order_failure = Problem("caa", "CAA forbids it", 403)
        answer = client.finalize(order, PrivateKey.generate()).json()
        assert ("invalid", "CAA forbids it") == (answer["status"], answer["error"]["detail"])

    def test_an_order_can_fail_without_a_reason(
        self, authority: FaultyAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        An invalid order can have no problem, because RFC 8555 only recommends it.
        """
        order = client.answer(client.order(NAME), challenge_server)
        authority.faults.order_failure = Problem("caa", "CAA forbids it", 403)
        authority.faults.tells_why = False
        answer = client.finalize(order, PrivateKey.generate()).json()
        assert ("invalid", None) == (answer["status"], answer.get("error"))

    def test_the_ca_can_offer_another_challenge_type(
        self, authority: FaultyAuthority, client: AcmeClient
    ) -> None:
        """
        The CA can offer only DNS-01, as some CAs do.
        """
        authority.faults.challenge = "dns-01"
        authorization = client.post(client.new_order(NAME).json()["authorizations"][0]).json()
        assert ["dns-01"] == [challenge["type"] for challenge in authorization["challenges"]]

    def test_a_configured_refusal_ends_each_validation(
        self, authority: FaultyAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        The configured problem ends each validation, although the response is correct.
        """
        authority.faults.refusal = Problem("dns", "NXDOMAIN looking up A for shop.localhost")
        assert "invalid" == client.answer(client.order(NAME), challenge_server).status
