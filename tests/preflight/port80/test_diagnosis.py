"""
Tests of the failures for wrong responses.
"""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from certworker.preflight.port80.diagnosis import (
    APPWRITE,
    TRAEFIK,
    HopResult,
    describe_response,
    diagnosis,
    identify_responder,
    intermediary,
    is_certain,
    not_connected,
)
from certworker.preflight.port80.http_get import FetchError, Reply
from certworker.preflight.port80.probe import Fetch, Hop

NAME = "shop.example.org"
PUBLIC, OTHER, PRIVATE, IPV6 = "93.184.216.34", "93.184.216.35", "10.0.0.7", "2606:2800:220:1::1"


def reply(status: int, body: str = "", **headers: str) -> Reply:
    """
    Return a response.
    """
    return Reply(status, {key.replace("_", "-"): headers[key] for key in headers}, body.encode())


class TestIntermediary:
    @pytest.mark.parametrize(
        ("headers", "title"),
        [
            ({"cf_ray": "8f3"}, "Cloudflare"),
            ({"server": "cloudflare"}, "Cloudflare"),
            ({"x_served_by": "cache-fra-1"}, "Fastly"),
            ({"x_amz_cf_id": "abc"}, "CloudFront"),
            ({"via": "1.1 squid"}, "a proxy"),
            ({"server": "nginx"}, None),
            ({"x_served_by": "web-3"}, None),
            ({}, None),
        ],
    )
    def test_headers_identify_the_intermediary(self, headers: dict[str, str], title: str | None) -> None:
        """
        Response headers identify the intermediary.
        """
        assert title == intermediary(reply(200, **headers))


class TestIdentifyResponder:
    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (
                reply(403, "Router protection does not allow accessing Appwrite over this domain."),
                "router_protection",
            ),
            (reply(521, server="cloudflare"), "cloudflare"),
            (reply(200, "<html>Just a moment...", server="nginx"), "bot_wall"),
            (reply(200, '<script src="/aes.js">'), "bot_wall"),
            (reply(503, "application acme-protocol is blocked"), "bot_wall"),
            (reply(200, "<html>", server="micro_httpd"), "router_ui"),
            (reply(401, server="LANCOM 1781"), "router_ui"),
            (reply(400, "<center>The plain HTTP request was sent to HTTPS port</center>"), "https_on_80"),
            (reply(400, "Client sent an HTTP request to an HTTPS server.\n"), "https_on_80"),
            (reply(303), "redirect_bad"),
            (reply(401), "basic_auth"),
            (reply(404, "404 page not found\n"), "traefik_no_route"),
            (reply(404, "404 page not found\n", server="go"), "404"),
            (reply(404, "<html>not found", server="nginx"), "404"),
            (reply(200, "<!doctype html><div id=app>"), "wrong_body"),
            (reply(502, "Bad Gateway"), "wrong_body"),
            (reply(403), "wrong_body"),
        ],
    )
    def test_each_kind_of_server_has_its_failure(self, answer: Reply, code: str) -> None:
        """
        Each kind of server has its own failure, because the remedies differ.
        """
        assert f"http.{code}" == identify_responder(answer).code


class TestDescribeResponse:
    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (reply(502), "HTTP 502"),
            (reply(521, cf_ray="8f3"), "it cannot reach port 80 of this server (HTTP 521)"),
            (reply(200), "an empty body"),
            (reply(200, "\n <html>\n<head>"), "a web page that starts with <html> <head>"),
            (reply(200, "token.other"), "plain text that starts with token.other"),
        ],
    )
    def test_the_description_is_short(self, answer: Reply, words: str) -> None:
        """
        The description is short enough for a log line.
        """
        assert words == describe_response(answer)


def fetched(*addresses: str, error: FetchError | None = None, reply: Reply | None = None) -> Fetch:
    """
    Return a fetch with one hop at each address. Each hop after the first uses HTTPS.
    """
    stops = tuple(
        Hop(f"http{'s' if number else ''}://{NAME}/{number}", ip_address(address))
        for number, address in enumerate(addresses)
    )
    return Fetch(stops, 0.1, reply, error)


def hop_result(title: str, *, matches: bool, error: FetchError | None = None) -> HopResult:
    """
    Return the result of an internal hop.
    """
    return HopResult(title, fetched(PRIVATE, error=error), matches)


def not_found(body: str = "") -> Reply:
    """
    Return a 404 response.
    """
    return Reply(404, {}, body.encode())


class TestIsCertain:
    @pytest.mark.parametrize(
        "fetch",
        [
            fetched(PUBLIC, reply=not_found()),
            fetched(PUBLIC, error=FetchError.BAD_REDIRECT),
            fetched(PUBLIC, error=FetchError.NOT_HTTP),
            fetched(PUBLIC, PUBLIC, error=FetchError.REFUSED),
            fetched(PUBLIC, PUBLIC, error=FetchError.TIMEOUT),
            fetched(PRIVATE, error=FetchError.REFUSED),
        ],
    )
    def test_a_failure_after_a_connection_is_certain(self, fetch: Fetch) -> None:
        """
        A failure is certain if this machine could connect, or if the address is private.
        """
        assert is_certain(fetch, [])

    @pytest.mark.parametrize(
        "fetch",
        [
            fetched(PUBLIC, error=FetchError.TIMEOUT),
            fetched(PUBLIC, error=FetchError.REFUSED),
            fetched(PUBLIC, error=FetchError.RESET),
            fetched(PUBLIC, error=FetchError.SILENT),
            fetched(PUBLIC, OTHER, error=FetchError.REFUSED),
            fetched(PRIVATE, error=FetchError.TIMEOUT),
            fetched(PUBLIC, reply=Reply(200, {"server": "micro_httpd"}, b"")),
        ],
    )
    def test_a_failure_that_may_only_affect_this_machine_is_not_certain(self, fetch: Fetch) -> None:
        """
        A failure that a router or a filter may cause is not certain.
        """
        assert not is_certain(fetch, [])

    def test_a_failure_is_certain_if_traefik_refuses_connections(self) -> None:
        """
        A failure is certain if Traefik refuses connections.
        """
        refused = hop_result(TRAEFIK, matches=False, error=FetchError.REFUSED)

        assert is_certain(fetched(PUBLIC, error=FetchError.TIMEOUT), [refused])


class TestNotConnected:
    def test_only_the_first_connection_counts(self) -> None:
        """
        Only a failed first connection counts, because a CA falls back to IPv4 only then.
        """
        assert not_connected(fetched(IPV6, error=FetchError.TIMEOUT))
        assert not not_connected(fetched(IPV6, IPV6, error=FetchError.TIMEOUT))
        assert not not_connected(fetched(IPV6, error=FetchError.SILENT))


class TestDiagnosis:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (FetchError.TIMEOUT, "http.timeout"),
            (FetchError.REFUSED, "http.refused"),
            (FetchError.RESET, "http.reset"),
            (FetchError.SILENT, "http.slow"),
            (FetchError.NOT_HTTP, "http.https_on_80"),
            (FetchError.NOT_TLS, "http.http_on_443"),
            (FetchError.BAD_TLS, "acme.tls"),
            (FetchError.BAD_REDIRECT, "http.redirect_bad"),
            (FetchError.LOOP, "http.redirect_loop"),
        ],
    )
    def test_each_error_has_its_code(self, error: FetchError, code: str) -> None:
        """
        Each error has the code of the CA's own refusal.
        """
        assert code == diagnosis(NAME, fetched(PUBLIC, error=error), []).code

    @pytest.mark.parametrize(
        ("fetch", "code"),
        [
            (fetched(PUBLIC, PUBLIC, error=FetchError.REFUSED), "http.redirect_https_closed"),
            (fetched(PUBLIC, IPV6, error=FetchError.TIMEOUT), "dns.aaaa_wrong"),
            (fetched(PUBLIC, PUBLIC, reply=not_found()), "http.404"),
        ],
    )
    def test_a_failure_after_a_redirect_has_another_code(self, fetch: Fetch, code: str) -> None:
        """
        A failure after a redirect has another code, because the remedy is at the second server.
        """
        assert code == diagnosis(NAME, fetch, []).code

    def test_a_silent_target_of_a_redirect_is_named(self) -> None:
        """
        The failure names the target of the redirect.
        """
        stops = (
            Hop("http://shop.example.org/", ip_address(PUBLIC)),
            Hop("http://old.example.org/", ip_address(OTHER)),
        )
        failure = diagnosis(NAME, Fetch(stops, 1, None, FetchError.TIMEOUT), [])

        assert "http.redirect_bad" == failure.code
        assert "http://old.example.org/: no response" in failure.message

    @pytest.mark.parametrize(
        ("hop_results", "words"),
        [
            ([], "does not have the response"),
            ([hop_result(TRAEFIK, matches=True)], "Another server responds"),
            (
                [hop_result("the worker", matches=True), hop_result(TRAEFIK, matches=False)],
                "Traefik does not route",
            ),
            (
                [hop_result(APPWRITE, matches=False), hop_result(TRAEFIK, matches=False)],
                "Appwrite does not see",
            ),
            ([hop_result(TRAEFIK, matches=False)], "does not have the response"),
        ],
    )
    def test_the_hop_that_causes_a_404_is_named(self, hop_results: list[HopResult], words: str) -> None:
        """
        A 404 has three causes, each with its own remedy.
        """
        assert words in diagnosis(NAME, fetched(PUBLIC, reply=not_found()), hop_results).message

    def test_a_traefik_without_routes_is_recognized(self) -> None:
        """
        The text of Traefik's own 404 is the failure http.traefik_no_route, unless Traefik has the
        response.
        """
        fetch = fetched(PUBLIC, reply=not_found("404 page not found\n"))

        assert "http.traefik_no_route" == diagnosis(NAME, fetch, [hop_result(TRAEFIK, matches=False)]).code
        assert "http.404" == diagnosis(NAME, fetch, [hop_result(TRAEFIK, matches=True)]).code

    def test_a_timeout_only_from_inside_is_the_router(self) -> None:
        """
        A timeout only from inside is a router without NAT loopback.
        """
        fetch = fetched(PUBLIC, error=FetchError.TIMEOUT)

        assert "http.hairpin" == diagnosis(NAME, fetch, [hop_result(TRAEFIK, matches=True)]).code
