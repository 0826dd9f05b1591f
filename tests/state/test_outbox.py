"""
Notifications survive a crash, and are delivered once.
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
    Return the number in a notification; None for any other value.
    """
    try:
        return int(json.loads(text)["number"])
    except (ValueError, TypeError, KeyError):
        return None


@pytest.fixture
def outbox(connection: Redis) -> Outbox:
    """
    An empty one.
    """
    return Outbox(connection, "mail")


def delivered(outbox: Outbox) -> list[int]:
    """
    Return the numbers of all notifications that wait.
    """
    received: list[int] = []
    outbox.deliver(number, received.extend)
    return received


class TestOutbox:
    def test_all_notifications_are_delivered_together_and_once(self, outbox: Outbox) -> None:
        """
        One delivery takes all waiting notifications, and the next one takes none.
        """
        received: list[Sequence[int]] = []
        outbox.put({"number": 1})
        outbox.put({"number": 2})

        assert 2 == outbox.deliver(number, received.append)
        assert 0 == outbox.deliver(number, received.append)
        assert [[1, 2]] == received

    def test_what_could_not_be_delivered_stays(self, outbox: Outbox) -> None:
        """
        A mail server may be away for a day.
        """
        outbox.put({"number": 1})

        def refuse(letters: Sequence[int]) -> None:
            raise OSError("no")

        with pytest.raises(OSError, match="no"):
            outbox.deliver(number, refuse)
        assert [1] == delivered(outbox)

    def test_two_workers_do_not_deliver_the_same(self, outbox: Outbox) -> None:
        """
        While one delivers, the other one does nothing.
        """
        outbox.put({"number": 1})
        inside: list[int] = []
        outbox.deliver(number, lambda _: inside.append(outbox.deliver(number, lambda _: None)))

        assert [0] == inside

    def test_a_lock_that_another_worker_has_taken_stays_locked(
        self, connection: Redis, outbox: Outbox
    ) -> None:
        """
        A delivery that took too long does not release the lock of another worker.
        """
        outbox.put({"number": 1})
        outbox.deliver(number, lambda _: connection.set(SENDING + "mail", "the second worker"))

        assert b"the second worker" == connection.get(SENDING + "mail")

    def test_a_lock_without_end_holds_up_nothing(self, connection: Redis, outbox: Outbox) -> None:
        """
        No worker delivers for longer than two minutes.
        """
        outbox.put({"number": 1})
        connection.set(SENDING + "mail", "planted")

        assert [1] == delivered(outbox)

    def test_a_notification_during_a_delivery_waits_for_the_next_one(self, outbox: Outbox) -> None:
        """
        It was not in the one that went out.
        """
        outbox.put({"number": 1})
        outbox.deliver(number, lambda _: outbox.put({"number": 2}))

        assert [2] == delivered(outbox)

    def test_a_letter_is_not_lost_while_a_full_outbox_is_delivered(self, outbox: Outbox) -> None:
        """
        Each new notification may drop the oldest one, which moves the others.
        """
        for each in range(MAX_ENTRIES):
            outbox.put({"number": each})

        def put_more(_: Sequence[int]) -> None:
            for each in range(3):
                outbox.put({"number": MAX_ENTRIES + each})

        outbox.deliver(number, put_more)
        assert [MAX_ENTRIES, MAX_ENTRIES + 1, MAX_ENTRIES + 2] == delivered(outbox)

    def test_a_receiver_that_never_comes_back_fills_nothing(self, connection: Redis, outbox: Outbox) -> None:
        """
        The latest ones are stored; the log has all of them.
        """
        for each in range(MAX_ENTRIES + 5):
            outbox.put({"number": each})

        assert MAX_ENTRIES == connection.llen(OUTBOX + "mail")

    @pytest.mark.parametrize(
        "entry",
        ["", "rubbish", "[1]", b"\xff\xfe", '{"number": 1, "x": "%s"}' % ("x" * LARGEST_NOTIFICATION)],
    )
    def test_what_is_no_letter_is_removed_and_the_others_are_delivered(
        self, connection: Redis, outbox: Outbox, entry: str | bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An invalid entry does not block the others, and one log line reports it.
        """
        connection.rpush(OUTBOX + "mail", entry)
        outbox.put({"number": 2})
        with caplog.at_level(logging.WARNING, "certworker"):
            assert [2] == delivered(outbox)

        assert 1 == len(caplog.records)
        assert 0 == connection.llen(OUTBOX + "mail")


class TestTold:
    def test_a_subject_is_notified_once_until_it_is_withdrawn(
        self, connection: Redis, outbox: Outbox
    ) -> None:
        """
        Another attempt sends no mail.
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
    def test_a_subject_without_an_end_is_notified_again_later(
        self, connection: Redis, outbox: Outbox, days: int | None
    ) -> None:
        """
        Another program wrote it, or took its expiry away.
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
        Otherwise it would be lost for three months. A client that removes no wrong key shows it.
        """
        connection.set(OUTBOX + "mail", "of another type")
        notification_log = NotificationLog(redis_server.client())
        with pytest.raises(ResponseError):
            notification_log.notify_once(NAME, "failed", {"number": 1}, [outbox])
        connection.delete(OUTBOX + "mail")

        assert notification_log.notify_once(NAME, "failed", {"number": 1}, [outbox])
