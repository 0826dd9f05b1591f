"""
Tests of the detection of other servers.
"""

from __future__ import annotations

import pytest

from certworker.preflight.port80.fingerprint import describe_response, identify_responder, intermediary
from certworker.preflight.port80.http_get import Reply


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
    def test_it_is_known_by_its_headers(self, headers: dict[str, str], title: str | None) -> None:
        """
        Headers identify the intermediary.
        """
        assert title == intermediary(reply(200, **headers))


class TestRecognised:
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
    def test_each_has_its_failure(self, answer: Reply, code: str) -> None:
        """
        Each kind of server has its own failure, because the remedies differ.
        """
        assert f"http.{code}" == identify_responder(answer).code


class TestDescribed:
    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (reply(502), "HTTP 502"),
            (reply(521, cf_ray="8f3"), "it cannot reach port 80 of this server (HTTP 521)"),
            (reply(200), "an empty body"),
            (reply(200, "\n <html>\n<head>"), "a web page that starts with <html> <head>"),
            (reply(200, "token.other"), "a text that starts with token.other"),
        ],
    )
    def test_the_description_is_short(self, answer: Reply, words: str) -> None:
        """
        The description is short enough for a log line.
        """
        assert words == describe_response(answer)
