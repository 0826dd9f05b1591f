"""
The decisions of the notifier, and its deliveries.
"""

from __future__ import annotations

import http.client
import logging
import socket
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from certworker.errors import CertworkerError
from certworker.errors.acct import AccountBlocked
from certworker.errors.config import EmailMissing
from certworker.errors.fs import VolumeFault
from certworker.errors.http import HttpTimeout
from certworker.errors.rate import Paused
from certworker.notify import email, webhook
from certworker.notify.message import Notification
from certworker.notify.notifier import Channel, Notifier
from certworker.settings import load
from certworker.state.outbox import DELIVERY_TIMEOUT, OUTBOX, NotificationLog, Outbox
from certworker.validity import Validity
from tests.servers.mail import MailReceiver

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIFE = Validity(NOW, NOW + timedelta(days=90), "04ab")
FAILURE = HttpTimeout(name="shop.example.org", address="203.0.113.7", detail="time-out")
NAME = "shop.example.org"
UNREADABLE = "broken.example.org"


class Receiver:
    """
    A channel that records its deliveries, or raises an error.
    """

    def __init__(self) -> None:
        self.deliveries: list[list[Notification]] = []
        #: The error to raise; None: no error.
        self.fault: Exception | None = None

    def __call__(self, notices: Sequence[Notification]) -> None:
        """
        Record a delivery.
        """
        if self.fault:
            raise self.fault
        self.deliveries.append(list(notices))


@pytest.fixture
def receiver() -> Receiver:
    """
    Return a channel that records its deliveries.
    """
    return Receiver()


def life_of(name: str) -> Validity | None:
    """
    Return the validity of the certificate of *name* on the volume.
    """
    if name == UNREADABLE:
        raise VolumeFault(path="/storage", reason="input/output error")
    return LIFE if name == NAME else None


@pytest.fixture
def notifier(connection: Redis, receiver: Receiver) -> Notifier:
    """
    Return a notifier with one channel.
    """
    channels = {"mail": Channel(Outbox(connection, "mail"), receiver)}
    return Notifier(NotificationLog(connection), channels, life_of, instance="example.org")


class TestFailed:
    def test_the_first_failure_is_reported_and_the_tenth_is_not(
        self, notifier: Notifier, receiver: Receiver
    ) -> None:
        """
        Further attempts cause no notification.
        """
        for _ in range(10):
            notifier.notify_failed(NAME, FAILURE, NOW, NOW)
            notifier.deliver("mail")

        assert [["failed"]] == [[notice.kind for notice in delivery] for delivery in receiver.deliveries]

    def test_many_failures_at_once_are_one_letter(self, notifier: Notifier, receiver: Receiver) -> None:
        """
        A closed firewall makes every name fail at the same time.
        """
        for number in range(30):
            notifier.notify_failed(f"shop{number}.example.org", FAILURE, NOW, NOW)
        notifier.deliver("mail")

        assert [30] == [len(delivery) for delivery in receiver.deliveries]

    def test_becoming_overdue_is_reported_although_the_failure_was(
        self, notifier: Notifier, receiver: Receiver
    ) -> None:
        """
        An overdue certificate is a new reason to notify.
        """
        notifier.notify_failed(NAME, FAILURE, NOW, NOW + timedelta(days=61))
        notifier.notify_failed(NAME, FAILURE, NOW, NOW + timedelta(days=80))
        notifier.deliver("mail")

        assert ["failed", "overdue"] == [notice.kind for notice in receiver.deliveries[0]]
        assert 10 == receiver.deliveries[0][1].days_left

    @pytest.mark.parametrize(
        "failure",
        [
            EmailMissing(),
            AccountBlocked(authority="a CA", detail="blocked"),
            Paused(authority="a CA", name=NAME, url="https://ca.example/unpause"),
        ],
        ids=lambda failure: failure.code,
    )
    def test_a_failure_that_only_a_person_ends_is_notified_once(
        self, notifier: Notifier, receiver: Receiver, failure: CertworkerError
    ) -> None:
        """
        The failure before it was notified as well, and repetitions are not.
        """
        notifier.notify_failed(NAME, FAILURE, NOW, NOW)
        for _ in range(3):
            notifier.notify_failed(NAME, failure, None, NOW)
        notifier.deliver("mail")

        assert [[("failed", FAILURE.code), ("action", failure.code)]] == [
            [(notice.kind, notice.code) for notice in delivery] for delivery in receiver.deliveries
        ]


class TestInService:
    @pytest.mark.parametrize(
        ("name", "after", "expected"),
        [
            (NAME, timedelta(days=1), ("valid", 89)),
            (NAME, timedelta(days=90), ("expired", None)),
            ("new.example.org", timedelta(), ("none", None)),
            (UNREADABLE, timedelta(), ("unknown", None)),
        ],
    )
    def test_a_notice_says_what_the_volume_has(
        self,
        notifier: Notifier,
        receiver: Receiver,
        name: str,
        after: timedelta,
        expected: tuple[str, int | None],
    ) -> None:
        """
        A notice never contradicts what is in service, and claims nothing where that is not known.
        """
        notifier.notify_failed(name, FAILURE, None, NOW + after)
        notifier.deliver("mail")
        notice = receiver.deliveries[0][0]

        assert expected == (notice.in_service, notice.days_left)

    @pytest.mark.parametrize(
        ("docs_url", "docs"),
        [
            (None, f"certworker explain {FAILURE.code}"),
            (
                "https://docs.example.org/",
                f"https://docs.example.org/reference/errors/{FAILURE.code}/",
            ),
        ],
    )
    def test_it_has_the_page_of_its_failure(
        self, connection: Redis, receiver: Receiver, docs_url: str | None, docs: str
    ) -> None:
        """
        A failure has the page that the log has, and a recovery has none.
        """
        channels = {"mail": Channel(Outbox(connection, "mail"), receiver)}
        notifier = Notifier(
            NotificationLog(connection), channels, life_of, instance="example.org", docs_url=docs_url
        )
        notifier.notify_failed(NAME, FAILURE, None, NOW)
        notifier.notify_recovered(NAME, NOW)
        notifier.deliver("mail")

        assert [docs, ""] == [notice.docs for notice in receiver.deliveries[0]]

    def test_it_has_moment_host_instance_and_an_id_of_its_own(
        self, notifier: Notifier, receiver: Receiver
    ) -> None:
        """
        A reader with several installations knows which one writes; a program recognizes a second delivery.
        """
        notifier.notify_failed(NAME, FAILURE, NOW + timedelta(hours=1), NOW)
        notifier.notify_failed("other.example.org", FAILURE, None, NOW)
        notifier.deliver("mail")
        (delivery,) = receiver.deliveries
        notice = next(each for each in delivery if each.name == NAME)

        assert ("2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z") == (notice.moment, notice.next_attempt)
        assert (socket.gethostname(), "example.org") == (notice.host, notice.instance)
        assert 2 == len({each.id for each in delivery})


class TestSucceeded:
    def test_a_recovery_is_reported_once_and_only_after_a_failure(
        self, notifier: Notifier, receiver: Receiver
    ) -> None:
        """
        Ordinary renewals cause no notification.
        """
        notifier.notify_recovered(NAME, NOW)
        notifier.notify_failed(NAME, FAILURE, NOW, NOW)
        notifier.notify_recovered(NAME, NOW)
        notifier.notify_recovered(NAME, NOW)
        notifier.deliver("mail")

        assert [["failed", "recovered"]] == [
            [notice.kind for notice in delivery] for delivery in receiver.deliveries
        ]


class TestDeliver:
    def test_a_receiver_that_is_away_is_reported_of_once_and_gets_its_letters_later(
        self, notifier: Notifier, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A broken mail server does not affect jobs, and the log names it.
        """
        receiver.fault = OSError("away")
        notifier.notify_failed(NAME, FAILURE, NOW, NOW)
        with caplog.at_level(logging.WARNING, "certworker"):
            notifier.deliver("mail")
            notifier.deliver("mail")
        assert {"mail": 1} == notifier.waiting()
        receiver.fault = None
        notifier.deliver("mail")

        assert {"mail": 0} == notifier.waiting()
        assert 1 == caplog.text.count("notice.undelivered")
        assert 1 == len(receiver.deliveries)


class TestTrouble:
    @pytest.mark.parametrize(
        "fault",
        [ValueError("odd header"), UnicodeError("idna"), http.client.InvalidURL("bad"), RecursionError()],
    )
    def test_whatever_a_channel_raises_is_its_own_trouble(
        self,
        notifier: Notifier,
        receiver: Receiver,
        fault: Exception,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        It is logged once, with a traceback for a bug, and the notification stays.
        """
        receiver.fault = fault
        notifier.notify_failed(NAME, FAILURE, NOW, NOW)
        with caplog.at_level(logging.WARNING, "certworker"):
            notifier.deliver("mail")
            notifier.deliver("mail")
        receiver.fault = None
        notifier.deliver("mail")

        (record,) = caplog.records
        assert record.exc_info
        assert fault is record.exc_info[1]
        assert 1 == len(receiver.deliveries)

    def test_the_return_of_a_receiver_is_logged(
        self, notifier: Notifier, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log shows that the channel works again.
        """
        receiver.fault = OSError("away")
        notifier.notify_failed(NAME, FAILURE, NOW, NOW)
        with caplog.at_level(logging.INFO, "certworker"):
            notifier.deliver("mail")
            receiver.fault = None
            notifier.deliver("mail")
            notifier.deliver("mail")

        assert 1 == caplog.text.count("the notifications by mail are delivered again")

    def test_what_is_no_notice_does_not_stop_the_others(
        self, notifier: Notifier, receiver: Receiver, connection: Redis
    ) -> None:
        """
        Any writer to Redis can insert invalid entries.
        """
        connection.rpush(f"{OUTBOX}mail", '{"kind": ["a"], "name": "x", "code": "", "message": ""}')
        notifier.notify_failed(NAME, FAILURE, NOW, NOW)
        notifier.deliver("mail")

        assert [[NAME]] == [[notice.name for notice in delivery] for delivery in receiver.deliveries]


class TestChannels:
    def test_a_letter_goes_by_all_of_them_and_none_waits_for_another(self, connection: Redis) -> None:
        """
        A slow receiver delays its own deliveries only.
        """
        inside, release = threading.Event(), threading.Event()
        quick = Receiver()

        def slow(_: Sequence[Notification]) -> None:
            inside.set()
            release.wait(30)

        channels = {
            "mail": Channel(Outbox(connection, "mail"), slow),
            "hook": Channel(Outbox(connection, "hook"), quick),
        }
        notifier = Notifier(NotificationLog(connection), channels, life_of, instance="example.org")
        notifier.notify_failed(NAME, FAILURE, NOW, NOW)
        waiting = threading.Thread(target=notifier.deliver, args=("mail",))
        waiting.start()
        inside.wait(30)
        notifier.deliver("hook")
        release.set()
        waiting.join()

        assert ("mail", "hook") == notifier.channels
        assert 1 == len(quick.deliveries)


class TestOf:
    def test_without_server_and_url_nobody_is_reported(self, connection: Redis) -> None:
        """
        An empty host disables mail, as in Appwrite.
        """
        notifier = Notifier.of(load({"_APP_EMAIL_CERTIFICATES": "ops@shop.dev"}), connection, life_of)
        notifier.notify_failed(NAME, FAILURE, None, NOW)

        assert [] == connection.keys("certworker:*")

    def test_the_settings_lead_to_a_mailbox(self, connection: Redis) -> None:
        """
        The variables lead to a mail at a real server.
        """
        with MailReceiver() as receiver:
            environ = {
                "_APP_EMAIL_CERTIFICATES": "ops@shop.dev",
                "_APP_SMTP_HOST": "127.0.0.1",
                "_APP_SMTP_PORT": str(receiver.port),
            }
            notifier = Notifier.of(load(environ), connection, life_of)
            notifier.notify_failed(NAME, FAILURE, NOW, NOW)
            notifier.deliver("mail")

        assert ["ops@shop.dev"] == [mail["To"] for mail in receiver.mails]


class TestDeadlines:
    @pytest.mark.parametrize("seconds", [email.LONGEST_SECONDS, webhook.LONGEST_SECONDS])
    def test_no_delivery_outlives_its_lock(self, seconds: float) -> None:
        """
        Otherwise a second worker would deliver the same notifications.
        """
        assert seconds < DELIVERY_TIMEOUT.total_seconds()
