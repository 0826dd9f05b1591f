"""
Test an order from its challenges to its certificate, whatever the CA responds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from urllib.parse import urlsplit

import pytest

from certworker.acme.client import AcmeClient
from certworker.acme.order import FETCH_SECONDS
from certworker.acme.polling import PROMPT_ORDERS
from certworker.certificates import Certificate, PrivateKey
from certworker.challenges.challenge import DNS01, HTTP01, Dns01Challenge, Http01Challenge
from certworker.devca.messages import Problem
from certworker.devca.name_server import DevelopmentNameServer
from certworker.errors import CertworkerError, Retry
from certworker.errors.acme import NoDns01, OrderInvalid, PendingTimeout, ResourceNotFound
from certworker.errors.ca import CaUnreachable, NotAcme, ServerInternal
from certworker.errors.dns01 import NotVisible
from certworker.errors.rate import CaBusy
from tests.acme.clients import add_text, client_of, issued, presented
from tests.servers.development import ChallengeServer, development_authority
from tests.servers.fault_injection import Aftermath, Fault
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.tampering import only, tampered, with_members
from tests.worker.sample_tasks import eventually

NAMES = ("demo.localhost",)


@dataclass
class Time:
    """
    A clock that only `sleep` moves, so a CA can be slow for minutes.
    """

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    slept: list[float] = field(default_factory=list)
    #: Waits until the CA has done its work. On a busy machine, that takes longer than a pause.
    settle: Callable[[], object] = lambda: None

    def clock(self) -> datetime:
        """
        Return the current time of this clock.
        """
        return self.now

    def sleep(self, seconds: float) -> None:
        """
        Move the clock by *seconds*. Sleep for at most 10 milliseconds, in which the CA works.
        """
        sleep(min(seconds, 0.01))
        self.settle()
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def time() -> Time:
    """
    Return the clock of `client`.
    """
    return Time()


@pytest.fixture
def client(authority: FaultyAuthority, tmp_path: Path, time: Time) -> AcmeClient:
    """
    Return a client of the development CA.
    """
    time.settle = authority.wait_for_validations
    return client_of(authority.directory_url, tmp_path / "state", clock=time.clock, sleep=time.sleep)


def prompt_requests(
    client: AcmeClient, authority: FaultyAuthority, challenge_server: ChallengeServer
) -> list[str]:
    """
    Issue a certificate from a CA that decides before the first poll. Return the requests after the decision.
    """
    order = presented(client.order(NAMES), challenge_server)
    key = PrivateKey.generate()
    decided: list[int] = []

    def await_decision(*_: object) -> None:
        assert eventually(lambda: (found := client.resume(order.url, NAMES)) and not found.responses)
        decided.append(len(authority.requests))

    order.validate(await_decision, lambda: key.sign_request(NAMES))
    assert Certificate.from_pem(order.finalize(key.sign_request(NAMES)), key).names == NAMES
    return [request.kind for request in authority.requests[decided[0] :]]


class TestAnswers:
    def test_each_name_without_a_valid_authorization_has_a_challenge(self, client: AcmeClient) -> None:
        """
        A challenge has the name, the token and the complete response, so a solver needs no ACME.
        """
        order = client.order(("one.localhost", "two.localhost"))

        assert ["one.localhost", "two.localhost"] == [answer.name for answer in order.responses]
        assert all(f"{each.token}.{client.thumbprint}" == each.key_authorization for each in order.responses)
        assert order.url


class TestDns01:
    """
    Validation by DNS-01, with a real name server that the development CA queries.
    """

    @pytest.fixture
    def name_server(self) -> Iterator[DevelopmentNameServer]:
        """
        Run the name server of the zone demo.localhost.
        """
        with DevelopmentNameServer("demo.localhost") as server:
            yield server

    @pytest.fixture
    def authority(self, tmp_path: Path, name_server: DevelopmentNameServer) -> Iterator[FaultyAuthority]:
        """
        Run a CA that offers DNS-01.
        """
        with development_authority(tmp_path, dns_server=name_server.address) as authority:
            yield authority

    @pytest.fixture
    def client(self, authority: FaultyAuthority, tmp_path: Path, time: Time) -> AcmeClient:
        """
        Return a client that uses HTTP-01 only for www.demo.localhost.
        """
        return client_of(
            authority.directory_url,
            tmp_path / "state",
            challenge_type=lambda name: HTTP01 if name.startswith("www.") else DNS01,
            clock=time.clock,
            sleep=time.sleep,
        )

    def test_a_wildcard_its_domain_and_a_name_by_http01_share_a_certificate(
        self,
        client: AcmeClient,
        authority: FaultyAuthority,
        name_server: DevelopmentNameServer,
        challenge_server: ChallengeServer,
    ) -> None:
        """
        The domain and its wildcard have two values at one name. Each authorization has its own
        challenge type.
        """
        authority.validator = replace(authority.validator, port=challenge_server.port)
        names = ("demo.localhost", "*.demo.localhost", "www.demo.localhost")
        order = client.order(names)
        in_dns = [each for each in order.responses if isinstance(each, Dns01Challenge)]
        assert ["_acme-challenge.demo.localhost"] * 2 == [each.fqdn for each in in_dns]
        assert 2 == len({each.value for each in in_dns})
        for each in in_dns:
            add_text(name_server, each.fqdn, each.value)
        for answer in order.responses:
            if isinstance(answer, Http01Challenge):
                assert "www.demo.localhost" == answer.name
                challenge_server.answers[answer.token] = answer.key_authorization

        order.validate()

        key = PrivateKey.generate()
        certificate = Certificate.from_pem(order.finalize(key.sign_request(names)), key)
        certificate.check(names, datetime.now(UTC))

    @pytest.mark.parametrize("texts", [[], ["wrong"]])
    def test_a_missing_or_wrong_record_is_not_visible_to_the_ca(
        self, client: AcmeClient, name_server: DevelopmentNameServer, texts: list[str]
    ) -> None:
        """
        The failure names the record and has the text of the CA.
        """
        for text in texts:
            add_text(name_server, "_acme-challenge.demo.localhost", text)

        with pytest.raises(NotVisible) as refused:
            client.order(("*.demo.localhost",)).validate()

        assert "The CA" in refused.value.message
        assert "TXT record" in refused.value.message
        assert "*.demo.localhost" in refused.value.message

    @pytest.mark.parametrize(
        "name",
        ["victim.localhost", "o.localhost", "demo.localhost.victim.org", "$(reboot).demo.localhost", ""],
    )
    def test_no_record_is_created_for_a_name_that_only_the_ca_knows(
        self, client: AcmeClient, authority: FaultyAuthority, name: str
    ) -> None:
        """
        An authorization for another name fails. The credentials of the provider may be valid for it.
        """
        identifier = {"type": "dns", "value": name}
        renamed = only("authorization", lambda reply: with_members(reply, identifier=identifier))

        with tampered(authority, renamed), pytest.raises(NotAcme, match="for another name"):
            client.order(("*.demo.localhost",))

    def test_a_ca_without_dns01_cannot_certify_the_name(
        self, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        The failure names the challenges that the CA offers.
        """
        authority.policy.offers_dns01 = False
        client = client_of(authority.directory_url, tmp_path / "other", challenge_type=lambda _name: DNS01)

        with pytest.raises(NoDns01, match="offered: http-01"):
            client.order(("demo.localhost",))


class TestValidate:
    def test_a_slow_validation_is_waited_for(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        The client polls a slow validation, with growing pauses. A public CA validates from several
        countries.
        """
        authority.faults.validation_seconds = 0.3
        order = presented(client_of(authority.directory_url, tmp_path).order(NAMES), challenge_server)

        order.validate()

        assert 3 <= [request.kind for request in authority.requests].count("order") <= 9

    @pytest.mark.parametrize("validation_seconds", [0.0, 0.3])
    def test_the_first_poll_follows_the_requests_of_the_ca(
        self,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        tmp_path: Path,
        validation_seconds: float,
    ) -> None:
        """
        The first poll waits for the requests of the CA. If the CA has not decided then, further polls
        follow.
        """
        authority.faults.validation_seconds = validation_seconds
        order = presented(client_of(authority.directory_url, tmp_path).order(NAMES), challenge_server)
        waits: list[tuple[Sequence[str], float]] = []

        def await_fetches(tokens: Sequence[str], seconds: float) -> None:
            waits.append((tokens, seconds))
            assert "order" not in [request.kind for request in authority.requests]

        order.validate(await_fetches)

        assert [([response.token for response in order.responses], FETCH_SECONDS)] == waits

    def test_an_order_at_a_prompt_ca_is_finalized_without_a_poll(
        self, client: AcmeClient, authority: FaultyAuthority, challenge_server: ChallengeServer
    ) -> None:
        """
        After five orders that were ready at their first poll, the next one takes no poll to validate.
        """
        for number in range(PROMPT_ORDERS + 1):
            kinds = prompt_requests(client, authority, challenge_server)

            assert (["order"] if number < PROMPT_ORDERS else []) + ["finalize", "certificate"] == kinds

    def test_a_prompt_ca_that_becomes_slow_is_polled_again(
        self, client: AcmeClient, authority: FaultyAuthority, challenge_server: ChallengeServer
    ) -> None:
        """
        The CA refuses an early signing request. The client then polls, for the next orders as well.
        """
        for _ in range(PROMPT_ORDERS):
            prompt_requests(client, authority, challenge_server)
        authority.faults.validation_seconds = 0.1
        before = len(authority.requests)
        order = presented(client.order(NAMES), challenge_server)
        key = PrivateKey.generate()

        order.validate(lambda *_: None, lambda: key.sign_request(NAMES))

        assert Certificate.from_pem(order.finalize(key.sign_request(NAMES)), key).names == NAMES
        kinds = [request.kind for request in authority.requests[before:]]
        assert ["finalize", "order"] == kinds[3:5]
        assert 2 == kinds.count("finalize")
        authority.faults.validation_seconds = 0
        assert ["order", "finalize", "certificate"] == prompt_requests(client, authority, challenge_server)

    def test_a_failed_validation_at_a_prompt_ca_has_the_text_of_the_ca(
        self, client: AcmeClient, authority: FaultyAuthority, challenge_server: ChallengeServer
    ) -> None:
        """
        The refusal of an early signing request does not replace the reason of the failed validation.
        """
        for _ in range(PROMPT_ORDERS):
            prompt_requests(client, authority, challenge_server)
        authority.faults.refusal = Problem("dns", "DNS problem: SERVFAIL looking up A for demo.localhost")
        order = presented(client.order(NAMES), challenge_server)

        with pytest.raises(CertworkerError) as caught:
            order.validate(lambda *_: None, lambda: PrivateKey.generate().sign_request(NAMES))

        assert "dns.servfail" == caught.value.code

    def test_polling_ends_after_90_seconds(
        self,
        client: AcmeClient,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        time: Time,
    ) -> None:
        """
        The client stops polling after 90 seconds, so the order does not block a slot.
        """
        authority.faults.validation_seconds = 3600
        order = presented(client.order(NAMES), challenge_server)
        start = time.now

        with pytest.raises(PendingTimeout) as caught:
            order.validate()

        assert re.search(
            "demo.localhost is still pending at The CA after (8[7-9]|90) seconds", caught.value.message
        )
        assert time.now - start <= timedelta(seconds=90)
        assert max(time.slept) <= 2.5

    def test_a_wait_beyond_the_timeout_ends_at_once(
        self,
        client: AcmeClient,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        time: Time,
    ) -> None:
        """
        A job slot does not wait longer than the limit. The message has the time that has passed.
        """
        authority.faults.poll_after_seconds = 600
        authority.faults.validation_seconds = 3600
        order = presented(client.order(NAMES), challenge_server)

        with pytest.raises(PendingTimeout) as caught:
            order.validate()

        assert "demo.localhost is still pending at The CA after 0 seconds" in caught.value.message
        assert caught.value.until is not None
        assert timedelta(seconds=590) < caught.value.until - time.now <= timedelta(seconds=600)
        assert sum(time.slept) < 1

    def test_a_failed_validation_has_the_text_of_the_ca(
        self, client: AcmeClient, authority: FaultyAuthority, challenge_server: ChallengeServer
    ) -> None:
        """
        The failure contains the text of the CA. The message of certworker may be wrong.
        """
        authority.faults.refusal = Problem("dns", "DNS problem: SERVFAIL looking up A for demo.localhost")
        order = presented(client.order(NAMES), challenge_server)

        with pytest.raises(CertworkerError) as caught:
            order.validate()

        assert "dns.servfail" == caught.value.code
        assert caught.value.problem is not None
        assert "DNS problem: SERVFAIL looking up A for demo.localhost" == caught.value.problem["detail"]

    def test_the_failure_names_the_failed_name(
        self, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        The message names the failed name, so the operator does not need another order.
        """
        order = presented(client.order(("good.localhost", "bad.localhost")), challenge_server)
        del challenge_server.answers[order.responses[1].token]

        with pytest.raises(CertworkerError) as caught:
            order.validate()

        assert "http.404" == caught.value.code
        assert "bad.localhost" in caught.value.message

    @pytest.mark.parametrize("aftermath", Aftermath)
    @pytest.mark.parametrize(
        ("answer", "code"), [(None, "http.404"), ("<html>Welcome</html>", "http.wrong_body")]
    )
    def test_the_cause_is_reported_whatever_the_ca_leaves_pending(
        self,
        client: AcmeClient,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        time: Time,
        aftermath: Aftermath,
        answer: str | None,
        code: str,
    ) -> None:
        """
        The failure has the cause even if it is only in the authorization or the challenge. Only
        Boulder ends the order.
        """
        authority.faults.aftermath = aftermath
        order = client.order(NAMES)
        if answer is not None:
            challenge_server.answers[order.responses[0].token] = answer
        start = time.now

        with pytest.raises(CertworkerError) as caught:
            order.validate()

        assert (code, Retry.CA) == (caught.value.code, caught.value.retry)
        assert caught.value.problem is not None
        assert time.now - start <= timedelta(seconds=15)

    @pytest.mark.parametrize("aftermath", [Aftermath.ORDER_PENDING, Aftermath.AUTHORIZATION_PENDING])
    def test_one_failed_name_of_many_is_found_although_the_order_stays_pending(
        self,
        client: AcmeClient,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        time: Time,
        aftermath: Aftermath,
    ) -> None:
        """
        The client polls the authorizations in turn, and reports the failed name within 30 seconds.
        """
        names = tuple(f"site{number}.localhost" for number in range(12))
        authority.faults.aftermath = aftermath
        order = presented(client.order(names), challenge_server)
        del challenge_server.answers[order.responses[7].token]
        start = time.now

        with pytest.raises(CertworkerError) as caught:
            order.validate()

        assert "http.404" == caught.value.code
        assert names[7] in caught.value.message
        assert time.now - start <= timedelta(seconds=30)

    def test_an_error_that_the_ca_reports_while_it_retries_is_reported_at_the_end(
        self,
        client: AcmeClient,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        time: Time,
    ) -> None:
        """
        The client waits for a challenge that is `processing` with an error, then reports this error
        instead of the timeout.
        """
        authority.faults.aftermath = Aftermath.CHALLENGE_PENDING
        authority.faults.processing_after_an_error = True
        order = client.order(NAMES)
        start = time.now

        with pytest.raises(CertworkerError) as caught:
            order.validate()

        assert "http.404" == caught.value.code
        assert time.now - start > timedelta(seconds=80)

    @pytest.mark.parametrize("aftermath", list(Aftermath)[:3])
    def test_a_failed_validation_without_a_reason_is_reported(
        self,
        client: AcmeClient,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        aftermath: Aftermath,
    ) -> None:
        """
        The failure names the domain even if the CA states no reason.
        """
        authority.faults.aftermath = aftermath
        authority.faults.tells_why = False

        with pytest.raises(CertworkerError) as caught:
            client.order(NAMES).validate()

        assert ("http.not_validated", Retry.CA) == (caught.value.code, caught.value.retry)
        assert "could not validate demo.localhost" in caught.value.message

    def test_a_failed_order_without_a_reason_is_reported(
        self, client: AcmeClient, authority: FaultyAuthority, challenge_server: ChallengeServer
    ) -> None:
        """
        The failure is OrderInvalid, because no validation has failed.
        """
        authority.faults.order_failure = Problem("serverInternal", "Something is wrong.")
        authority.faults.tells_why = False

        with pytest.raises(OrderInvalid):
            issued(client, challenge_server, *NAMES)


class TestRespond:
    @pytest.mark.parametrize("kind", ["malformed", "conflict"])
    def test_a_challenge_that_is_being_validated_already_is_waited_for(
        self,
        client: AcmeClient,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        kind: str,
    ) -> None:
        """
        The client polls a challenge after the CA refuses a second response. A replica showed the
        challenge as pending.
        """
        authority.faults.repeated_response = kind
        authority.faults.validation_seconds = 0.3
        first = presented(client.order(NAMES), challenge_server)
        authority.faults.fail("order", Fault())
        with pytest.raises(ServerInternal):
            first.validate()
        authority.faults.stale_authorizations = 1
        again = client.resume(first.url, NAMES)
        assert again is not None

        again.validate()

        assert again.finalize(PrivateKey.generate().sign_request(NAMES))

    @pytest.mark.parametrize("seconds", [0.3, 0.0])
    def test_a_challenge_is_answered_only_while_it_is_pending(
        self,
        client: AcmeClient,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        seconds: float,
    ) -> None:
        """
        The client polls a challenge that is `processing` or `valid`. Many CAs refuse a second
        response.
        """
        authority.faults.validation_seconds = seconds
        first = presented(client.order(NAMES), challenge_server)
        authority.faults.fail("order", Fault())
        with pytest.raises(ServerInternal):
            first.validate()
        again = client.resume(first.url, NAMES)
        assert again is not None

        again.validate()

        assert 1 == [request.kind for request in authority.requests].count("challenge")

    def test_an_accepted_response_is_not_repeated_after_a_404(
        self, client: AcmeClient, authority: FaultyAuthority, challenge_server: ChallengeServer
    ) -> None:
        """
        The client polls after HTTP 404, because another server of the CA may have the response.
        """
        authority.faults.validation_seconds = 0.3
        authority.faults.fail("challenge", Fault(404, "malformed", carried_out=True))

        assert NAMES == issued(client, challenge_server, *NAMES).names
        assert 1 == [request.kind for request in authority.requests].count("challenge")

    def test_unknown_challenges_do_not_affect_the_supported_one(
        self, client: AcmeClient, authority: FaultyAuthority, challenge_server: ChallengeServer
    ) -> None:
        """
        The client skips malformed and unknown challenges, and uses the supported challenge.
        """
        authority.faults.more_challenges = (
            None,
            7,
            "http-01",
            [],
            {},
            {"type": 1, "url": 2},
            {"type": "dns-account-99", "token": "x"},
            {"type": "http-01", "url": "http://127.0.0.1/", "token": "../../etc"},
            {"type": "http-01", "url": None, "token": {}, "status": [], "error": 5},
        )

        assert NAMES == issued(client, challenge_server, *NAMES).names


class TestFinalize:
    def test_a_processing_order_is_waited_for(
        self, client: AcmeClient, authority: FaultyAuthority, challenge_server: ChallengeServer
    ) -> None:
        """
        The client polls an order that is `processing`. Let's Encrypt finalizes asynchronously.
        """
        authority.faults.processing_polls = 3

        assert NAMES == issued(client, challenge_server, *NAMES).names
        kinds = [request.kind for request in authority.requests]
        assert ["finalize", *["order"] * 4, "certificate"] == kinds[kinds.index("finalize") :]

    def test_retry_after_is_honored_while_polling(
        self,
        client: AcmeClient,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        time: Time,
    ) -> None:
        """
        The client waits as long as the Retry-After header of a poll requires (RFC 8555, section 7.4).
        """
        authority.faults.poll_after_seconds = 7
        authority.faults.processing_polls = 3

        assert NAMES == issued(client, challenge_server, *NAMES).names
        assert [7, 7, 7, 7] == [round(seconds) for seconds in time.slept if seconds > 1][-4:]

    def test_an_order_that_stays_processing_is_reported(
        self, client: AcmeClient, authority: FaultyAuthority, challenge_server: ChallengeServer
    ) -> None:
        """
        Polling ends with the failure and the timeout of a slow validation.
        """
        authority.faults.processing_seconds = 3600

        with pytest.raises(PendingTimeout) as caught:
            issued(client, challenge_server, *NAMES)

        assert "still processing" in caught.value.message

    def test_an_order_that_becomes_invalid_has_its_own_reason(
        self, client: AcmeClient, authority: FaultyAuthority, challenge_server: ChallengeServer
    ) -> None:
        """
        The failure has the error of the order if no challenge has an error. CAs check CAA records
        twice, for example.
        """
        authority.faults.order_failure = Problem("caa", "CAA record for localhost prevents issuance")

        with pytest.raises(CertworkerError) as caught:
            issued(client, challenge_server, *NAMES)

        assert "caa.forbidden" == caught.value.code

    def test_a_finalization_is_repeated_after_order_not_ready(
        self, client: AcmeClient, authority: FaultyAuthority, challenge_server: ChallengeServer
    ) -> None:
        """
        The client repeats the request after orderNotReady. A server of the CA may not know the
        validation yet.
        """
        authority.faults.fail("finalize", Fault(403, "orderNotReady"))

        assert NAMES == issued(client, challenge_server, *NAMES).names

    @pytest.mark.parametrize("kind", ["conflict", "malformed", "orderNotReady"])
    def test_an_accepted_finalization_is_not_repeated(
        self,
        client: AcmeClient,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        kind: str,
    ) -> None:
        """
        The client polls an order that is `processing` or `valid`, whatever the response to the
        finalization is.
        """
        status = {"conflict": 409, "malformed": 404, "orderNotReady": 403}[kind]
        authority.faults.processing_polls = 2
        authority.faults.fail("finalize", Fault(status, kind, carried_out=True))

        assert NAMES == issued(client, challenge_server, *NAMES).names
        assert 1 == [request.kind for request in authority.requests].count("finalize")

    def test_a_certificate_url_that_comes_late_is_waited_for(
        self, client: AcmeClient, authority: FaultyAuthority, challenge_server: ChallengeServer
    ) -> None:
        """
        The client polls a valid order until it has a certificate URL.
        """
        authority.faults.certificate_polls = 3

        assert NAMES == issued(client, challenge_server, *NAMES).names
        assert 1 == [request.kind for request in authority.requests].count("finalize")

    def test_a_certificate_url_that_never_comes_is_reported(
        self, client: AcmeClient, authority: FaultyAuthority, challenge_server: ChallengeServer
    ) -> None:
        """
        The failure is NotAcme after the usual timeout. Its remedy has the host of the CA.
        """
        authority.faults.certificate_polls = 1_000_000

        with pytest.raises(NotAcme, match="a valid order without a certificate") as caught:
            issued(client, challenge_server, *NAMES)

        assert caught.value.remedy.endswith(f"curl -v https://{urlsplit(authority.directory_url).netloc}/")

    def test_a_signing_request_for_other_names_is_refused(
        self, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        A bug in certworker has another code than a failure of the CA.
        """
        order = presented(client.order(NAMES), challenge_server)
        order.validate()

        with pytest.raises(CertworkerError) as caught:
            order.finalize(PrivateKey.generate().sign_request(("other.localhost",)))

        assert "acme.bad_csr" == caught.value.code


KINDS = ["newOrder", "authorization", "challenge", "order", "finalize", "certificate"]


class TestNotFoundYet:
    @pytest.mark.parametrize("kind", KINDS[1:])
    @pytest.mark.parametrize("status", [404, 400])
    def test_a_new_resource_that_is_not_found_is_requested_again(
        self,
        client: AcmeClient,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        kind: str,
        status: int,
    ) -> None:
        """
        The client requests an unknown resource again. A replica of the CA may not have it yet.
        """
        authority.faults.fail(kind, Fault(status, "malformed", detail="No such resource"), times=2)

        assert NAMES == issued(client, challenge_server, *NAMES).names
        assert 1 == [request.kind for request in authority.requests].count("newOrder")

    @pytest.mark.parametrize("kind", KINDS[1:])
    def test_a_resource_that_stays_unknown_is_retried_soon(
        self,
        client: AcmeClient,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        time: Time,
        kind: str,
    ) -> None:
        """
        The failure is ResourceNotFound, and the job retries soon. HTTP 404 decides nothing (RFC 9110,
        section 15.5.5).
        """
        authority.faults.fail(kind, Fault(404, "malformed"), times=None)
        start = time.now

        with pytest.raises(ResourceNotFound) as caught:
            issued(client, challenge_server, *NAMES)

        assert Retry.SOON is caught.value.retry
        assert time.now - start <= timedelta(seconds=20)


class TestFaults:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        ("fault", "failure"),
        [
            (Fault(500), ServerInternal),
            (Fault(502, None), ServerInternal),
            (Fault(503, None, 30), CaBusy),
            (Fault(403, None), NotAcme),
            (Fault(cut=True), CaUnreachable),
        ],
    )
    def test_each_fault_at_each_request_is_classified(
        self,
        client: AcmeClient,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        kind: str,
        fault: Fault,
        failure: type[CertworkerError],
    ) -> None:
        """
        Each fault has its failure class, and the next order succeeds.
        """
        authority.faults.fail(kind, fault)

        with pytest.raises(failure):
            issued(client, challenge_server, *NAMES)

        assert NAMES == issued(client, challenge_server, *NAMES).names
