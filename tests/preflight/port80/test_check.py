"""
The check of port 80: a nonce of our own, asked for as a CA would.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from certworker.challenges.challenge import Http01Challenge as Nonce
from certworker.errors import Retry
from certworker.preflight.dns.records import DnsRecords, ServerView
from certworker.preflight.dns.resolver import Resolver
from certworker.preflight.port80.check import InternalHop, Port80Check, internal_hops, is_served
from certworker.preflight.result import CheckContext, CheckResult, Outcome
from certworker.settings import load
from tests.app_fixture import environment
from tests.servers.ports import free_port
from tests.servers.web import Respond, WebServer, always, cut, key_authorizations, redirects, says, silent
from tests.servers.zones import World as Zones

NAME = "shop.example.org"


@contextmanager
def standing(name: str) -> Iterator[Nonce]:
    """
    A nonce to which :func:`key_authorizations` knows the answer.
    """
    yield Nonce(name, "nonce", "nonce.thumbprint")


class World:
    """
    A name with some addresses, and what answers at each of them.
    """

    def __init__(self, place: Path) -> None:
        self.port = free_port()
        self.settings = load(environment(place, "http://127.0.0.1:1/directory", self.port))
        self.addresses: list[str] = []
        self.doors: list[InternalHop] = []
        self.ours: list[str] = []
        self.stack = ExitStack()

    def serve(self, address: str, respond: Respond, pair: tuple[Path, Path] | None = None) -> None:
        """
        Let *address* of the name answer so.
        """
        self.addresses.append(address)
        self.stack.enter_context(WebServer(respond, host=address, port=self.port, pair=pair))

    def stand(self, title: str, respond: Respond) -> None:
        """
        Let one of our own stations answer so.
        """
        server = self.stack.enter_context(WebServer(respond))
        self.doors.append(InternalHop(title, "127.0.0.1", server.port))

    def verdict(self) -> CheckResult:
        """
        What the check says.
        """
        records = DnsRecords(NAME, system=ServerView("a resolver", tuple(self.addresses)))
        return Port80Check(self.settings, standing, self.doors, self.ours)(CheckContext(NAME, records))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """
    A name without an address.
    """
    world = World(tmp_path)
    with world.stack:
        yield world


def said(verdict: CheckResult) -> tuple[Outcome, str]:
    """
    The answer, and the code of the failure.
    """
    assert verdict.failure
    return verdict.outcome, verdict.failure.code


class TestPort:
    def test_a_failure_names_the_port_that_was_checked(self, world: World) -> None:
        """
        The sentences speak of port 80; a test CA may ask at another one.
        """
        world.serve("127.0.0.2", always(404, "Not Found"))
        failure = world.verdict().failure

        assert failure
        assert failure.message.endswith(f" The port that was checked is {world.port}.")


class TestOurAddress:
    def test_an_address_that_is_not_ours_is_what_to_change(self, world: World) -> None:
        """
        Whoever answers there, and with what, is not for us to mend.
        """
        world.serve("127.0.0.2", always(404, "Not Found"))
        world.ours = ["127.0.0.3"]

        assert (Outcome.FAIL, "dns.wrong_ip") == said(world.verdict())

    def test_it_does_not_matter_where_the_answer_comes_through(self, world: World) -> None:
        """
        A proxy in front has an address of its own.
        """
        world.serve("127.0.0.2", key_authorizations())
        world.ours = ["127.0.0.3"]

        assert world.verdict().is_proof


class TestYes:
    def test_the_right_answer_from_each_address(self, world: World) -> None:
        """
        Then the CA will have it, too, wherever it asks.
        """
        for address in ("::1", "127.0.0.2", "127.0.0.3"):
            world.serve(address, key_authorizations())
        verdict = world.verdict()

        assert (Outcome.PASS, ()) == (verdict.outcome, verdict.warnings)
        assert verdict.evidence.startswith(f"port {world.port} answers in ")

    def test_a_proxy_that_passes_it_on_is_no_complaint(self, world: World) -> None:
        """
        False alarms are defects.
        """
        world.serve("127.0.0.2", always(200, "nonce.thumbprint", Via="1.1 squid"))
        verdict = world.verdict()

        assert (Outcome.PASS, ()) == (verdict.outcome, verdict.warnings)
        assert verdict.evidence.endswith(" through a proxy")

    def test_a_redirect_to_https_is_none_either(self, world: World, pair: tuple[Path, Path]) -> None:
        """
        Most sites have one.
        """
        world.serve("127.0.0.2", redirects(f"https://127.0.0.3:{world.port}{{path}}"))
        world.serve("127.0.0.3", key_authorizations(), pair)
        world.addresses.pop()

        assert Outcome.PASS is world.verdict().outcome

    def test_cloudflare_is_worth_a_remark(self, world: World) -> None:
        """
        The next renewal may meet another setting of it.
        """
        world.serve("127.0.0.2", always(200, "nonce.thumbprint", CF_RAY="8f3", Server="cloudflare"))
        verdict = world.verdict()

        assert Outcome.PASS is verdict.outcome
        assert ["http.cloudflare"] == [remark.code for remark in verdict.warnings]

    def test_without_an_address_nothing_is_asked(self, world: World) -> None:
        """
        DNS is another check's business.
        """
        assert Outcome.PASS is world.verdict().outcome

    def test_what_cannot_be_tested_is_no_reason_to_wait(self, world: World) -> None:
        """
        This machine may have no way to an address of the name.
        """
        world.addresses.append("fe80::1")
        verdict = world.verdict()

        assert verdict.is_skipped
        assert (Outcome.PASS, f"port {world.port} cannot be tested from here") == (
            verdict.outcome,
            verdict.evidence,
        )

    def test_at_most_eight_addresses_are_asked(self, world: World) -> None:
        """
        A name with a thousand of them would have us knock at a thousand doors.
        """
        servers = [
            world.stack.enter_context(
                WebServer(key_authorizations(), host=f"127.0.1.{last}", port=world.port)
            )
            for last in range(1, 10)
        ]
        world.addresses = [f"127.0.1.{last}" for last in range(1, 10)]
        world.verdict()

        assert 4 == sum(len(server.requests) for server in servers)


class TestNo:
    @pytest.mark.parametrize(
        ("respond", "code", "words"),
        [
            (always(404), "http.404", "404"),
            (always(404, "404 page not found\n"), "http.traefik_no_route", "docker compose up -d traefik"),
            (always(401), "http.basic_auth", "password"),
            (always(403, "Router protection does not allow this"), "http.router_protection", "_APP_OPTIONS"),
            (always(200, "<html>our shop"), "http.wrong_body", "<html>our shop"),
            (always(200, "nonce.other"), "http.wrong_body", "nonce.other"),
            (always(200, "<html>", Server="cloudflare"), "http.cloudflare", "DNS only"),
            (always(522, "", CF_RAY="1"), "http.cloudflare", "522"),
            (always(200, "/aes.js"), "http.bot_wall", "filter"),
            (always(400, "Client sent an HTTP request to an HTTPS server."), "http.https_on_80", "80:80"),
            (says(b"\x15\x03\x01\x00\x02\x02F"), "http.https_on_80", "80:80"),
            (redirects("https://shop.example.org:8443/"), "http.redirect_bad", "8443"),
            (redirects("http://www.example.org/", 303), "http.redirect_bad", "303"),
            (redirects("http://shop.example.org{path}"), "http.redirect_loop", "loop"),
            (redirects("https://127.0.0.2/"), "http.redirect_https_closed", "443"),
        ],
    )
    def test_what_the_ca_would_meet_as_well(
        self, world: World, respond: Respond, code: str, words: str
    ) -> None:
        """
        An answer is an answer: nobody has to ask the CA.
        """
        world.serve("127.0.0.2", respond)
        verdict = world.verdict()

        assert (Outcome.FAIL, code) == said(verdict)
        assert verdict.failure
        assert words in str(verdict.failure)
        assert NAME in verdict.failure.message
        assert Retry.PREFLIGHT is verdict.failure.retry

    def test_http_on_the_port_of_https(self, world: World) -> None:
        """
        Crossed ports show after a redirect only.
        """
        world.serve("127.0.0.2", redirects(f"https://127.0.0.3:{world.port}/"))
        world.serve("127.0.0.3", always(400))
        world.addresses.pop()

        assert (Outcome.FAIL, "http.http_on_443") == said(world.verdict())

    def test_a_closed_port_of_a_private_address(self, world: World) -> None:
        """
        No router stands between us and it.
        """
        world.addresses.append("127.0.0.2")

        assert (Outcome.FAIL, "http.refused") == said(world.verdict())


class TestLikelyNo:
    @pytest.mark.parametrize(
        ("respond", "code"), [(cut, "http.reset"), (always(200, "", Server="micro_httpd"), "http.router_ui")]
    )
    def test_what_may_meet_us_only(self, world: World, respond: Respond, code: str) -> None:
        """
        Seen from inside, a router shows its own page; a filter may not like us in particular.
        """
        world.serve("127.0.0.2", respond)

        assert (Outcome.WARN, code) == said(world.verdict())


class TestSeveralAddresses:
    def test_one_that_leads_elsewhere_is_named(self, world: World) -> None:
        """
        The CA takes any of them.
        """
        world.serve("127.0.0.2", key_authorizations())
        world.serve("127.0.0.3", always(404))
        verdict = world.verdict()

        assert (Outcome.FAIL, "dns.mixed_ips") == said(verdict)
        assert verdict.failure
        assert "127.0.0.3" in verdict.failure.remedy

    def test_an_ipv6_address_that_leads_elsewhere_is_an_old_one(self, world: World) -> None:
        """
        The CA begins with it, and a browser's fallback hides it from its owner.
        """
        world.serve("127.0.0.2", key_authorizations())
        world.serve("::1", always(404))
        verdict = world.verdict()

        assert (Outcome.FAIL, "dns.aaaa_wrong") == said(verdict)
        assert verdict.failure
        assert "(::1)" in verdict.failure.message
        assert f"Delete the AAAA record of {NAME}" in verdict.failure.remedy

    def test_one_that_leads_elsewhere_after_a_redirect_is_found_as_well(self, world: World) -> None:
        """
        After a redirect a CA does not fall back to IPv4.
        """
        world.serve("127.0.0.2", redirects("http://[::1]/"))
        verdict = world.verdict()

        assert (Outcome.WARN, "dns.aaaa_wrong") == said(verdict)


class TestStations:
    def test_traefik_has_it_so_another_server_answers(self, world: World) -> None:
        """
        The record points elsewhere.
        """
        world.serve("127.0.0.2", always(404))
        world.stand("the worker", key_authorizations())
        world.stand("Traefik", key_authorizations())
        verdict = world.verdict()

        assert (Outcome.FAIL, "http.404") == said(verdict)
        assert verdict.failure
        assert "Another server answers" in verdict.failure.message
        assert "A record" in verdict.failure.remedy

    def test_the_worker_has_it_and_traefik_does_not(self, world: World) -> None:
        """
        A route is missing.
        """
        world.serve("127.0.0.2", always(404, Server="nginx"))
        world.stand("the worker", key_authorizations())
        world.stand("Traefik", always(404, Server="nginx"))
        verdict = world.verdict()

        assert verdict.failure
        assert "Traefik does not route" in verdict.failure.message

    def test_appwrite_does_not_see_the_file(self, world: World) -> None:
        """
        The volume is not shared.
        """
        world.serve("127.0.0.2", always(404))
        for title in ("Appwrite", "Traefik"):
            world.stand(title, always(404))
        verdict = world.verdict()

        assert verdict.failure
        assert "appwrite-certificates:/storage/certificates" in verdict.failure.remedy

    def test_other_failures_say_who_has_it(self, world: World) -> None:
        """
        Whoever reads it knows on which side to look.
        """
        world.serve("127.0.0.2", always(502))
        world.stand("the worker", key_authorizations())
        verdict = world.verdict()

        assert verdict.failure
        assert "HTTP 502; the worker has the answer" in verdict.failure.message

    def test_a_port_that_is_closed_to_us_while_traefik_answers_is_a_router(self, world: World) -> None:
        """
        Many do not lead their own public address back inside; the CA comes from outside.
        """
        world.addresses.append("127.0.0.2")
        world.stand("Traefik", key_authorizations())
        verdict = world.verdict()

        assert Outcome.PASS is verdict.outcome
        assert ["http.hairpin"] == [remark.code for remark in verdict.warnings]

    def test_they_are_asked_while_the_public_address_is_still_silent(self, world: World) -> None:
        """
        A check has little more time than the CA has for its own question.
        """
        world.serve("127.0.0.2", silent)
        world.stand("Traefik", silent)
        began = time.monotonic()

        assert (Outcome.WARN, "http.slow") == said(world.verdict())
        assert time.monotonic() - began < 11

    def test_a_station_that_does_not_exist_is_not_asked(self, world: World) -> None:
        """
        Not everybody has an Appwrite.
        """
        world.serve("127.0.0.2", always(404))
        world.doors.append(InternalHop("Appwrite", "nowhere.invalid", 80))

        assert (Outcome.FAIL, "http.404") == said(world.verdict())

    def test_they_are_those_of_the_compose_file(self, world: World) -> None:
        """
        From the inside out.
        """
        assert ["the worker", "Appwrite", "Traefik"] == [door.title for door in internal_hops(world.settings)]


class TestAnswers:
    def test_the_right_answer_means_yes_and_anything_else_no(self, world: World) -> None:
        """
        Traefik may be starting: no answer is no exception.
        """
        question = Nonce("shop.localhost", "nonce", "nonce.thumbprint")

        assert not is_served(question, world.settings, DnsRecords)
        world.serve("127.0.0.1", key_authorizations())
        assert is_served(question, world.settings, DnsRecords)
        assert not is_served(Nonce("shop.localhost", "nonce", "nonce.other"), world.settings, DnsRecords)

    def test_a_name_that_only_our_own_resolver_knows_is_found(self, world: World, dns_world: Zones) -> None:
        """
        The resolver of this machine may know nothing of it, as in a private network.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": ["127.0.0.5"]}})
        world.serve("127.0.0.5", key_authorizations())
        resolver = Resolver([dns_world.resolver.address], private=True)
        question = Nonce("shop.org", "nonce", "nonce.thumbprint")

        assert is_served(question, world.settings, resolver.look_up)
