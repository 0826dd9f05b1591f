"""
What people are to be told survives, and is told once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from redis import Redis

from certworker.ledger.outbox import LETTERS_KEPT, OUTBOX, Outbox, Told

Letters = Sequence[dict[str, Any]]


class TestOutbox:
    def test_all_letters_are_delivered_together_and_once(self, connection: Redis) -> None:
        """
        Many failures at once are one mail.
        """
        outbox, received = Outbox(connection, "mail"), list[Letters]()
        outbox.put({"number": 1})
        outbox.put({"number": 2})

        assert 2 == outbox.deliver(received.append)
        assert 0 == outbox.deliver(received.append)
        assert [[{"number": 1}, {"number": 2}]] == received

    def test_what_could_not_be_delivered_stays(self, connection: Redis) -> None:
        """
        A mail server may be away for a day.
        """
        outbox, received = Outbox(connection, "mail"), list[Letters]()
        outbox.put({"number": 1})

        def refuse(letters: Letters) -> None:
            raise OSError("no")

        with pytest.raises(OSError, match="no"):
            outbox.deliver(refuse)
        assert 1 == outbox.deliver(received.append)

    def test_two_workers_do_not_deliver_the_same(self, connection: Redis) -> None:
        """
        While one is at it, the other one leaves it alone.
        """
        outbox = Outbox(connection, "mail")
        outbox.put({"number": 1})
        inside: list[int] = []
        outbox.deliver(lambda _: inside.append(outbox.deliver(lambda _: None)))

        assert [0] == inside

    def test_a_letter_that_is_put_meanwhile_waits_for_the_next_delivery(self, connection: Redis) -> None:
        """
        It was not in the one that went out.
        """
        outbox = Outbox(connection, "mail")
        outbox.put({"number": 1})
        outbox.deliver(lambda _: outbox.put({"number": 2}))

        assert 1 == outbox.deliver(lambda _: None)

    def test_a_receiver_that_never_comes_back_fills_nothing(self, connection: Redis) -> None:
        """
        The latest are kept, the log has all.
        """
        outbox = Outbox(connection, "hook")
        for number in range(LETTERS_KEPT + 5):
            outbox.put({"number": number})

        assert LETTERS_KEPT == connection.llen(OUTBOX + "hook")


class TestTold:
    def test_a_thing_is_told_once_until_it_is_taken_back(self, connection: Redis) -> None:
        """
        Never one mail per attempt.
        """
        told = Told(connection)

        assert told.first_time("shop.example.org", "failed")
        assert not told.first_time("shop.example.org", "failed")
        assert told.first_time("shop.example.org", "overdue")
        assert told.take_back("shop.example.org")
        assert not told.take_back("shop.example.org")
        assert told.first_time("shop.example.org", "failed")
