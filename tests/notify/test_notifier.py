"""
Tests of the decisions of the notifier, and of its deliveries.
"""

from __future__ import annotations

import http.client
import logging
import socket
import subprocess
import sys
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
from certworker.errors.imports import ImportEnds
from certworker.errors.rate import Paused
from certworker.notify import email, webhook
from certworker.notify.message import Notification
from certworker.notify.notifier import Channel, Notifier, undelivered
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
        #: The error to raise, or None.
        self.fault: Exception | None = None

    def __call__(self, notifications: Sequence[Notification]) -> None:
        """
        Record a delivery.
        """
        if self.fault:
            raise self.fault
        self.deliveries.append(list(notifications))


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


class TestReminder:
    def test_each_reminder_is_delivered_once_and_a_recovery_does_not_repeat_it(
        self, notifier: Notifier, receiver: Receiver
    ) -> None:
        """
        A reminder of an imported certificate is delivered once, with the remedy and the days that are left.
        """
        failure = ImportEnds(name=NAME, ends="expires in 14 days")
        now = LIFE.not_after - timedelta(days=14)
        first = notifier.remind(NAME, "01 14d", failure, now)
        notifier.notify_failed(NAME, FAILURE, NOW, NOW)
        notifier.notify_recovered(NAME, NOW)
        second = notifier.remind(NAME, "01 14d", failure, now)
        third = notifier.remind(NAME, "01 7d", failure, now)
        notifier.deliver("mail")

        assert (True, False, True) == (first, second, third)
        kinds = [notification.kind for notification in receiver.deliveries[0]]
        assert ["ending", "failed", "recovered", "ending"] == kinds
        reminder = receiver.deliveries[0][0]
        assert ("import.ends", 14, "valid") == (reminder.code, reminder.days_left, reminder.in_service)
        assert f"certworker import {NAME}" in reminder.remedy

    def test_without_a_channel_a_reminder_is_new_once(self, connection: Redis) -> None:
        """
        The log has each reminder once, even without a channel.
        """
        notifier = Notifier(NotificationLog(connection), {}, life_of, instance="example.org")
        failure = ImportEnds(name=NAME, ends="expires in 14 days")

        assert [True, False] == [notifier.remind(NAME, "01 14d", failure, NOW) for _ in range(2)]


class TestFailed:
    def test_only_the_first_failure_is_notified(self, notifier: Notifier, receiver: Receiver) -> None:
        """
        The first failure of a name causes a notification, and the next ones do not.
        """
        for _ in range(10):
            notifier.notify_failed(NAME, FAILURE, NOW, NOW)
            notifier.deliver("mail")

        assert [["failed"]] == [
            [notification.kind for notification in delivery] for delivery in receiver.deliveries
        ]

    def test_many_failures_are_one_delivery(self, notifier: Notifier, receiver: Receiver) -> None:
        """
        Failures at the same time, as with a closed firewall, are one delivery.
        """
        for number in range(30):
            notifier.notify_failed(f"shop{number}.example.org", FAILURE, NOW, NOW)
        notifier.deliver("mail")

        assert [30] == [len(delivery) for delivery in receiver.deliveries]

    def test_an_overdue_certificate_is_notified_again(self, notifier: Notifier, receiver: Receiver) -> None:
        """
        A certificate that becomes overdue causes a second notification.
        """
        notifier.notify_failed(NAME, FAILURE, NOW, NOW + timedelta(days=61))
        notifier.notify_failed(NAME, FAILURE, NOW, NOW + timedelta(days=80))
        notifier.deliver("mail")

        assert ["failed", "overdue"] == [notification.kind for notification in receiver.deliveries[0]]
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
    def test_a_failure_that_needs_an_action_is_notified_once(
        self, notifier: Notifier, receiver: Receiver, failure: CertworkerError
    ) -> None:
        """
        A failure that needs an action causes one notification, even after an earlier failure.
        """
        notifier.notify_failed(NAME, FAILURE, NOW, NOW)
        for _ in range(3):
            notifier.notify_failed(NAME, failure, None, NOW)
        notifier.deliver("mail")

        assert [[("failed", FAILURE.code), ("action", failure.code)]] == [
            [(notification.kind, notification.code) for notification in delivery]
            for delivery in receiver.deliveries
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
    def test_a_notification_has_the_certificate_on_the_volume(
        self,
        notifier: Notifier,
        receiver: Receiver,
        name: str,
        after: timedelta,
        expected: tuple[str, int | None],
    ) -> None:
        """
        A notification has the state of the certificate on the volume, or "unknown".
        """
        notifier.notify_failed(name, FAILURE, None, NOW + after)
        notifier.deliver("mail")
        notification = receiver.deliveries[0][0]

        assert expected == (notification.in_service, notification.days_left)

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
    def test_a_notification_has_the_page_of_its_failure(
        self, connection: Redis, receiver: Receiver, docs_url: str | None, docs: str
    ) -> None:
        """
        The notification of a failure has the same page as the log, and a recovery has none.
        """
        channels = {"mail": Channel(Outbox(connection, "mail"), receiver)}
        notifier = Notifier(
            NotificationLog(connection), channels, life_of, instance="example.org", docs_url=docs_url
        )
        notifier.notify_failed(NAME, FAILURE, None, NOW)
        notifier.notify_recovered(NAME, NOW)
        notifier.deliver("mail")

        assert [docs, ""] == [notification.docs for notification in receiver.deliveries[0]]

    def test_a_notification_has_time_host_instance_and_id(
        self, notifier: Notifier, receiver: Receiver
    ) -> None:
        """
        A notification has its time, host and instance, and a unique id.
        """
        notifier.notify_failed(NAME, FAILURE, NOW + timedelta(hours=1), NOW)
        notifier.notify_failed("other.example.org", FAILURE, None, NOW)
        notifier.deliver("mail")
        (delivery,) = receiver.deliveries
        notification = next(each for each in delivery if each.name == NAME)

        assert ("2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z") == (
            notification.moment,
            notification.next_attempt,
        )
        assert (socket.gethostname(), "example.org") == (notification.host, notification.instance)
        assert 2 == len({each.id for each in delivery})


class TestSucceeded:
    def test_a_recovery_is_notified_once_and_after_a_failure_only(
        self, notifier: Notifier, receiver: Receiver
    ) -> None:
        """
        A recovery is notified once after a failure. Other renewals cause no notification.
        """
        notifier.notify_recovered(NAME, NOW)
        notifier.notify_failed(NAME, FAILURE, NOW, NOW)
        notifier.notify_recovered(NAME, NOW)
        notifier.notify_recovered(NAME, NOW)
        notifier.deliver("mail")

        assert [["failed", "recovered"]] == [
            [notification.kind for notification in delivery] for delivery in receiver.deliveries
        ]


class TestDeliver:
    def test_an_unreachable_receiver_is_logged_once_and_retried(
        self, notifier: Notifier, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A failed delivery is logged once, and the notification is delivered later.
        """
        receiver.fault = OSError("unreachable")
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


class TestFaults:
    @pytest.mark.parametrize(
        "fault",
        [ValueError("odd header"), UnicodeError("idna"), http.client.InvalidURL("bad"), RecursionError()],
    )
    def test_an_unexpected_error_of_a_channel_is_logged_once(
        self,
        notifier: Notifier,
        receiver: Receiver,
        fault: Exception,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        An unexpected error is logged once with its traceback, and the notification is delivered later.
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

    def test_the_end_of_an_outage_is_logged(
        self, notifier: Notifier, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log shows once that a channel delivers again.
        """
        receiver.fault = OSError("unreachable")
        notifier.notify_failed(NAME, FAILURE, NOW, NOW)
        with caplog.at_level(logging.INFO, "certworker"):
            notifier.deliver("mail")
            receiver.fault = None
            notifier.deliver("mail")
            notifier.deliver("mail")

        assert 1 == caplog.text.count("the delivery of notifications by mail works again")

    def test_an_invalid_entry_does_not_delay_the_others(
        self, notifier: Notifier, receiver: Receiver, connection: Redis
    ) -> None:
        """
        Invalid entries of the outbox are skipped.
        """
        connection.rpush(f"{OUTBOX}mail", '{"kind": ["a"], "name": "x", "code": "", "message": ""}')
        notifier.notify_failed(NAME, FAILURE, NOW, NOW)
        notifier.deliver("mail")

        assert [[NAME]] == [
            [notification.name for notification in delivery] for delivery in receiver.deliveries
        ]


class TestChannels:
    def test_a_slow_channel_does_not_delay_another(self, connection: Redis) -> None:
        """
        Each channel gets the notification, and a slow channel delays only its own deliveries.
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
        assert "by webhook (refused)" in undelivered("hook", OSError("refused")).message
        assert 1 == len(quick.deliveries)


class TestImport:
    def test_a_worker_without_a_mail_server_imports_no_library_for_email(self) -> None:
        """
        Only a worker with a mail server needs the libraries, which take a megabyte.
        """
        program = "import sys; import certworker.runtime; sys.exit('smtplib' in sys.modules)"

        assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode


class TestOf:
    def test_without_a_channel_nothing_is_stored(self, connection: Redis) -> None:
        """
        Without a mail server and a URL, the notifier stores nothing.
        """
        notifier = Notifier.of(load({"_APP_EMAIL_CERTIFICATES": "ops@shop.dev"}), connection, life_of)
        notifier.notify_failed(NAME, FAILURE, None, NOW)

        assert [] == connection.keys("certworker:*")

    def test_the_settings_lead_to_a_mail(self, connection: Redis) -> None:
        """
        With the variables of a mail server, the notifier sends a mail.
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
    def test_a_delivery_ends_before_its_lock_expires(self, seconds: float) -> None:
        """
        A delivery ends before its lock expires, so that no second worker delivers it.
        """
        assert seconds < DELIVERY_TIMEOUT.total_seconds()
