"""
Tests of the agenda: the next check of each name.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from certworker.renewal.agenda import AGENDA, Agenda

NOW = datetime(2026, 11, 23, 10, 15, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def woken() -> list[datetime]:
    """
    Return the times for which the agenda requested a wake-up.
    """
    return []


@pytest.fixture
def agenda(connection: redis.Redis, woken: list[datetime]) -> Agenda:
    """
    Return an empty agenda.
    """
    return Agenda(connection, woken.append)


class TestDue:
    """
    Test the names whose next check is due.
    """

    def test_due_names_are_in_the_order_of_their_times(self, agenda: Agenda) -> None:
        """
        Due names are in the order of their times. Later names are not due.
        """
        agenda.put_many(
            {
                "late.org": NOW - MINUTE,
                "later.org": NOW,
                "soon.org": NOW + MINUTE,
                "first.org": NOW - 2 * MINUTE,
            }
        )

        assert agenda.due(NOW, 10) == ["first.org", "late.org", "later.org"]

    def test_the_number_of_due_names_has_a_limit(self, agenda: Agenda) -> None:
        """
        The number of due names has a limit, so that a new request does not wait behind 50,000 names.
        """
        agenda.put_many({f"{number}.org": NOW - number * MINUTE for number in range(9)})

        assert agenda.due(NOW, 2) == ["8.org", "7.org"]

    def test_a_latest_time_does_not_replace_an_earlier_one(self, agenda: Agenda) -> None:
        """
        A time with `at_the_latest` does not postpone an earlier check.
        """
        agenda.put_many({"sooner.org": NOW, "later.org": NOW + 2 * MINUTE})
        late = dict.fromkeys(["sooner.org", "later.org", "new.org"], NOW + MINUTE)

        agenda.put_many(late, at_the_latest=True)

        assert agenda.next_checks(agenda.names()) == late | {"sooner.org": NOW}

    def test_names_with_an_infinite_time_are_found(self, agenda: Agenda, connection: redis.Redis) -> None:
        """
        Names with an infinite or very late time are found. Older versions stored infinity for refused
        names.
        """
        agenda.put_many({"now.org": NOW, "edge.org": NOW + MINUTE})
        connection.zadd(AGENDA, {"refused.org": float("inf"), "far.org": 1e300})

        assert agenda.planned_after(NOW + MINUTE, 10) == ["refused.org", "far.org"]
        assert agenda.planned_after(NOW + MINUTE, 1) == ["refused.org"]

    def test_a_member_that_is_not_text_is_removed(self, agenda: Agenda, connection: redis.Redis) -> None:
        """
        A member that is not text is removed, because it would always be due.
        """
        connection.zadd(AGENDA, {b"\xff\xfe": 1})
        agenda.put("a.org", NOW)

        assert agenda.due(NOW, 10) == ["a.org"]
        assert len(agenda) == 1


#: Invalid names that other programs may write.
INVALID_NAMES: list[Any] = [
    *("", ".", "..", "UPPER.com", "a b.com", "../../etc/passwd", "x\ny.com", "x" * 300, "y" * 1_000_000),
    *(
        b"\xff\xfe",
        "-a.com",
        "a..com",
        "a.*.com",
        "a.com.",
        "\N{RIGHT-TO-LEFT OVERRIDE}moc.a",
        "a.com\x1b[2J",
    ),
    *(f"{number} .com" for number in range(2_500)),
]


class TestTimes:
    """
    Test the times of the names.
    """

    def test_a_time_is_not_rounded(self, agenda: Agenda) -> None:
        """
        A time is stored without rounding, so that no name is due too early.
        """
        agenda.put("a.org", NOW + timedelta(microseconds=250_000))

        assert agenda.next_check("a.org") == NOW + timedelta(microseconds=250_000)

    def test_a_new_time_replaces_the_former_one(self, agenda: Agenda) -> None:
        """
        A new time replaces the former one of the same name.
        """
        agenda.put("a.org", NOW)
        agenda.put("a.org", NOW + MINUTE)

        assert agenda.next_checks(agenda.names()) == {"a.org": NOW + MINUTE}

    def test_an_unknown_name_has_no_next_check(self, agenda: Agenda) -> None:
        """
        An unknown name has no next check.
        """
        assert agenda.next_check("unknown.org") is None
        assert "unknown.org" not in agenda

    @pytest.mark.parametrize("score", ["inf", "1e300"])
    def test_an_invalid_score_has_no_time(self, agenda: Agenda, connection: redis.Redis, score: str) -> None:
        """
        A name with an invalid score, which another program wrote, has no time.
        """
        connection.zadd(AGENDA, {"odd.org": float(score)})

        assert agenda.next_checks(agenda.names()) == {"odd.org": None}

    @pytest.mark.parametrize("score", ["-inf", "-1e300", "-1"])
    def test_a_negative_score_is_due(self, agenda: Agenda, connection: redis.Redis, score: str) -> None:
        """
        A name with a negative score is due, and does not hide other names.
        """
        connection.zadd(AGENDA, {"odd.org": float(score), "a.org": NOW.timestamp()})

        assert agenda.earliest() == datetime(1970, 1, 1, tzinfo=UTC)
        assert agenda.due(NOW, 10) == ["odd.org", "a.org"]

    @pytest.mark.parametrize("read", ["due", "names", "beyond"])
    def test_an_invalid_name_is_removed_by_each_reader(
        self, agenda: Agenda, connection: redis.Redis, caplog: pytest.LogCaptureFixture, read: str
    ) -> None:
        """
        Each reader removes invalid names, logs their number in one line, and returns the valid names.
        """
        score = NOW.timestamp()
        connection.zadd(AGENDA, dict.fromkeys([*INVALID_NAMES, "a.org", "2001:db8::1"], score))
        reading: dict[str, Callable[[], list[str]]] = {
            "due": lambda: agenda.due(NOW, 3_000),
            "names": agenda.names,
            "beyond": lambda: agenda.planned_after(NOW - MINUTE, 3_000),
        }

        assert {"a.org", "2001:db8::1"} == set(reading[read]())

        assert 2 == len(agenda)
        assert [f"removed invalid entries from the agenda: {len(INVALID_NAMES)}"] == [
            line.getMessage().partition(",")[0] for line in caplog.records
        ]

    def test_the_earliest_time_is_that_of_all_names(self, agenda: Agenda) -> None:
        """
        The earliest time is that of all names.
        """
        agenda.put_many({"a.org": NOW + MINUTE, "b.org": NOW})

        assert agenda.earliest() == NOW

    def test_an_empty_agenda_has_no_earliest_time(self, agenda: Agenda) -> None:
        """
        An empty agenda has no earliest time and no names.
        """
        assert agenda.earliest() is None
        assert len(agenda) == 0
        assert agenda.names() == []

    def test_a_name_can_be_removed_twice(self, agenda: Agenda) -> None:
        """
        A removed name is not on the agenda. A second removal raises no error.
        """
        agenda.put("a.org", NOW)
        agenda.remove("a.org")
        agenda.remove("a.org")

        assert "a.org" not in agenda

    def test_a_large_agenda_loses_no_name(self, agenda: Agenda) -> None:
        """
        The agenda writes and reads many names in batches, and loses none.
        """
        times = {f"{number}.org": NOW + number * MINUTE for number in range(25_000)}
        agenda.put_many(times)

        assert agenda.next_checks(agenda.names()) == times
        assert agenda.missing([*times, "unknown.org"]) == ["unknown.org"]

    def test_a_postponement_hides_no_name_from_a_reader(self, agenda: Agenda) -> None:
        """
        A reader of all names misses none while other names are postponed.
        """
        names = [f"{number}.org" for number in range(25_000)]
        agenda.put_many({name: NOW + position * MINUTE for position, name in enumerate(names)})
        due, others = names[:3_000], set(names[3_000:])
        stopped = threading.Event()

        def postpone() -> None:
            for number in itertools.count(1):
                if stopped.is_set():
                    return
                later = NOW + number * 5_000 * MINUTE
                agenda.put_many({name: later + position * MINUTE for position, name in enumerate(due)})

        thread = threading.Thread(target=postpone)
        thread.start()
        try:
            for _ in range(5):
                assert others <= set(agenda.names())
        finally:
            stopped.set()
            thread.join()


class TestWake:
    """
    Test the wake-ups that the agenda requests.
    """

    def test_a_batch_requests_one_wake_up(self, agenda: Agenda, woken: list[datetime]) -> None:
        """
        A batch requests one wake-up, at its earliest time.
        """
        agenda.put_many({"a.org": NOW + MINUTE, "b.org": NOW})

        assert woken == [NOW]

    def test_an_empty_batch_requests_no_wake_up(self, agenda: Agenda, woken: list[datetime]) -> None:
        """
        A batch without names requests no wake-up.
        """
        agenda.put_many({})

        assert woken == []
