"""
Tests of the requests for the names of `_APP_DOMAIN` at the start.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from redis.exceptions import ConnectionError as RedisAway

from certworker.app import App, validity_in_service
from certworker.challenges.challenge import DNS01, HTTP01, Http01Challenge
from certworker.errors import CertworkerError
from certworker.notify.notifier import Notifier
from certworker.runtime import build_own_domains
from certworker.settings import load
from certworker.worker.own_domains import MAX_NAMES_SHOWN, OwnDomains
from tests.servers.mail import MailReceiver
from tests.servers.worker import wait_until

Probe = Callable[[Http01Challenge], bool]


class Start:
    """
    Start the own domains of a worker with *domains*, and record the requested names.
    """

    def __init__(self, app: App, *domains: str, probe: Probe | None = None, seconds: float = 60) -> None:
        self.app = app
        self.requested: list[str] = []
        #: The errors of requests, by name.
        self.errors: dict[str, Exception] = {}
        self.own_domains = OwnDomains(
            dict.fromkeys(domains, "_APP_DOMAIN"),
            app.issuers[0],
            private_names=app.settings.authority.private_names,
            wildcards=True,
            request=self._request,
            is_reachable=probe or self._is_answered,
            reject=self._reject,
            timeout_seconds=seconds,
        )

    def _is_answered(self, answer: Http01Challenge) -> bool:
        return self.app.responder.answer(answer.token) == answer.key_authorization

    def _request(self, names: tuple[str, ...]) -> None:
        (name,) = names
        if error := self.errors.get(name):
            raise error
        self.requested.append(name)

    def _reject(self, domain: str, failure: CertworkerError) -> None:
        self.app.notifier.notify_failed(domain, failure, None, self.app.clock())


class TestRequests:
    def test_a_name_with_dns01_is_requested_without_a_probe(self, app: App) -> None:
        """
        Only names with HTTP-01 are probed on port 80 before their request.
        """
        probed: list[str] = []

        def probe(answer: Http01Challenge) -> bool:
            probed.append(answer.name)
            return True

        app.issuers[0].client.challenge_type = lambda name: HTTP01 if name == "a.localhost" else DNS01
        start = Start(app, "*.localhost", "a.localhost", "*.LOCALHOST", "b.localhost", probe=probe)
        start.own_domains.step()

        assert ["*.localhost", "b.localhost", "a.localhost"] == start.requested
        assert ["a.localhost"] == probed

    def test_each_reachable_name_is_requested_once(self, app: App) -> None:
        """
        Each reachable name is requested once, regardless of its spelling. The tokens are removed afterwards.
        """
        start = Start(app, "a.localhost", "b.localhost", "A.localhost")
        start.own_domains.step()

        assert {"a.localhost", "b.localhost"} == set(start.requested)
        assert 2 == len(start.requested)
        assert {} == app.tokens.all()

    def test_the_composition_root_probes_port_80_and_enqueues(self, app: App) -> None:
        """
        The app probes port 80 at its own HTTP server, and enqueues the request.
        """
        settings = app.settings.model_copy(update={"domains": ("main.localhost", "not a name")})
        build_own_domains(replace(app, settings=settings)).step()

        (key,) = app.connection.scan_iter("rq:job:*")
        assert b"main.localhost" in (app.connection.hget(key, "description") or b"")

    def test_without_a_domain_nothing_is_requested(self, app: App) -> None:
        """
        Without a domain, the step requests no name.
        """
        start = Start(app)
        start.own_domains.step()

        assert [] == start.requested

    def test_a_reachable_name_does_not_wait_for_an_unreachable_one(self, app: App) -> None:
        """
        A reachable name is requested while the probe of another name continues.
        """
        start = Start(app, "closed.localhost", "a.localhost", probe=lambda answer: answer.name[0] == "a")
        thread = threading.Thread(target=start.own_domains.step)
        thread.start()
        wait_until(lambda: start.requested or None, lambda: "nothing was requested")
        start.own_domains.loop.stopping.set()
        thread.join()

        assert ["a.localhost"] == start.requested

    def test_names_are_probed_concurrently(self, app: App) -> None:
        """
        The step probes all names concurrently. A firewall that drops packets delays a probe by ten
        seconds.
        """
        together = threading.Barrier(3, timeout=30)

        def probe(_: Http01Challenge) -> bool:
            together.wait()
            return True

        start = Start(app, "a.localhost", "b.localhost", "c.localhost", probe=probe)
        start.own_domains.step()

        assert 3 == len(start.requested)

    def test_unreachable_names_are_requested_when_the_wait_ends(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Unreachable names are requested when the wait ends. The log has the wait, its length and the
        names.
        """
        start = Start(app, "a.localhost", "b.localhost", probe=lambda _: False, seconds=0.2)
        with caplog.at_level(logging.INFO, "certworker"):
            start.own_domains.step()

        assert ["a.localhost", "b.localhost"] == sorted(start.requested)
        waiting = "waiting up to 0 s for port 80 to serve a test response for a.localhost, b.localhost"
        assert 1 == caplog.text.count(waiting)
        assert 2 == caplog.text.count("port 80 did not serve a test response within")

    def test_the_log_line_names_the_first_of_many_names(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log line names the first names and counts the others.
        """
        names = [f"n{number}.localhost" for number in range(MAX_NAMES_SHOWN + 3)]
        start = Start(app, *names, probe=lambda _: False, seconds=0)
        with caplog.at_level(logging.INFO, "certworker"):
            start.own_domains.step()

        assert "n9.localhost and 3 more" in caplog.text
        assert sorted(names) == sorted(start.requested)


class TestErrors:
    def test_an_error_with_one_name_does_not_affect_the_others(self, app: App) -> None:
        """
        An error with one name does not affect the others. The next step repeats only the failed
        request.
        """
        start = Start(app, "a.localhost", "b.localhost", "c.localhost")
        start.errors["a.localhost"] = RedisAway("away")
        with pytest.raises(RedisAway):
            start.own_domains.step()
        assert ["b.localhost", "c.localhost"] == sorted(start.requested)

        start.errors.clear()
        start.own_domains.step()
        assert ["a.localhost", "b.localhost", "c.localhost"] == sorted(start.requested)

    def test_a_probe_that_fails_delays_its_name(self, app: App) -> None:
        """
        A name whose probe fails is requested when the wait ends, and the step raises the error.
        """

        def probe(answer: Http01Challenge) -> bool:
            raise ValueError(answer.name)

        start = Start(app, "a.localhost", probe=probe, seconds=0.1)
        with pytest.raises(ValueError, match=r"a\.localhost"):
            start.own_domains.step()

        assert ["a.localhost"] == start.requested

    def test_without_a_writable_webroot_names_are_requested_at_once(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Names are requested without a probe if the webroot is not writable. The log has the reason.
        """
        webroot = app.settings.certificates_dir / ".well-known"
        webroot.write_text("a file instead of a directory")
        start = Start(app, "a.localhost", "b.localhost", probe=lambda _: pytest.fail("probed"))
        start.own_domains.step()

        assert ["a.localhost", "b.localhost"] == sorted(start.requested)
        assert "fs.io" in caplog.text

    def test_a_name_that_no_ca_certifies_is_notified_once(self, app: App) -> None:
        """
        An invalid name leads to one notification, as no job reports it.
        """
        with MailReceiver() as receiver:
            notifier = Notifier.of(load(mail_settings(receiver)), app.connection, lambda _: None)
            for _ in range(2):
                start = Start(replace(app, notifier=notifier), "https://shop.dev/", "a.localhost")
                start.own_domains.step()
                assert ["a.localhost"] == start.requested
            notifier.deliver("mail")

        (mail,) = receiver.mails
        assert "https://shop.dev/: action required" in mail["Subject"]

    def test_the_notification_has_the_certificate_in_service(self, app: App) -> None:
        """
        The notification about a rejected name has the remaining validity of its certificate in service.
        """
        app.issuance.issue(("a.localhost",))
        with MailReceiver() as receiver:
            in_service = partial(validity_in_service, app.certificates)
            notifier = Notifier.of(load(mail_settings(receiver)), app.connection, in_service)
            public = app.settings.model_copy(update={"authority_names": ("letsencrypt",)})
            Start(replace(app, settings=public, notifier=notifier), "a.localhost").own_domains.step()
            notifier.deliver("mail")

        (mail,) = receiver.mails
        part = mail.get_body(("plain",))
        assert part
        text = part.get_content()
        assert "a.localhost: action required" in text
        assert re.search(r"The certificate in service is valid for \d+ more days\.", text)

    def test_a_stop_of_the_worker_ends_the_wait(self, app: App) -> None:
        """
        A stop of the worker ends the wait, and no name is requested.
        """
        start = Start(app, "closed.localhost", probe=lambda _: False)
        thread = threading.Thread(target=start.own_domains.step)
        thread.start()
        start.own_domains.loop.stopping.set()
        thread.join(timeout=30)

        assert not thread.is_alive()
        assert [] == start.requested


def mail_settings(receiver: MailReceiver) -> dict[str, str]:
    """
    Return the variables of a worker that sends its notifications to *receiver*.
    """
    return {
        "_APP_EMAIL_CERTIFICATES": "ops@shop.dev",
        "_APP_SMTP_HOST": "127.0.0.1",
        "_APP_SMTP_PORT": str(receiver.port),
    }
