"""
Tests of the failure for each error of a validation.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from certworker.acme.problems import ACME, Problem
from certworker.acme.resources import Authorization, Challenge
from certworker.acme.validation_mapping import (
    authorization_failure,
    order_failure,
    unexplained_failure,
    validation_failure,
)
from certworker.challenges.challenge import DNS01, HTTP01
from certworker.errors import CertworkerError, Retry

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
NAME = "api.shop.org"
URL = f"http://{NAME}/.well-known/acme-challenge/T"

#: Code, type and text. Texts with "Get" or "dial" come from Pebble, the other texts from Boulder.
CAUSES = [
    (
        "http.timeout",
        "connection",
        f"203.0.113.7: Fetching {URL}: Timeout during connect (likely firewall problem)",
    ),
    (
        "http.timeout",
        "connection",
        f'Get "{URL}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
    ),
    ("http.timeout", "connection", f'Get "{URL}": dial tcp 203.0.113.7:80: i/o timeout'),
    ("http.timeout", "connection", f"203.0.113.7: Fetching {URL}: No route to host"),
    ("http.refused", "connection", f"203.0.113.7: Fetching {URL}: Connection refused"),
    ("http.refused", "connection", f'Get "{URL}": dial tcp 127.0.0.1:5002: connect: connection refused'),
    ("http.reset", "connection", f"203.0.113.7: Fetching {URL}: Connection reset by peer"),
    ("http.reset", "connection", f'Get "{URL}": EOF'),
    (
        "http.slow",
        "connection",
        f"203.0.113.7: Fetching {URL}: Timeout after connect (your server may be slow or overloaded)",
    ),
    (
        "http.slow",
        "connection",
        f"203.0.113.7: Fetching {URL}: Timeout during read (your server may be slow or overloaded)",
    ),
    ("http.404", "unauthorized", f"203.0.113.7: Invalid response from {URL}: 404"),
    ("http.404", "unauthorized", f"Non-200 status code from HTTP: {URL} returned 404"),
    ("http.basic_auth", "unauthorized", f"203.0.113.7: Invalid response from {URL}: 401"),
    ("http.wrong_body", "unauthorized", f"203.0.113.7: Invalid response from {URL}: 403"),
    (
        "http.wrong_body",
        "unauthorized",
        'The key authorization file from the server did not match this challenge. Expected "T" (got "<")',
    ),
    (
        "http.redirect_bad",
        "connection",
        f"203.0.113.7: Fetching https://{NAME}:8443/: Invalid port in redirect target. Only ports 80 and 443",
    ),
    (
        "http.redirect_bad",
        "connection",
        "Fetching ftp://x/: Invalid protocol scheme in redirect target.",
    ),
    ("http.redirect_bad", "unauthorized", "received disallowed redirect status code"),
    ("http.redirect_loop", "connection", f"203.0.113.7: Fetching {URL}: Redirect loop detected"),
    ("http.redirect_loop", "connection", f"203.0.113.7: Fetching {URL}: Too many redirects"),
    (
        "http.redirect_https_closed",
        "connection",
        f"203.0.113.7: Fetching https://{NAME}/x: Connection refused",
    ),
    (
        "http.redirect_https_closed",
        "connection",
        f"203.0.113.7: Fetching https://{NAME}/x: Timeout during connect (likely firewall problem)",
    ),
    (
        "http.http_on_443",
        "malformed",
        f"203.0.113.7: Fetching https://{NAME}/x: Server only speaks HTTP, not TLS",
    ),
    ("http.https_on_80", "connection", f"203.0.113.7: Fetching {URL}: Server is speaking HTTP/2 over HTTP"),
    (
        "http.secondary",
        "connection",
        f"During secondary validation: 203.0.113.7: Fetching {URL}: Timeout during connect",
    ),
    ("acme.tls", "tls", f"203.0.113.7: Fetching https://{NAME}/x: remote error: tls: handshake failure"),
    (
        "dns.no_record",
        "dns",
        f"DNS problem: NXDOMAIN looking up A for {NAME} - check that a DNS record exists for this domain",
    ),
    ("dns.no_record", "dns", f"no valid A records found for {NAME}; no valid AAAA records found for {NAME}"),
    ("dns.no_record", "connection", f'Get "{URL}": lookup {NAME}: no such host'),
    ("dns.no_record", "connection", f'Get "{URL}": could not resolve URL "{URL}"'),
    (
        "dns.servfail",
        "dns",
        f"DNS problem: SERVFAIL looking up A for {NAME} - the domain's nameservers may be malfunctioning",
    ),
    ("dns.dnssec", "dns", f"DNS problem: looking up A for {NAME}: DNSSEC: Bogus"),
    ("dns.timeout", "dns", f"DNS problem: query timed out looking up A for {NAME}"),
    (
        "caa.lookup_failed",
        "dns",
        f"DNS problem: SERVFAIL looking up CAA for {NAME} - the domain's nameservers may be malfunctioning",
    ),
    (
        "caa.lookup_failed",
        "caa",
        f"While processing CAA for {NAME}: DNS problem: query timed out looking up CAA for shop.org",
    ),
    ("caa.forbidden", "caa", f"While processing CAA for {NAME}: CAA record for shop.org prevents issuance"),
    ("name.policy", "rejectedIdentifier", "forbidden by policy"),
    # step-ca, and Caddy's acme_server, which uses the library of step-ca
    ("http.not_validated", "connection", "The server could not connect to validation target"),
    ("http.wrong_body", "rejectedIdentifier", "The server will not issue certificates for the identifier"),
    (
        "http.wrong_body",
        "rejectedIdentifier",
        "keyAuthorization does not match; expected T.x, but got <html>",
    ),
    ("http.wrong_body", "incorrectResponse", "Response received didn't match the challenge's requirements"),
    # acme2certifier
    ("http.404", "connection", "HTTP request failed: 404"),
    ("http.not_validated", "connection", "HTTP request failed: 500"),
    ("http.wrong_body", "incorrectResponse", "Keyauthorization mismatch"),
    # serles
    (
        "http.refused",
        "connection",
        f"HTTPConnectionPool(host='{NAME}', port=80): Max retries exceeded (Caused by [Errno 111] refused)",
    ),
    (
        "dns.no_record",
        "connection",
        f"NameResolutionError(\"Failed to resolve '{NAME}' ([Errno -2] Name or service not known)\")",
    ),
    (
        "http.slow",
        "connection",
        f"HTTPConnectionPool(host='{NAME}', port=80): Read timed out. (read timeout=10)",
    ),
    ("http.not_validated", "connection", "server did not send a proper response"),
    ("http.wrong_body", "incorrectResponse", "expected T.x, got <html>"),
    ("ca.secondary_rpc", "serverInternal", "During secondary validation: Secondary validation RPC failed"),
    ("ca.server_internal", "serverInternal", "Could not communicate with VA"),
    ("acme.unknown_problem", "somethingNew", "Unknown"),
]


def failed(kind: str, detail: str, address: str | None = "203.0.113.7") -> CertworkerError:
    """
    Return the failure for the error of a challenge.
    """
    return validation_failure(Problem(ACME + kind, detail, 400), NAME, HTTP01, address, "The CA")


class TestValidationFailure:
    @pytest.mark.parametrize(("code", "kind", "detail"), CAUSES)
    def test_each_known_text_has_its_code(self, code: str, kind: str, detail: str) -> None:
        """
        The failure has a code with a remedy, and the text of the CA.
        """
        failure = failed(kind, detail)

        assert code == failure.code
        assert failure.problem is not None
        assert detail == failure.problem["detail"]

    @pytest.mark.parametrize(("code", "kind", "detail"), CAUSES)
    def test_a_failed_validation_is_retried_with_long_pauses(self, code: str, kind: str, detail: str) -> None:
        """
        A failed validation is retried with long pauses, because the CA counts it.
        """
        failure = failed(kind, detail)

        if code.startswith(("http.", "dns.", "caa.")):
            assert Retry.CA is failure.retry

    def test_the_address_that_the_ca_used_is_shown(self) -> None:
        """
        The message has the address that the CA used. A frequent cause is an address of another
        machine.
        """
        assert "203.0.113.7" in failed("connection", "Connection refused").message

    @pytest.mark.parametrize(
        ("kind", "detail"),
        [
            ("connection", f"2001:db8::1: Fetching {URL}: Timeout during connect (likely firewall problem)"),
            ("unauthorized", f"2001:db8::1: Invalid response from {URL}: 404"),
        ],
    )
    def test_a_failure_over_ipv6_is_a_wrong_aaaa_record(self, kind: str, detail: str) -> None:
        """
        A failure over IPv6 is a wrong AAAA record. The CA prefers IPv6, and tests of the owner may
        use IPv4.
        """
        failure = failed(kind, detail, address="2001:db8::1")

        assert "dns.aaaa_wrong" == failure.code
        assert "2001:db8::1" in failure.message
        assert f"Delete the AAAA record of {NAME}" in failure.remedy

    def test_a_redirect_loop_over_ipv6_stays_a_redirect_loop(self) -> None:
        """
        A redirect loop over IPv6 is not a failure of the AAAA record, because the server has responded.
        """
        assert "http.redirect_loop" == failed("connection", "Redirect loop detected", "2001:db8::1").code


#: Code, type and text of failed DNS-01 validations.
CAUSES_OF_DNS01 = [
    ("dns01.not_visible", "unauthorized", f"No TXT record found at _acme-challenge.{NAME}"),
    ("dns01.not_visible", "unauthorized", f'Incorrect TXT record "x" found at _acme-challenge.{NAME}'),
    (
        "dns01.not_visible",
        "dns",
        f"DNS problem: NXDOMAIN looking up TXT for _acme-challenge.{NAME} - check that a DNS record exists",
    ),
    ("dns01.not_visible", "unauthorized", "Correct value not found for DNS challenge"),
    ("dns01.not_visible", "dns", f"error looking up TXT records for domain {NAME}: no such host"),
    ("dns01.not_visible", "rejectedIdentifier", "keyAuthorization does not match; expected x, but got [y]"),
    ("dns01.not_visible", "incorrectResponse", "wrong value"),
    ("dns.servfail", "dns", f"DNS problem: SERVFAIL looking up TXT for _acme-challenge.{NAME}"),
    ("dns.timeout", "dns", f"DNS problem: query timed out looking up TXT for {NAME}"),
    ("dns.dnssec", "dns", "DNS problem: looking up TXT: DNSSEC: Bogus"),
    ("caa.lookup_failed", "dns", f"DNS problem: SERVFAIL looking up CAA for {NAME}"),
    ("caa.forbidden", "caa", f"CAA record for {NAME} prevents issuance"),
    ("ca.server_internal", "serverInternal", "Could not communicate with VA"),
]


class TestDns01Failure:
    @pytest.mark.parametrize(("code", "kind", "detail"), CAUSES_OF_DNS01)
    def test_each_known_text_has_its_code(self, code: str, kind: str, detail: str) -> None:
        """
        The failure names the TXT record of the base domain and the CA.
        """
        failure = validation_failure(Problem(ACME + kind, detail, 400), f"*.{NAME}", DNS01, None, "The CA")

        assert code == failure.code
        # No required record has the name of the wildcard.
        assert f"*.{NAME}" not in failure.remedy
        if code == "dns01.not_visible":
            assert f"_acme-challenge.{NAME} " in failure.message
            assert "The CA" in failure.message
            assert detail in failure.message

    def test_a_validation_without_a_reason_names_the_record(self) -> None:
        """
        The failure of DNS-01 names the TXT record, not port 80.
        """
        failure = unexplained_failure(f"*.{NAME}", DNS01, "The CA")

        assert "dns01.not_visible" == failure.code
        assert f"_acme-challenge.{NAME} " in failure.message


class TestAuthorizationFailure:
    def test_the_error_of_the_challenge_in_use_comes_first(self) -> None:
        """
        The failure comes from the challenge in use, although the CA may have tried another one.
        """
        challenges = [
            Challenge("dns-01", "https://ca/1", "invalid", "T", {"type": ACME + "dns", "detail": "no"}, None),
            Challenge(
                "http-01",
                "https://ca/2",
                "invalid",
                "T",
                {"type": ACME + "unauthorized", "detail": f"Invalid response from {URL}: 404"},
                "203.0.113.7",
            ),
        ]
        authorization = Authorization(NAME, "invalid", tuple(challenges), None)
        failure = authorization_failure(authorization, HTTP01, "The CA")

        assert failure is not None
        assert "http.404" == failure.code
        assert "203.0.113.7" in failure.message
        other = authorization_failure(authorization, DNS01, "The CA")
        assert other is not None
        assert "dns01.not_visible" == other.code

    def test_the_error_of_the_authorization_counts(self) -> None:
        """
        The failure comes from the authorization if the challenges have no error.
        """
        error = {"type": ACME + "connection", "detail": "Connection refused"}
        failure = authorization_failure(Authorization(NAME, "invalid", (), error), HTTP01, "The CA")

        assert failure is not None
        assert "http.refused" == failure.code

    def test_without_an_error_there_is_no_failure(self) -> None:
        """
        An invalid authorization without an error has no failure, because the error is optional.
        """
        assert authorization_failure(Authorization(NAME, "invalid", (), None), HTTP01, "The CA") is None


class TestOrderFailure:
    @pytest.mark.parametrize(
        ("kind", "detail", "code"),
        [
            ("connection", "Connection refused", "http.refused"),
            ("incorrectResponse", "Keyauthorization mismatch", "http.wrong_body"),
            ("caa", "CAA record for shop.org prevents issuance", "caa.forbidden"),
            (
                "rejectedIdentifier",
                "The server will not issue certificates for the identifier",
                "name.policy",
            ),
            (
                "unauthorized",
                "authorizations for these identifiers not found",
                "acme.authorization_gone",
            ),
        ],
    )
    def test_only_errors_of_validations_have_the_codes_of_validations(
        self, kind: str, detail: str, code: str
    ) -> None:
        """
        An order with rejectedIdentifier fails by policy. A challenge with the same text has a wrong
        response.
        """
        assert code == order_failure(Problem(ACME + kind, detail, 403), NAME, HTTP01, "The CA").code
