"""
The names of `_APP_DOMAIN`, requested at the start.
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

from certworker.app import App, life_in_service
from certworker.challenges.challenge import Http01Challenge
from certworker.notify.notifier import Notifier
from certworker.settings import load
from certworker.worker.own_domains import MOST_NAMES_SHOWN, OwnDomains
from tests.servers.mail import MailReceiver
from tests.servers.worker import wait_until

Knock = Callable[[Http01Challenge], bool]


class Start:
    """
    A start of a worker with *domains*, and what was requested so far.
    """

    def __init__(self, app: App, *domains: str, knock: Knock | None = None, seconds: float = 60) -> None:
        settings = app.settings.model_copy(update={"domains": domains})
        self.app = replace(app, settings=settings)
        self.requested: list[str] = []
        #: What a request for a name raises.
        self.faults: dict[str, Exception] = {}
        self.stopping = threading.Event()
        self.own_domains = OwnDomains(
            self.app, self._request, knock or self._arrives, self.stopping, patience_seconds=seconds
        )

    def _arrives(self, answer: Http01Challenge) -> bool:
        return self.app.responder.answer(answer.token) == answer.key_authorization

    def _request(self, names: tuple[str, ...]) -> None:
        (name,) = names
        if fault := self.faults.get(name):
            raise fault
        self.requested.append(name)


class TestRequests:
    def test_each_name_is_requested_once_its_answer_arrives(self, app: App) -> None:
        """
        The answer is gone afterwards.
        """
        start = Start(app, "a.localhost", "b.localhost", "A.localhost")
        start.own_domains.step()

        assert {"a.localhost", "b.localhost"} == set(start.requested)
        assert 2 == len(start.requested)
        assert {} == app.tokens.all()

    def test_without_a_domain_there_is_nothing_to_do(self, app: App) -> None:
        """
        Nothing is requested, and nothing is waited for.
        """
        start = Start(app)
        start.own_domains.step()

        assert [] == start.requested

    def test_a_name_that_answers_does_not_wait_for_one_that_does_not(self, app: App) -> None:
        """
        Ten names that are not routed yet would take ten minutes, one after the other.
        """
        start = Start(app, "deaf.localhost", "a.localhost", knock=lambda answer: answer.name[0] == "a")
        thread = threading.Thread(target=start.own_domains.step)
        thread.start()
        wait_until(lambda: start.requested or None, lambda: "nothing was requested")
        start.stopping.set()
        thread.join()

        assert ["a.localhost"] == start.requested

    def test_they_are_knocked_for_side_by_side(self, app: App) -> None:
        """
        A firewall that drops packets takes ten seconds for each knock.
        """
        together = threading.Barrier(3, timeout=30)

        def knock(_: Http01Challenge) -> bool:
            together.wait()
            return True

        start = Start(app, "a.localhost", "b.localhost", "c.localhost", knock=knock)
        start.own_domains.step()

        assert 3 == len(start.requested)

    def test_after_a_while_the_ca_is_asked_all_the_same(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Port 80 may be closed from inside only. The log says what is waited for, and for how long.
        """
        start = Start(app, "a.localhost", "b.localhost", knock=lambda _: False, seconds=0.2)
        with caplog.at_level(logging.INFO, "certworker"):
            start.own_domains.step()

        assert ["a.localhost", "b.localhost"] == sorted(start.requested)
        assert 1 == caplog.text.count("waiting up to 0 s until port 80 answers for a.localhost, b.localhost")
        assert 2 == caplog.text.count("port 80 did not answer within")

    def test_of_many_names_the_first_ones_are_named(self, app: App, caplog: pytest.LogCaptureFixture) -> None:
        """
        A line is for people.
        """
        names = [f"n{number}.localhost" for number in range(MOST_NAMES_SHOWN + 3)]
        start = Start(app, *names, knock=lambda _: False, seconds=0)
        with caplog.at_level(logging.INFO, "certworker"):
            start.own_domains.step()

        assert "n9.localhost and 3 more" in caplog.text
        assert sorted(names) == sorted(start.requested)


class TestFaults:
    def test_one_name_that_fails_drops_no_other_and_is_tried_again(self, app: App) -> None:
        """
        Redis may fail over in the first minute of a first start.
        """
        start = Start(app, "a.localhost", "b.localhost", "c.localhost")
        start.faults["a.localhost"] = RedisAway("away")
        with pytest.raises(RedisAway):
            start.own_domains.step()
        assert ["b.localhost", "c.localhost"] == sorted(start.requested)

        start.faults.clear()
        start.own_domains.step()
        assert ["a.localhost", "b.localhost", "c.localhost"] == sorted(start.requested)

    def test_a_knock_that_fails_costs_nothing_but_the_wait(self, app: App) -> None:
        """
        The name is requested when patience ends, and the fault is passed on to be logged.
        """

        def knock(answer: Http01Challenge) -> bool:
            raise ValueError(answer.name)

        start = Start(app, "a.localhost", knock=knock, seconds=0.1)
        with pytest.raises(ValueError, match=r"a\.localhost"):
            start.own_domains.step()

        assert ["a.localhost"] == start.requested

    def test_an_answer_that_cannot_be_put_anywhere_is_not_waited_for(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A webroot that belongs to another user is reported by the job as well, which is tried again.
        """
        webroot = app.settings.certificates_dir / ".well-known"
        webroot.write_text("a file where a directory should be")
        start = Start(app, "a.localhost", "b.localhost", knock=lambda _: pytest.fail("it was knocked"))
        start.own_domains.step()

        assert ["a.localhost", "b.localhost"] == sorted(start.requested)
        assert "fs.io" in caplog.text

    def test_one_that_cannot_be_certified_is_written_about_once(self, app: App) -> None:
        """
        No job is ever made of it, and whoever set the variable may not read the log.
        """
        with MailReceiver() as receiver:
            environ = {
                "_APP_EMAIL_CERTIFICATES": "ops@shop.dev",
                "_APP_SMTP_HOST": "127.0.0.1",
                "_APP_SMTP_PORT": str(receiver.port),
            }
            office = Notifier.of(load(environ), app.connection, lambda _: None)
            for _ in range(2):
                start = Start(replace(app, notifier=office), "https://shop.dev/", "a.localhost")
                start.own_domains.step()
                assert ["a.localhost"] == start.requested
            office.deliver("mail")

        (mail,) = receiver.mails
        assert "https://shop.dev/: action required" in mail["Subject"]

    def test_the_notice_knows_the_certificate_that_is_in_service(self, app: App) -> None:
        """
        After a change of the CA a name may be refused while its certificate is valid.
        """
        app.issuance.issue(("a.localhost",))
        with MailReceiver() as receiver:
            environ = {
                "_APP_EMAIL_CERTIFICATES": "ops@shop.dev",
                "_APP_SMTP_HOST": "127.0.0.1",
                "_APP_SMTP_PORT": str(receiver.port),
            }
            in_service = partial(life_in_service, app.certificates)
            office = Notifier.of(load(environ), app.connection, in_service)
            public = app.settings.model_copy(update={"authority_names": ("letsencrypt",)})
            Start(replace(app, settings=public, notifier=office), "a.localhost").own_domains.step()
            office.deliver("mail")

        (mail,) = receiver.mails
        part = mail.get_body(("plain",))
        assert part
        text = part.get_content()
        assert "a.localhost: action required" in text
        assert re.search(r"The certificate in service is valid for \d+ more days\.", text)

    def test_the_end_of_the_worker_ends_the_wait(self, app: App) -> None:
        """
        Nothing is requested then: the next start does it.
        """
        start = Start(app, "deaf.localhost", knock=lambda _: False)
        thread = threading.Thread(target=start.own_domains.step)
        thread.start()
        start.stopping.set()
        thread.join(timeout=30)

        assert not thread.is_alive()
        assert [] == start.requested
