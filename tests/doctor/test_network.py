"""
Redis, the CA, the clock, and the proxy.
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
    What comes of asking the CA of a healthy machine.
    """
    (found,) = probe_directories([(issuer.ca, issuer.client) for issuer in app.issuers])
    return found


def only(findings: Iterable[Finding]) -> Finding:
    """
    The one line that there is.
    """
    (finding,) = findings
    return finding


class TestAuthority:
    def test_one_that_wants_a_binding_that_is_not_set_is_a_failure(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        No account can be made there, so that every job would fail.
        """
        app_authority.policy.external_accounts["kid-1"] = b"secret" * 6
        (found,) = probe_directories([(issuer.ca, issuer.client) for issuer in app.issuers])
        finding = certificate_authority(found)

        assert (Verdict.FAIL, "acct.eab") == (finding.verdict, finding.code)
        assert "CERTWORKER_EAB_KID" in finding.remedy

    def test_one_that_answers_is_well(self, reached: DirectoryProbe) -> None:
        """
        With the time that it took.
        """
        finding = certificate_authority(reached)

        assert Verdict.WELL is finding.verdict
        assert " answers in " in finding.text

    def test_one_that_is_slow_is_a_warning(self, reached: DirectoryProbe) -> None:
        """
        Each job asks it several times.
        """
        assert Verdict.WARN is certificate_authority(replace(reached, seconds=SLOW_SECONDS + 1)).verdict

    def test_one_that_does_not_answer_is_reported(self, environ: dict[str, str], app: App) -> None:
        """
        In the words of the log.
        """
        failure = CaUnreachable(host="ca.example.org", reason="time-out")
        issuer = app.issuers[0]

        finding = certificate_authority(DirectoryProbe(issuer.ca, issuer.client, failure, 1, None))
        assert (Verdict.FAIL, "ca.unreachable") == (finding.verdict, finding.code)

    def test_the_embedded_one_is_well_as_long_as_the_worker_is(self, app: App) -> None:
        """
        Other processes cannot reach it.
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
    def test_it_is_compared_with_that_of_the_ca(
        self, reached: DirectoryProbe, offset: timedelta | None, verdict: Verdict
    ) -> None:
        """
        With a wrong clock certificates seem invalid.
        """
        findings = list(clock(replace(reached, offset=offset)))

        assert verdict is findings[-1].verdict

    def test_without_the_ca_it_is_skipped(self, reached: DirectoryProbe) -> None:
        """
        That one has a line of its own.
        """
        failure = CaUnreachable(host="ca.example.org", reason="time-out")

        assert Verdict.SKIPPED is only(clock(replace(reached, failure=failure))).verdict


class TestRedis:
    def test_one_that_is_not_there_is_reported(self, environ: dict[str, str]) -> None:
        """
        And nothing more is asked of it.
        """
        finding = only(redis(load(environ | {"_APP_REDIS_PORT": str(free_port())})))

        assert (Verdict.FAIL, "redis.unreachable") == (finding.verdict, finding.code)

    def test_without_a_worker_nobody_takes_jobs(self, settings: Settings, app: App) -> None:
        """
        Without a worker there is no log.
        """
        answer, worker = redis(settings)

        assert 'queue "certificates": 0 waiting' in answer.text
        assert (Verdict.WARN, "worker") == (worker.verdict, worker.subject)

    def test_a_worker_whose_scheduler_died_is_reported(self, settings: Settings, app: App) -> None:
        """
        Requests are served, but nothing is renewed.
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
        assert "rq resume" in queue.remedy


class TestProxy:
    def test_an_open_port_is_well_and_a_closed_one_is_not(self, environ: dict[str, str]) -> None:
        """
        Where a person has named it, it has to be there.
        """
        with WebServer(always(200)) as server:
            address = f"127.0.0.1:{server.port}"
            assert Verdict.WELL is only(proxy(load(environ | {"CERTWORKER_PROXY_ADDRESS": address}))).verdict
        assert Verdict.WARN is only(proxy(load(environ | {"CERTWORKER_PROXY_ADDRESS": address}))).verdict

    def test_one_that_does_not_exist_or_is_off_is_skipped(self, environ: dict[str, str]) -> None:
        """
        Not every installation has a Traefik of that name.
        """
        away = list(proxy(load(environ | {"CERTWORKER_PROXY_ADDRESS": "nowhere.invalid:443"})))
        off = list(proxy(load(environ | {"CERTWORKER_PROXY_ADDRESS": "off"})))

        assert (2, 1) == (len(away), len(off))
        assert {Verdict.SKIPPED} == {finding.verdict for finding in (*away, *off)}


class TestNotifications:
    def test_both_channels_are_tried_and_nothing_is_sent(self, environ: dict[str, str]) -> None:
        """
        A wrong password or a closed port is found before the first failure of a certificate.
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

        assert [("notifications, mail", Verdict.WELL), ("notifications, hook", Verdict.WELL)] == [
            (each.subject, each.verdict) for each in found
        ]
        assert "secret" not in found[1].text
        assert (Verdict.WARN, "notice.undelivered") == (wrong.verdict, wrong.code)
        assert [] == mail.mails

    def test_a_receiver_that_is_away_is_a_warning(self, environ: dict[str, str]) -> None:
        """
        Certificates are issued all the same.
        """
        environ |= {
            "CERTWORKER_NOTIFY_URL": f"http://127.0.0.1:{free_port()}/",
            "CERTWORKER_PRIVATE_NETWORK": "true",
        }

        assert Verdict.WARN is only(notifications(load(environ))).verdict

    def test_without_any_there_is_a_line(self, settings: Settings) -> None:
        """
        The operator learns which settings switch them on.
        """
        finding = only(notifications(settings))

        assert Verdict.SKIPPED is finding.verdict
        assert "CERTWORKER_NOTIFY_URL" in finding.text
