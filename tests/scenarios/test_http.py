"""
Scenarios of port 80, from which the CA fetches the challenge response.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from certworker.devca.messages import Problem
from tests.scenarios.installation import HERE, NAME, Installation
from tests.scenarios.scenario import Scenario, attempt, check_scenario, each_scenario
from tests.servers.web import Respond, always, cut, key_authorizations, redirects, sends


def answers(respond: Respond) -> Callable[[Installation], object]:
    """
    Return a step that points the name to another server.
    """
    return lambda installation: installation.serve(respond)


def wrong_response(title: str, code: str, respond: Respond, remedy: str) -> Scenario:
    """
    Return a scenario with a wrong response, which the CA would receive, too.
    """
    return Scenario(title, code, answers(respond), remedy, check="port 80")


def refused(title: str, code: str, kind: str, detail: str, remedy: str) -> Scenario:
    """
    Return a scenario whose problem only the CA finds.
    """
    return Scenario(
        title,
        code,
        lambda installation: setattr(installation.ca, "refusal", Problem(kind, detail)),
        remedy,
        asked=True,
    )


def two_addresses(installation: Installation) -> None:
    """
    Publish the address of an old server, too.
    """
    installation.points_to(HERE, "127.0.0.3")
    installation.listen(always(404), "127.0.0.3")


def old_ipv6(installation: Installation) -> None:
    """
    Publish an outdated AAAA record.
    """
    installation.points_to("::1", HERE)
    installation.listen(always(404), "::1")


def crossed_ports(installation: Installation) -> None:
    """
    Redirect to the HTTPS port, which serves plain HTTP.
    """
    installation.serve(redirects(f"https://127.0.0.3:{installation.http_port}/"))
    installation.listen(always(400), "127.0.0.3")


def twice(respond: Respond) -> Callable[[Installation], object]:
    """
    Return a step that starts a server with *respond*, and runs a job that fails.
    """

    def build(installation: Installation) -> None:
        installation.serve(respond)
        installation.before.append(attempt(NAME))

    return build


def behind_cloudflare(installation: Installation) -> None:
    """
    Forward the response through a proxy with the headers of Cloudflare.
    """
    installation.serve(installation.forward(CF_RAY="8f3", Server="cloudflare"))


SCENARIOS = [
    wrong_response(
        "another server", "http.404", always(404), "Point the A record of shop.org to this server"
    ),
    wrong_response(
        "a Traefik without routes",
        "http.traefik_no_route",
        always(404, "404 page not found\n"),
        "docker compose up -d traefik",
    ),
    wrong_response("a password prompt", "http.basic_auth", always(401), "/.well-known/acme-challenge/"),
    wrong_response(
        "Appwrite's router protection",
        "http.router_protection",
        always(403, "Router protection does not allow accessing Appwrite over this domain"),
        "_APP_OPTIONS_ROUTER_PROTECTION=disabled",
    ),
    wrong_response(
        "a page that answers every path", "http.wrong_body", always(200, "<html>our shop"), "catch-all"
    ),
    wrong_response(
        "the response of another account",
        "http.wrong_body",
        key_authorizations("another-account"),
        "/.well-known/acme-challenge/",
    ),
    wrong_response(
        "a broken backend", "http.wrong_body", always(502, "Bad Gateway"), "/.well-known/acme-challenge/"
    ),
    wrong_response(
        "a page of Cloudflare",
        "http.cloudflare",
        always(200, "<html>", Server="cloudflare"),
        '"DNS only"',
    ),
    wrong_response(
        "Cloudflare cannot reach this server",
        "http.cloudflare",
        always(522, "", CF_RAY="1"),
        "SSL/TLS to Full",
    ),
    wrong_response(
        "a cookie test against bots", "http.bot_wall", always(200, "/aes.js"), "/.well-known/acme-challenge/"
    ),
    wrong_response(
        "HTTPS on port 80",
        "http.https_on_80",
        always(400, "Client sent an HTTP request to an HTTPS server."),
        "80:80 and 443:443",
    ),
    wrong_response(
        "TLS on port 80", "http.https_on_80", sends(b"\x15\x03\x01\x00\x02\x02F"), "80:80 and 443:443"
    ),
    wrong_response(
        "a redirect to port 8443",
        "http.redirect_bad",
        redirects("https://shop.org:8443/"),
        "on port 80 or 443",
    ),
    wrong_response(
        "a redirect with status 303",
        "http.redirect_bad",
        redirects(f"http://{NAME}/", 303),
        "301, 302, 307 or 308",
    ),
    wrong_response(
        "a redirect loop",
        "http.redirect_loop",
        redirects("http://shop.org{path}"),
        "_APP_OPTIONS_FORCE_HTTPS=disabled",
    ),
    wrong_response(
        "a redirect to a closed port",
        "http.redirect_https_closed",
        redirects("https://127.0.0.2/"),
        "Open TCP port 443",
    ),
    Scenario("crossed ports", "http.http_on_443", crossed_ports, "80:80 and 443:443", check="port 80"),
    Scenario(
        "no program listens",
        "http.refused",
        lambda installation: installation.points_to("127.0.0.9"),
        "docker compose ps traefik",
        check="port 80",
    ),
    Scenario(
        "one of two addresses",
        "dns.mixed_ips",
        two_addresses,
        "Remove the record with 127.0.0.3",
        check="port 80",
    ),
    Scenario(
        "an old IPv6 address",
        "dns.aaaa_wrong",
        old_ipv6,
        "Delete the AAAA record of shop.org",
        check="port 80",
    ),
    Scenario(
        "a filter cuts connections: the CA is asked once a day",
        "http.reset",
        twice(cut),
        "Exclude port 80 from intrusion prevention",
        retry_after=timedelta(minutes=5),
        check="port 80",
    ),
    Scenario(
        "the router's own page: the CA is asked once a day",
        "http.router_ui",
        twice(always(200, "Welcome", Server="micro_httpd")),
        "Forward port 80 of the router",
        retry_after=timedelta(minutes=5),
        check="port 80",
    ),
    Scenario(
        "Cloudflare forwards the response",
        "http.cloudflare",
        behind_cloudflare,
        "set SSL/TLS to Full (strict)",
        asked=True,
        check="port 80",
        shows="warning",
    ),
    refused(
        "a firewall in the cloud",
        "http.timeout",
        "connection",
        "203.0.113.7: Fetching http://shop.org/x: Timeout during connect (likely firewall problem)",
        "Open TCP port 80 in the cloud firewall",
    ),
    refused(
        "a CA that reports only a failed connection",
        "http.not_validated",
        "connection",
        "The server could not connect to validation target",
        "open TCP port 80, and route /.well-known/acme-challenge/ to certworker",
    ),
    refused(
        "a server that is too slow for the CA",
        "http.slow",
        "connection",
        "203.0.113.7: Fetching http://shop.org: Timeout during read (your server may be slow or overloaded)",
        "overloaded",
    ),
    refused(
        "a blocked country",
        "http.secondary",
        "connection",
        "During secondary validation: 203.0.113.7: Fetching http://shop.org/x: Timeout during connect",
        "country blocking",
    ),
    refused(
        "name servers that are slow for the CA only",
        "dns.timeout",
        "dns",
        "DNS problem: query timed out looking up A for shop.org",
        "dig +trace shop.org",
    ),
    refused(
        "outdated TLS behind a redirect",
        "acme.tls",
        "tls",
        "203.0.113.7: Fetching https://shop.org/x: remote error: tls: handshake failure",
        "curl -kv https://shop.org/",
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    certworker reports the server that responds, and the remedy has the necessary change.
    """
    check_scenario(scenario, installation, caplog)
