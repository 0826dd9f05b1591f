"""
Tests of the checks of Redis, the CA, the clock and the proxy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from certworker.app import App
from certworker.doctor.findings import Finding, Verdict
from certworker.doctor.network import (
    SLOW_SECONDS,
    DirectoryProbe,
    certificate_authority,
    clock,
    notifications,
    probe_directories,
    proxy,
    redis,
)
from certworker.errors.ca import CaUnreachable
from certworker.settings import Settings, load
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.mail import MailReceiver
from tests.servers.ports import free_port
from tests.servers.web import WebServer, always


@pytest.fixture
def reached(app: App) -> DirectoryProbe:
    """
    Return the probe of the CA of a healthy machine.
    """
    (found,) = probe_directories([(issuer.ca, issuer.client) for issuer in app.issuers])
    return found


def only(findings: Iterable[Finding]) -> Finding:
    """
    Return the only finding in *findings*.
    """
    (finding,) = findings
    return finding


class TestAuthority:
    def test_a_missing_external_account_is_a_failure(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        A CA that requires an external account, without one in the settings, is a failure.
        """
        app_authority.policy.external_accounts["kid-1"] = b"secret" * 6
        (found,) = probe_directories([(issuer.ca, issuer.client) for issuer in app.issuers])
        finding = certificate_authority(found)

        assert (Verdict.FAIL, "acct.eab") == (finding.verdict, finding.code)
        assert "CERTWORKER_EAB_KID" in finding.remedy

    def test_a_reachable_ca_passes(self, reached: DirectoryProbe) -> None:
        """
        A CA that answers passes, and the finding has its response time.
        """
        finding = certificate_authority(reached)

        assert Verdict.WELL is finding.verdict
        assert " answers in " in finding.text

    def test_a_slow_ca_is_a_warning(self, reached: DirectoryProbe) -> None:
        """
        A slow CA is a warning, because each job sends several requests.
        """
        assert Verdict.WARN is certificate_authority(replace(reached, seconds=SLOW_SECONDS + 1)).verdict

    def test_an_unreachable_ca_is_a_failure(self, environ: dict[str, str], app: App) -> None:
        """
        An unreachable CA is a failure with the code of the log.
        """
        failure = CaUnreachable(host="ca.example.org", reason="time-out")
        issuer = app.issuers[0]

        finding = certificate_authority(DirectoryProbe(issuer.ca, issuer.client, failure, 1, None))
        assert (Verdict.FAIL, "ca.unreachable") == (finding.verdict, finding.code)

    def test_the_development_ca_passes(self, app: App) -> None:
        """
        The development CA passes without a probe, because other processes cannot reach it.
        """
        (embedded,) = probe_directories([(app.issuers[0].ca, None)])

        assert Verdict.WELL is certificate_authority(embedded).verdict
        assert Verdict.WELL is only(clock(embedded)).verdict


class TestClock:
    @pytest.mark.parametrize(
        ("offset", "verdict"),
        [
            (timedelta(seconds=2), Verdict.WELL),
            (None, Verdict.WELL),
            (timedelta(minutes=-10), Verdict.WARN),
            (timedelta(hours=3), Verdict.FAIL),
        ],
    )
    def test_the_clock_is_compared_with_that_of_the_ca(
        self, reached: DirectoryProbe, offset: timedelta | None, verdict: Verdict
    ) -> None:
        """
        A clock that differs from that of the CA is a warning or a failure.
        """
        findings = list(clock(replace(reached, offset=offset)))

        assert verdict is findings[-1].verdict

    def test_without_the_ca_it_is_skipped(self, reached: DirectoryProbe) -> None:
        """
        Without the CA, the check of the clock is skipped, because the CA has a finding of its own.
        """
        failure = CaUnreachable(host="ca.example.org", reason="time-out")

        assert Verdict.SKIPPED is only(clock(replace(reached, failure=failure))).verdict


class TestRedis:
    def test_an_unreachable_redis_is_reported(self, environ: dict[str, str]) -> None:
        """
        An unreachable Redis is the only finding about Redis.
        """
        finding = only(redis(load(environ | {"_APP_REDIS_PORT": str(free_port())})))

        assert (Verdict.FAIL, "redis.unreachable") == (finding.verdict, finding.code)

    def test_a_missing_worker_is_a_warning(self, settings: Settings, app: App) -> None:
        """
        A missing worker is a warning, and the finding about Redis has the length of the queue.
        """
        answer, worker = redis(settings)

        assert 'queue "certificates": 0 waiting' in answer.text
        assert (Verdict.WARN, "worker") == (worker.verdict, worker.subject)

    def test_a_missing_scheduler_is_reported(self, settings: Settings, app: App) -> None:
        """
        A missing scheduler and suspended workers are warnings.
        """
        app.connection.sadd("rq:workers:certificates", "rq:worker:a")
        app.connection.hset("rq:worker:a", "birth", "1")
        _, worker = redis(settings)
        assert (Verdict.WARN, "queue.no_scheduler") == (worker.verdict, worker.code)

        app.connection.set("rq:scheduler-lock:certificates", "a")
        _, worker = redis(settings)
        assert Verdict.WELL is worker.verdict

        app.connection.set("rq:suspended", "1")
        *_, queue = redis(settings)
        assert Verdict.WARN is queue.verdict
        assert "rq resume --url" in queue.remedy


class TestProxy:
    def test_a_closed_port_of_the_proxy_is_a_warning(self, environ: dict[str, str]) -> None:
        """
        A proxy that the settings name passes if its port is open, and is a warning otherwise.
        """
        with WebServer(always(200)) as server:
            address = f"127.0.0.1:{server.port}"
            assert Verdict.WELL is only(proxy(load(environ | {"CERTWORKER_PROXY_ADDRESS": address}))).verdict
        assert Verdict.WARN is only(proxy(load(environ | {"CERTWORKER_PROXY_ADDRESS": address}))).verdict

    def test_a_missing_or_disabled_proxy_is_skipped(self, environ: dict[str, str]) -> None:
        """
        A proxy whose name does not resolve, or that is off, is skipped.
        """
        unknown = list(proxy(load(environ | {"CERTWORKER_PROXY_ADDRESS": "nowhere.invalid:443"})))
        off = list(proxy(load(environ | {"CERTWORKER_PROXY_ADDRESS": "off"})))

        assert (2, 1) == (len(unknown), len(off))
        assert {Verdict.SKIPPED} == {finding.verdict for finding in (*unknown, *off)}


class TestNotifications:
    def test_both_channels_are_tested_without_a_notification(self, environ: dict[str, str]) -> None:
        """
        The doctor tests the login and the ports of both channels, and sends no notification.
        """
        with MailReceiver(password="word") as mail, WebServer(always(200)) as web:
            environ |= {
                "_APP_EMAIL_CERTIFICATES": "ops@shop.dev",
                "_APP_SMTP_HOST": "127.0.0.1",
                "_APP_SMTP_PORT": str(mail.port),
                "_APP_SMTP_USERNAME": "user",
                "_APP_SMTP_PASSWORD": "word",
                "CERTWORKER_NOTIFY_URL": f"http://127.0.0.1:{web.port}/secret",
                "CERTWORKER_PRIVATE_NETWORK": "true",
            }
            found = list(notifications(load(environ)))
            wrong = next(iter(notifications(load(environ | {"_APP_SMTP_PASSWORD": "wrong"}))))

        assert [("notifications, mail", Verdict.WELL), ("notifications, webhook", Verdict.WELL)] == [
            (each.subject, each.verdict) for each in found
        ]
        assert "secret" not in found[1].text
        assert (Verdict.WARN, "notice.undelivered") == (wrong.verdict, wrong.code)
        assert [] == mail.mails

    def test_an_unreachable_receiver_is_a_warning(self, environ: dict[str, str]) -> None:
        """
        An unreachable receiver is a warning, because it affects no certificate.
        """
        environ |= {
            "CERTWORKER_NOTIFY_URL": f"http://127.0.0.1:{free_port()}/",
            "CERTWORKER_PRIVATE_NETWORK": "true",
        }

        assert Verdict.WARN is only(notifications(load(environ))).verdict

    def test_without_a_channel_the_settings_are_named(self, settings: Settings) -> None:
        """
        Without a channel, the skipped finding names the settings that enable one.
        """
        finding = only(notifications(settings))

        assert Verdict.SKIPPED is finding.verdict
        assert "CERTWORKER_NOTIFY_URL" in finding.text
