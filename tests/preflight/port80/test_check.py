"""
Tests of the check of port 80.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from certworker.challenges.challenge import Http01Challenge
from certworker.dns.records import DnsRecords, ServerView
from certworker.dns.resolver import Resolver
from certworker.errors import Retry
from certworker.preflight.port80.check import InternalHop, Port80Check, internal_hops, is_served
from certworker.preflight.result import CheckContext, CheckResult, Outcome
from certworker.settings import load
from tests.app_fixture import environment
from tests.servers.ports import free_port
from tests.servers.web import Respond, WebServer, always, cut, key_authorizations, redirects, sends, silent
from tests.servers.zones import World as Zones

NAME = "shop.example.org"


@contextmanager
def published(name: str) -> Iterator[Http01Challenge]:
    """
    Publish a test response that :func:`key_authorizations` knows.
    """
    yield Http01Challenge(name, "nonce", "nonce.thumbprint")


class World:
    """
    A name with some addresses, and the servers at these addresses.
    """

    def __init__(self, path: Path) -> None:
        self.port = free_port()
        self.settings = load(environment(path, "http://127.0.0.1:1/directory", self.port))
        self.addresses: list[str] = []
        self.hops: list[InternalHop] = []
        self.own_addresses: list[str] = []
        self.stack = ExitStack()

    def serve(self, address: str, respond: Respond, pair: tuple[Path, Path] | None = None) -> None:
        """
        Run a server at *address* of the name that answers with *respond*.
        """
        self.addresses.append(address)
        self.stack.enter_context(WebServer(respond, host=address, port=self.port, pair=pair))

    def serve_internally(self, title: str, respond: Respond) -> None:
        """
        Run an internal hop that answers with *respond*.
        """
        server = self.stack.enter_context(WebServer(respond))
        self.hops.append(InternalHop(title, "127.0.0.1", server.port))

    def result(self) -> CheckResult:
        """
        Return the result of the check.
        """
        records = DnsRecords(NAME, system=ServerView("a resolver", tuple(self.addresses)))
        return Port80Check(self.settings, published, self.hops, self.own_addresses)(
            CheckContext(NAME, records)
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """
    Return a name without an address.
    """
    world = World(tmp_path)
    with world.stack:
        yield world


def outcome_of(result: CheckResult) -> tuple[Outcome, str]:
    """
    Return the outcome and the code of the failure.
    """
    assert result.failure
    return result.outcome, result.failure.code


class TestPort:
    def test_a_failure_names_the_port_that_was_checked(self, world: World) -> None:
        """
        The message names the checked port, because a test CA may use another port.
        """
        world.serve("127.0.0.2", always(404, "Not Found"))
        failure = world.result().failure

        assert failure
        assert failure.message.endswith(f" The checked port is {world.port}.")


class TestOwnAddress:
    def test_an_address_of_another_server_is_a_failure(self, world: World) -> None:
        """
        An address of another server is a failure, whatever that server returns.
        """
        world.serve("127.0.0.2", always(404, "Not Found"))
        world.own_addresses = ["127.0.0.3"]

        assert (Outcome.FAIL, "dns.wrong_ip") == outcome_of(world.result())

    def test_a_correct_response_from_another_address_passes(self, world: World) -> None:
        """
        A correct response from another address, such as a proxy, is a proof.
        """
        world.serve("127.0.0.2", key_authorizations())
        world.own_addresses = ["127.0.0.3"]

        assert world.result().is_proof


class TestPasses:
    def test_a_correct_response_from_each_address_passes(self, world: World) -> None:
        """
        A correct response from each address is a proof.
        """
        for address in ("::1", "127.0.0.2", "127.0.0.3"):
            world.serve(address, key_authorizations())
        result = world.result()

        assert (Outcome.PASS, ()) == (result.outcome, result.warnings)
        assert result.evidence.startswith(f"port {world.port} answers in ")

    def test_a_proxy_that_forwards_causes_no_warning(self, world: World) -> None:
        """
        A proxy that forwards the request causes no warning.
        """
        world.serve("127.0.0.2", always(200, "nonce.thumbprint", Via="1.1 squid"))
        result = world.result()

        assert (Outcome.PASS, ()) == (result.outcome, result.warnings)
        assert result.evidence.endswith(" through a proxy")

    def test_a_redirect_to_https_causes_no_warning(self, world: World, pair: tuple[Path, Path]) -> None:
        """
        A redirect to HTTPS causes no warning.
        """
        world.serve("127.0.0.2", redirects(f"https://127.0.0.3:{world.port}{{path}}"))
        world.serve("127.0.0.3", key_authorizations(), pair)
        world.addresses.pop()

        assert Outcome.PASS is world.result().outcome

    def test_cloudflare_is_a_warning(self, world: World) -> None:
        """
        Cloudflare is a warning, because its settings may change before the renewal.
        """
        world.serve("127.0.0.2", always(200, "nonce.thumbprint", CF_RAY="8f3", Server="cloudflare"))
        result = world.result()

        assert Outcome.PASS is result.outcome
        assert ["http.cloudflare"] == [warning.code for warning in result.warnings]

    def test_without_an_address_nothing_is_requested(self, world: World) -> None:
        """
        The check passes without an address, which the check of DNS reports.
        """
        assert Outcome.PASS is world.result().outcome

    def test_an_unreachable_address_does_not_fail_the_check(self, world: World) -> None:
        """
        The check is skipped if this machine cannot reach the address.
        """
        world.addresses.append("fe80::1")
        result = world.result()

        assert result.is_skipped
        assert (Outcome.PASS, f"port {world.port} cannot be tested from here") == (
            result.outcome,
            result.evidence,
        )

    def test_the_number_of_requested_addresses_is_limited(self, world: World) -> None:
        """
        At most four addresses of each IP version are requested.
        """
        servers = [
            world.stack.enter_context(
                WebServer(key_authorizations(), host=f"127.0.1.{last}", port=world.port)
            )
            for last in range(1, 10)
        ]
        world.addresses = [f"127.0.1.{last}" for last in range(1, 10)]
        world.result()

        assert 4 == sum(len(server.requests) for server in servers)


class TestFailures:
    @pytest.mark.parametrize(
        ("respond", "code", "text"),
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
            (sends(b"\x15\x03\x01\x00\x02\x02F"), "http.https_on_80", "80:80"),
            (redirects("https://shop.example.org:8443/"), "http.redirect_bad", "8443"),
            (redirects("http://www.example.org/", 303), "http.redirect_bad", "303"),
            (redirects("http://shop.example.org{path}"), "http.redirect_loop", "loop"),
            (redirects("https://127.0.0.2/"), "http.redirect_https_closed", "443"),
        ],
    )
    def test_a_wrong_response_is_a_failure(
        self, world: World, respond: Respond, code: str, text: str
    ) -> None:
        """
        A wrong response is a failure, because the CA also gets it.
        """
        world.serve("127.0.0.2", respond)
        result = world.result()

        assert (Outcome.FAIL, code) == outcome_of(result)
        assert result.failure
        assert text in str(result.failure)
        assert NAME in result.failure.message
        assert Retry.PREFLIGHT is result.failure.retry

    def test_http_on_the_port_of_https_is_a_failure(self, world: World) -> None:
        """
        Plain HTTP on the port of HTTPS is a failure after a redirect.
        """
        world.serve("127.0.0.2", redirects(f"https://127.0.0.3:{world.port}/"))
        world.serve("127.0.0.3", always(400))
        world.addresses.pop()

        assert (Outcome.FAIL, "http.http_on_443") == outcome_of(world.result())

    def test_a_closed_port_of_a_private_address_is_a_failure(self, world: World) -> None:
        """
        A closed port of a private address is a failure.
        """
        world.addresses.append("127.0.0.2")

        assert (Outcome.FAIL, "http.refused") == outcome_of(world.result())


class TestProbableFailures:
    @pytest.mark.parametrize(
        ("respond", "code"), [(cut, "http.reset"), (always(200, "", Server="micro_httpd"), "http.router_ui")]
    )
    def test_a_failure_that_may_only_affect_this_machine_is_a_warning(
        self, world: World, respond: Respond, code: str
    ) -> None:
        """
        A failure that may only affect this machine is a warning.
        """
        world.serve("127.0.0.2", respond)

        assert (Outcome.WARN, code) == outcome_of(world.result())


class TestSeveralAddresses:
    def test_the_address_of_another_server_is_named(self, world: World) -> None:
        """
        The failure names the address of another server, because the CA may use any address.
        """
        world.serve("127.0.0.2", key_authorizations())
        world.serve("127.0.0.3", always(404))
        result = world.result()

        assert (Outcome.FAIL, "dns.mixed_ips") == outcome_of(result)
        assert result.failure
        assert "127.0.0.3" in result.failure.remedy

    def test_an_ipv6_address_of_another_server_is_a_wrong_aaaa_record(self, world: World) -> None:
        """
        An IPv6 address of another server is a wrong AAAA record. A CA tries IPv6 first.
        """
        world.serve("127.0.0.2", key_authorizations())
        world.serve("::1", always(404))
        result = world.result()

        assert (Outcome.FAIL, "dns.aaaa_wrong") == outcome_of(result)
        assert result.failure
        assert "(::1)" in result.failure.message
        assert f"Delete the AAAA record of {NAME}" in result.failure.remedy

    def test_a_failing_ipv6_address_after_a_redirect_is_a_warning(self, world: World) -> None:
        """
        A failing IPv6 address after a redirect is a warning.
        """
        world.serve("127.0.0.2", redirects("http://[::1]/"))
        result = world.result()

        assert (Outcome.WARN, "dns.aaaa_wrong") == outcome_of(result)


class TestInternalHops:
    def test_another_server_answers_if_traefik_has_the_response(self, world: World) -> None:
        """
        The record points to another server if Traefik has the response.
        """
        world.serve("127.0.0.2", always(404))
        world.serve_internally("the worker", key_authorizations())
        world.serve_internally("Traefik", key_authorizations())
        result = world.result()

        assert (Outcome.FAIL, "http.404") == outcome_of(result)
        assert result.failure
        assert "Another server responds" in result.failure.message
        assert "A record" in result.failure.remedy

    def test_the_route_is_missing_if_only_the_worker_has_the_response(self, world: World) -> None:
        """
        The route is missing if the worker has the response and Traefik does not.
        """
        world.serve("127.0.0.2", always(404, Server="nginx"))
        world.serve_internally("the worker", key_authorizations())
        world.serve_internally("Traefik", always(404, Server="nginx"))
        result = world.result()

        assert result.failure
        assert "Traefik does not route" in result.failure.message

    def test_the_volume_is_not_shared_if_appwrite_has_no_response(self, world: World) -> None:
        """
        The volume is not shared if Appwrite does not have the response.
        """
        world.serve("127.0.0.2", always(404))
        for title in ("Appwrite", "Traefik"):
            world.serve_internally(title, always(404))
        result = world.result()

        assert result.failure
        assert "appwrite-certificates:/storage/certificates" in result.failure.remedy

    def test_another_failure_names_the_last_hop_with_the_response(self, world: World) -> None:
        """
        Another failure names the last hop that has the response.
        """
        world.serve("127.0.0.2", always(502))
        world.serve_internally("the worker", key_authorizations())
        result = world.result()

        assert result.failure
        assert "HTTP 502; the worker has the response" in result.failure.message

    def test_a_closed_port_while_traefik_answers_is_a_warning(self, world: World) -> None:
        """
        A port that is closed only from inside is a warning about a router without NAT loopback.
        """
        world.addresses.append("127.0.0.2")
        world.serve_internally("Traefik", key_authorizations())
        result = world.result()

        assert Outcome.PASS is result.outcome
        assert ["http.hairpin"] == [warning.code for warning in result.warnings]

    def test_internal_hops_are_requested_concurrently(self, world: World) -> None:
        """
        The internal hops are requested concurrently with the public address.
        """
        both = threading.Event()
        meeting = threading.Barrier(2, action=both.set)

        def silent_after_both_requests(path: str, visitor: socket.socket) -> bytes:
            meeting.wait()
            return silent(path, visitor)

        world.serve("127.0.0.2", silent_after_both_requests)
        world.serve_internally("Traefik", silent_after_both_requests)

        assert (Outcome.WARN, "http.slow") == outcome_of(world.result())
        assert both.is_set()

    def test_an_internal_hop_that_does_not_exist_is_skipped(self, world: World) -> None:
        """
        An internal hop whose name does not resolve is skipped.
        """
        world.serve("127.0.0.2", always(404))
        world.hops.append(InternalHop("Appwrite", "nowhere.invalid", 80))

        assert (Outcome.FAIL, "http.404") == outcome_of(world.result())

    def test_internal_hops_are_services_of_the_compose_file(self, world: World) -> None:
        """
        The internal hops are services of the compose file.
        """
        assert ["the worker", "Appwrite", "Traefik"] == [hop.title for hop in internal_hops(world.settings)]


class TestIsServed:
    def test_only_the_correct_response_is_served(self, world: World) -> None:
        """
        Only the correct response counts, and a server that does not run yet raises no exception.
        """
        challenge = Http01Challenge("shop.localhost", "nonce", "nonce.thumbprint")

        assert not is_served(challenge, world.settings, DnsRecords)
        world.serve("127.0.0.1", key_authorizations())
        assert is_served(challenge, world.settings, DnsRecords)
        assert not is_served(
            Http01Challenge("shop.localhost", "nonce", "nonce.other"), world.settings, DnsRecords
        )

    def test_a_name_of_the_configured_resolver_is_found(self, world: World, dns_world: Zones) -> None:
        """
        The addresses come from the configured resolver, as in a private network.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": ["127.0.0.5"]}})
        world.serve("127.0.0.5", key_authorizations())
        resolver = Resolver([dns_world.resolver.address], private=True)
        challenge = Http01Challenge("shop.org", "nonce", "nonce.thumbprint")

        assert is_served(challenge, world.settings, resolver.look_up)
