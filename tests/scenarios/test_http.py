"""
A5: port 80, the way of the challenge.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from certworker.devca.messages import Problem
from tests.scenarios.scenario import Scene, play, played, tried
from tests.scenarios.worlds import HERE, NAME, Stage
from tests.servers.web import Respond, always, cut, key_authorizations, redirects, says


def answers(respond: Respond) -> Callable[[Stage], object]:
    """
    Something else than the house answers for the name.
    """
    return lambda stage: stage.serve(respond)


def door(title: str, code: str, respond: Respond, remedy: str) -> Scene:
    """
    A scene in which an answer that a CA would get as well is the wrong one.
    """
    return Scene(title, code, answers(respond), remedy, check="port 80")


def refused(title: str, code: str, kind: str, detail: str, remedy: str) -> Scene:
    """
    A scene in which only the CA sees what is wrong.
    """
    return Scene(
        title, code, lambda stage: setattr(stage.ca, "refusal", Problem(kind, detail)), remedy, asked=True
    )


def two_addresses(stage: Stage) -> None:
    """
    One of them is an old server's.
    """
    stage.points_to(HERE, "127.0.0.3")
    stage.stand(always(404), "127.0.0.3")


def old_ipv6(stage: Stage) -> None:
    """
    The AAAA record was forgotten when the server moved.
    """
    stage.points_to("::1", HERE)
    stage.stand(always(404), "::1")


def crossed_ports(stage: Stage) -> None:
    """
    The port of HTTPS speaks plain HTTP.
    """
    stage.serve(redirects(f"https://127.0.0.3:{stage.http_port}/"))
    stage.stand(always(400), "127.0.0.3")


def twice(respond: Respond) -> Callable[[Stage], object]:
    """
    Something answers so, perhaps to us only, and a job has failed by it.
    """

    def build(stage: Stage) -> None:
        stage.serve(respond)
        stage.before.append(tried(NAME))

    return build


def behind_cloudflare(stage: Stage) -> None:
    """
    It brings the answer.
    """
    stage.serve(stage.passes_on(CF_RAY="8f3", Server="cloudflare"))


SCENES = [
    door("another server", "http.404", always(404), "Point the A record of shop.org to this server"),
    door(
        "a Traefik without routes",
        "http.traefik_no_route",
        always(404, "404 page not found\n"),
        "docker compose up -d traefik",
    ),
    door("a password in front", "http.basic_auth", always(401), "/.well-known/acme-challenge/"),
    door(
        "Appwrite's router protection",
        "http.router_protection",
        always(403, "Router protection does not allow accessing Appwrite over this domain"),
        "_APP_OPTIONS_ROUTER_PROTECTION=disabled",
    ),
    door("a shop's page for everything", "http.wrong_body", always(200, "<html>our shop"), "catch-all"),
    door(
        "another account's answer",
        "http.wrong_body",
        key_authorizations("somebody-else"),
        "/.well-known/acme-challenge/",
    ),
    door("a broken backend", "http.wrong_body", always(502, "Bad Gateway"), "/.well-known/acme-challenge/"),
    door(
        "a page of Cloudflare's",
        "http.cloudflare",
        always(200, "<html>", Server="cloudflare"),
        '"DNS only"',
    ),
    door(
        "Cloudflare cannot reach this server",
        "http.cloudflare",
        always(522, "", CF_RAY="1"),
        "SSL/TLS to Full",
    ),
    door("a test for cookies", "http.bot_wall", always(200, "/aes.js"), "/.well-known/acme-challenge/"),
    door(
        "HTTPS on port 80",
        "http.https_on_80",
        always(400, "Client sent an HTTP request to an HTTPS server."),
        "80:80 and 443:443",
    ),
    door("TLS on port 80", "http.https_on_80", says(b"\x15\x03\x01\x00\x02\x02F"), "80:80 and 443:443"),
    door(
        "a redirect to port 8443",
        "http.redirect_bad",
        redirects("https://shop.org:8443/"),
        "on port 80 or 443",
    ),
    door("a redirect that says 303", "http.redirect_bad", redirects(f"http://{NAME}/", 303), "301 or 302"),
    door(
        "a redirect in a circle",
        "http.redirect_loop",
        redirects("http://shop.org{path}"),
        "_APP_OPTIONS_FORCE_HTTPS=disabled",
    ),
    door(
        "a redirect to a port that is closed",
        "http.redirect_https_closed",
        redirects("https://127.0.0.2/"),
        "Open TCP port 443",
    ),
    Scene("crossed ports", "http.http_on_443", crossed_ports, "80:80 and 443:443", check="port 80"),
    Scene(
        "no program listens",
        "http.refused",
        lambda stage: stage.points_to("127.0.0.9"),
        "docker compose ps traefik",
        check="port 80",
    ),
    Scene(
        "one of two addresses",
        "dns.mixed_ips",
        two_addresses,
        "Remove the record with 127.0.0.3",
        check="port 80",
    ),
    Scene(
        "an old IPv6 address",
        "dns.aaaa_wrong",
        old_ipv6,
        "Delete the AAAA record of shop.org",
        check="port 80",
    ),
    Scene(
        "a filter cuts connections: the CA is asked once a day",
        "http.reset",
        twice(cut),
        "Exclude port 80 from intrusion prevention",
        again=timedelta(minutes=5),
        check="port 80",
    ),
    Scene(
        "the router's own page: the CA is asked once a day",
        "http.router_ui",
        twice(always(200, "Welcome", Server="micro_httpd")),
        "Forward port 80 of the router",
        again=timedelta(minutes=5),
        check="port 80",
    ),
    Scene(
        "Cloudflare brings the answer",
        "http.cloudflare",
        behind_cloudflare,
        "leave SSL/TLS at Full (strict)",
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
        "a CA that says only that it had no connection",
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
        "a country that is blocked",
        "http.secondary",
        "connection",
        "During secondary validation: 203.0.113.7: Fetching http://shop.org/x: Timeout during connect",
        "country blocking",
    ),
    refused(
        "name servers that are slow to the CA only",
        "dns.timeout",
        "dns",
        "DNS problem: query timed out looking up A for shop.org",
        "dig +trace shop.org",
    ),
    refused(
        "TLS of yesterday behind a redirect",
        "acme.tls",
        "tls",
        "203.0.113.7: Fetching https://shop.org/x: remote error: tls: handshake failure",
        "curl -kv https://shop.org/",
    ),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    The line tells who answers in our place, and what to change there.
    """
    play(scene, stage, caplog)
