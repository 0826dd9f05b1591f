"""
Tests of the provider that uses the operator's HTTP service.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certworker.dns01.httpreq import HttpReq
from certworker.dns01.provider import TxtRecord
from certworker.errors import CertworkerError, Retry
from tests.dns01.services import Records, always, service
from tests.servers.ports import free_port
from tests.servers.secure_redis import Tls
from tests.servers.trickling import trickling

RECORD = TxtRecord(
    "_acme-challenge.example.com",
    "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0",
    "example.com",
    name="example.com",
    token="token",
    key_authorization="token.thumbprint",
)
SECRET = "s3cr3t-of-the-service"
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def provider(url: str) -> HttpReq:
    """
    Return the provider for the service at *url*.
    """
    return HttpReq(url, username="user", password=SECRET, clock=lambda: NOW)


class TestProtocol:
    def test_a_record_is_created_and_deleted(self) -> None:
        """
        The service gets the requests of lego, below the path of the endpoint, with a final dot after
        the name.
        """
        records = Records()
        with service(records.respond) as server:
            own = provider(f"{server.url}/dns/")

            own.present(RECORD)
            assert records.values == {("_acme-challenge.example.com.", RECORD.value)}

            own.withdraw(RECORD)
            assert records.values == set()

        present, cleanup = server.calls
        assert (present.path, cleanup.path) == ("/dns/present", "/dns/cleanup")
        assert present.headers["authorization"] == "Basic dXNlcjpzM2NyM3Qtb2YtdGhlLXNlcnZpY2U="
        assert present.headers["content-type"] == "application/json"

    def test_raw_mode_sends_the_challenge(self) -> None:
        """
        Raw mode sends the token and the key authorization, from which the service computes the record.
        """
        with service(always(200)) as server:
            dataclasses.replace(provider(server.url), raw=True).present(RECORD)

        assert server.calls[0].content == {
            "domain": "example.com",
            "token": "token",
            "keyAuth": "token.thumbprint",
        }

    def test_raw_mode_without_the_challenge_is_a_failure(self) -> None:
        """
        Raw mode sends no request for a record without its challenge.
        """
        unknown = TxtRecord(RECORD.fqdn, RECORD.value, RECORD.zone)
        with (
            service(always(200)) as server,
            pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*RAW"),
        ):
            dataclasses.replace(provider(server.url), raw=True).withdraw(unknown)

        assert server.calls == []

    def test_without_credentials_no_authorization_is_sent(self) -> None:
        """
        Without credentials, a request has no Authorization header.
        """
        with service(always(200)) as server:
            HttpReq(server.url).present(RECORD)

        assert "authorization" not in server.calls[0].headers


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (401, "dns01.credentials"),
            (403, "dns01.forbidden"),
            (404, "dns01.no_zone"),
            (429, "dns01.rate_limited"),
            (400, "dns01.provider_failed"),
            (500, "dns01.provider_failed"),
            (502, "dns01.provider_failed"),
            (503, "dns01.provider_failed"),
        ],
    )
    def test_each_status_has_its_code(self, status: int, code: str) -> None:
        """
        Each status has its failure, which shows neither the answer nor the password.
        """
        with (
            service(always(status, f"<html>{SECRET}</html>".encode())) as server,
            pytest.raises(CertworkerError) as caught,
        ):
            provider(server.url).present(RECORD)

        assert caught.value.code == code
        assert SECRET not in f"{caught.value!s} {caught.value!r} {caught.value.as_json()}"

    @pytest.mark.parametrize(
        ("status", "header", "pause"),
        [
            (429, "120", timedelta(minutes=2)),
            (503, "120", timedelta(minutes=2)),
            (429, "Sat, 28 Nov 2026 12:10:00 GMT", timedelta(minutes=10)),
            (429, "0", timedelta(seconds=1)),
            (429, "Sat, 28 Nov 2020 12:10:00 GMT", timedelta(seconds=1)),
            (429, "999999999", timedelta(days=1)),
            (429, "soon", timedelta(minutes=5)),
        ],
    )
    def test_a_rate_limit_ends_within_a_day(self, status: int, header: str, pause: timedelta) -> None:
        """
        A rate limit resets at the time of Retry-After, between one second and one day later.
        """
        with (
            service(always(status, Retry_After=header)) as server,
            pytest.raises(CertworkerError, match=r"dns01\.rate_limited") as caught,
        ):
            provider(server.url).present(RECORD)

        assert (caught.value.until, caught.value.retry) == (NOW + pause, Retry.UNTIL)

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_a_redirect_is_not_followed(self, status: int) -> None:
        """
        A redirect is a failure and is not followed, because the password is for one host.
        """
        with (
            service(always(200)) as other,
            service(always(status, Location=f"{other.url}/present")) as server,
            pytest.raises(CertworkerError, match=rf"dns01\.provider_failed.*HTTP {status}, a redirect"),
        ):
            provider(server.url).present(RECORD)

        assert other.calls == []


class TestOutages:
    def test_an_unreachable_service_is_a_failure(self) -> None:
        """
        An unreachable service is a failure, and the retry comes soon.
        """
        with pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*refused") as caught:
            provider(f"http://127.0.0.1:{free_port()}").present(RECORD)

        assert Retry.SOON is caught.value.retry

    def test_a_host_without_an_address_is_a_failure(self) -> None:
        """
        A host without an address is a failure.
        """
        with pytest.raises(CertworkerError, match=r"dns01\.provider_failed"):
            provider("http://service.invalid").present(RECORD)

    @pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
    def test_a_service_that_exceeds_the_timeout_is_a_failure(self, greeting: bytes) -> None:
        """
        An exchange that exceeds the timeout is a failure, however many bytes arrive.
        """
        with (
            trickling(greeting=greeting) as port,
            pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*within 0\.5 s"),
        ):
            dataclasses.replace(provider(f"http://127.0.0.1:{port}"), deadline_seconds=0.5).present(RECORD)

    def test_a_very_long_answer_is_not_read(self) -> None:
        """
        The provider reads only the beginning of a very long answer.
        """
        with service(always(200, b"x" * 100_000_000)) as server:
            provider(server.url).present(RECORD)

    def test_a_server_of_another_protocol_is_a_failure(self) -> None:
        """
        A server of another protocol is a failure, for example an SSH server.
        """
        with (
            trickling(greeting=b"SSH-2.0-OpenSSH_9.2\r\n") as port,
            pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*no HTTP response"),
        ):
            provider(f"http://127.0.0.1:{port}").present(RECORD)


class TestTls:
    @pytest.fixture
    def tls(self, tmp_path: Path) -> Tls:
        """
        Return a certificate for 127.0.0.1, its key, and the root.
        """
        return Tls(tmp_path)

    def test_the_root_of_the_settings_is_trusted(self, tls: Tls) -> None:
        """
        The root of the settings is trusted, for example that of a private CA.
        """
        with service(always(200), (tls.certificate, tls.key)) as server:
            dataclasses.replace(provider(server.url), ca_bundle=tls.root).present(RECORD)

            assert len(server.calls) == 1

    def test_another_certificate_is_not_trusted(self, tls: Tls) -> None:
        """
        An untrusted certificate is a failure, and the password is not sent.
        """
        with (
            service(always(200), (tls.certificate, tls.key)) as server,
            pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*certificate verify failed"),
        ):
            provider(server.url).present(RECORD)

        assert server.calls == []


def test_the_password_is_not_shown() -> None:
    """
    The representations of the provider and of the record, which logs may contain, show no secret.
    """
    assert SECRET not in repr(provider("https://dns.example.com"))
    assert "thumbprint" not in repr(RECORD)


def test_the_path_of_the_endpoint_is_not_shown() -> None:
    """
    The failure does not show the path of the endpoint, because the path of a webhook is a secret.
    """
    with pytest.raises(CertworkerError) as caught:
        provider(f"http://user:{SECRET}@127.0.0.1:{free_port()}/{SECRET}").present(RECORD)

    assert SECRET not in str(caught.value)
