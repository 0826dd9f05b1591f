"""
Test that notifications survive a crash and are delivered once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import timedelta

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from certworker.state.outbox import (
    LARGEST_NOTIFICATION,
    MAX_ENTRIES,
    NOTIFIED,
    NOTIFIED_TTL,
    OUTBOX,
    SENDING,
    NotificationLog,
    Outbox,
)
from tests.servers.redis import RedisServer

NAME = "shop.example.org"


def number(text: str) -> int | None:
    """
    Return the number in a notification, or None for any other value.
    """
    try:
        return int(json.loads(text)["number"])
    except (ValueError, TypeError, KeyError):
        return None


@pytest.fixture
def outbox(connection: Redis) -> Outbox:
    """
    Return an empty outbox.
    """
    return Outbox(connection, "mail")


def delivered(outbox: Outbox) -> list[int]:
    """
    Deliver all waiting notifications, and return their numbers.
    """
    received: list[int] = []
    outbox.deliver(number, received.extend)
    return received


class TestOutbox:
    def test_all_notifications_are_delivered_together_and_once(self, outbox: Outbox) -> None:
        """
        One delivery sends all waiting notifications, and the next one sends none.
        """
        received: list[Sequence[int]] = []
        outbox.put({"number": 1})
        outbox.put({"number": 2})

        assert 2 == outbox.deliver(number, received.append)
        assert 0 == outbox.deliver(number, received.append)
        assert [[1, 2]] == received

    def test_a_failed_delivery_is_repeated(self, outbox: Outbox) -> None:
        """
        Notifications of a failed delivery wait for the next one.
        """
        outbox.put({"number": 1})

        def refuse(notifications: Sequence[int]) -> None:
            raise OSError("no")

        with pytest.raises(OSError, match="no"):
            outbox.deliver(number, refuse)
        assert [1] == delivered(outbox)

    def test_a_concurrent_delivery_sends_no_notification(self, outbox: Outbox) -> None:
        """
        A second delivery during the first one sends no notification.
        """
        outbox.put({"number": 1})
        inside: list[int] = []
        outbox.deliver(number, lambda _: inside.append(outbox.deliver(number, lambda _: None)))

        assert [0] == inside

    def test_a_delivery_does_not_release_the_lock_of_another_worker(
        self, connection: Redis, outbox: Outbox
    ) -> None:
        """
        A delivery that exceeded its lock does not release the lock of another worker.
        """
        outbox.put({"number": 1})
        outbox.deliver(number, lambda _: connection.set(SENDING + "mail", "the second worker"))

        assert b"the second worker" == connection.get(SENDING + "mail")

    def test_a_lock_without_expiry_is_ignored(self, connection: Redis, outbox: Outbox) -> None:
        """
        A lock without expiry does not prevent a delivery.
        """
        outbox.put({"number": 1})
        connection.set(SENDING + "mail", "planted")

        assert [1] == delivered(outbox)

    def test_a_notification_during_a_delivery_waits_for_the_next_one(self, outbox: Outbox) -> None:
        """
        A notification that is added during a delivery is sent by the next one.
        """
        outbox.put({"number": 1})
        outbox.deliver(number, lambda _: outbox.put({"number": 2}))

        assert [2] == delivered(outbox)

    def test_no_new_notification_is_lost_during_the_delivery_of_a_full_outbox(self, outbox: Outbox) -> None:
        """
        New notifications during the delivery of a full outbox are sent by the next delivery.
        """
        for each in range(MAX_ENTRIES):
            outbox.put({"number": each})

        def put_more(_: Sequence[int]) -> None:
            for each in range(3):
                outbox.put({"number": MAX_ENTRIES + each})

        outbox.deliver(number, put_more)
        assert [MAX_ENTRIES, MAX_ENTRIES + 1, MAX_ENTRIES + 2] == delivered(outbox)

    def test_the_outbox_has_a_maximum_length(self, connection: Redis, outbox: Outbox) -> None:
        """
        The outbox has a maximum length, and stores the latest notifications.
        """
        for each in range(MAX_ENTRIES + 5):
            outbox.put({"number": each})

        assert MAX_ENTRIES == connection.llen(OUTBOX + "mail")

    @pytest.mark.parametrize(
        "entry",
        ["", "rubbish", "[1]", b"\xff\xfe", '{"number": 1, "x": "%s"}' % ("x" * LARGEST_NOTIFICATION)],
    )
    def test_an_invalid_notification_is_removed_and_the_others_are_delivered(
        self, connection: Redis, outbox: Outbox, entry: str | bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An invalid notification is removed with one log line, and the others are delivered.
        """
        connection.rpush(OUTBOX + "mail", entry)
        outbox.put({"number": 2})
        with caplog.at_level(logging.WARNING, "certworker"):
            assert [2] == delivered(outbox)

        assert 1 == len(caplog.records)
        assert 0 == connection.llen(OUTBOX + "mail")


class TestNotificationLog:
    def test_a_subject_is_notified_once_until_its_recovery(self, connection: Redis, outbox: Outbox) -> None:
        """
        A subject is notified once, and again after its recovery.
        """
        notification_log, other = NotificationLog(connection), Outbox(connection, "hook")

        assert notification_log.notify_once(NAME, "failed", {"number": 1}, [outbox, other])
        assert not notification_log.notify_once(NAME, "failed", {"number": 2}, [outbox, other])
        assert notification_log.notify_once(NAME, "overdue", {"number": 3}, [outbox, other])
        assert notification_log.notify_recovery(NAME, {"number": 4}, [outbox, other])
        assert not notification_log.notify_recovery(NAME, {"number": 5}, [outbox, other])
        assert notification_log.notify_once(NAME, "failed", {"number": 6}, [outbox, other])
        assert [1, 3, 4, 6] == delivered(outbox) == delivered(other)

    @pytest.mark.parametrize("days", [None, 10_000])
    def test_an_entry_without_expiry_gets_one(
        self, connection: Redis, outbox: Outbox, days: int | None
    ) -> None:
        """
        An entry without an expiry, or with a very late one, gets the usual expiry.
        """
        connection.sadd(f"{NOTIFIED}{NAME}", "failed")
        if days:
            connection.expire(f"{NOTIFIED}{NAME}", timedelta(days=days))

        assert not NotificationLog(connection).notify_once(NAME, "failed", {"number": 1}, [outbox])

        assert 0 < connection.ttl(f"{NOTIFIED}{NAME}") <= NOTIFIED_TTL.total_seconds()

    def test_a_notification_that_was_not_stored_does_not_count(
        self, redis_server: RedisServer, connection: Redis, outbox: Outbox
    ) -> None:
        """
        A notification that Redis did not store is sent by the next call.
        """
        connection.set(OUTBOX + "mail", "of another type")
        notification_log = NotificationLog(redis_server.client())
        with pytest.raises(ResponseError):
            notification_log.notify_once(NAME, "failed", {"number": 1}, [outbox])
        connection.delete(OUTBOX + "mail")

        assert notification_log.notify_once(NAME, "failed", {"number": 1}, [outbox])
