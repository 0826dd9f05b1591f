"""
The next check of each name.
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
    Return the times for which a wake-up was requested.
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
    Names whose next check has come are due.
    """

    def test_the_earliest_comes_first_and_the_future_not_at_all(self, agenda: Agenda) -> None:
        """
        After an outage the names that waited longest are checked first.
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

    def test_no_more_than_asked_for(self, agenda: Agenda) -> None:
        """
        One pass reads a limited number, so that a new request does not wait behind 50,000 names.
        """
        agenda.put_many({f"{number}.org": NOW - number * MINUTE for number in range(9)})

        assert agenda.due(NOW, 2) == ["8.org", "7.org"]

    def test_an_earlier_moment_is_kept_where_the_new_one_is_a_latest_one(self, agenda: Agenda) -> None:
        """
        A waiting request does not postpone a renewal that is planned sooner.
        """
        agenda.put_many({"sooner.org": NOW, "later.org": NOW + 2 * MINUTE})
        late = dict.fromkeys(["sooner.org", "later.org", "new.org"], NOW + MINUTE)

        agenda.put_many(late, at_the_latest=True)

        assert agenda.next_checks(agenda.names()) == late | {"sooner.org": NOW}

    def test_names_that_are_planned_for_never_are_found(
        self, agenda: Agenda, connection: redis.Redis
    ) -> None:
        """
        Older versions stored infinity for refused names; any writer can store the year 9999.
        """
        agenda.put_many({"now.org": NOW, "edge.org": NOW + MINUTE})
        connection.zadd(AGENDA, {"refused.org": float("inf"), "far.org": 1e300})

        assert agenda.planned_after(NOW + MINUTE, 10) == ["refused.org", "far.org"]
        assert agenda.planned_after(NOW + MINUTE, 1) == ["refused.org"]

    def test_a_member_that_is_no_text_is_thrown_out(self, agenda: Agenda, connection: redis.Redis) -> None:
        """
        An invalid member is removed, because it would always be due.
        """
        connection.zadd(AGENDA, {b"\xff\xfe": 1})
        agenda.put("a.org", NOW)

        assert agenda.due(NOW, 10) == ["a.org"]
        assert len(agenda) == 1


#: What other programs may write.
NO_NAMES: list[Any] = [
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


class TestMoments:
    """
    Names that are on the agenda are not missing.
    """

    def test_a_moment_comes_back_as_it_was_put(self, agenda: Agenda) -> None:
        """
        A time that was rounded would make a name due too early.
        """
        agenda.put("a.org", NOW + timedelta(microseconds=250_000))

        assert agenda.next_check("a.org") == NOW + timedelta(microseconds=250_000)

    def test_a_new_moment_takes_the_place_of_the_old(self, agenda: Agenda) -> None:
        """
        Each name has one next check.
        """
        agenda.put("a.org", NOW)
        agenda.put("a.org", NOW + MINUTE)

        assert agenda.next_checks(agenda.names()) == {"a.org": NOW + MINUTE}

    def test_an_unknown_name_has_none(self, agenda: Agenda) -> None:
        """
        No check is planned for a name that was never requested.
        """
        assert agenda.next_check("unknown.org") is None
        assert "unknown.org" not in agenda

    @pytest.mark.parametrize("score", ["inf", "1e300"])
    def test_a_score_that_is_no_moment_is_none(
        self, agenda: Agenda, connection: redis.Redis, score: str
    ) -> None:
        """
        Other programs can write to Redis; the status is still shown.
        """
        connection.zadd(AGENDA, {"odd.org": float(score)})

        assert agenda.next_checks(agenda.names()) == {"odd.org": None}

    @pytest.mark.parametrize("score", ["-inf", "-1e300", "-1"])
    def test_a_score_before_all_time_is_due(
        self, agenda: Agenda, connection: redis.Redis, score: str
    ) -> None:
        """
        An invalid member does not hide the names after it.
        """
        connection.zadd(AGENDA, {"odd.org": float(score), "a.org": NOW.timestamp()})

        assert agenda.earliest() == datetime(1970, 1, 1, tzinfo=UTC)
        assert agenda.due(NOW, 10) == ["odd.org", "a.org"]

    @pytest.mark.parametrize("read", ["due", "names", "beyond"])
    def test_what_is_no_name_is_removed_wherever_it_is_read(
        self, agenda: Agenda, connection: redis.Redis, caplog: pytest.LogCaptureFixture, read: str
    ) -> None:
        """
        One line has the number of removed members; the valid names stay.
        """
        score = NOW.timestamp()
        connection.zadd(AGENDA, dict.fromkeys([*NO_NAMES, "a.org", "2001:db8::1"], score))
        reading: dict[str, Callable[[], list[str]]] = {
            "due": lambda: agenda.due(NOW, 3_000),
            "names": agenda.names,
            "beyond": lambda: agenda.planned_after(NOW - MINUTE, 3_000),
        }

        assert {"a.org", "2001:db8::1"} == set(reading[read]())

        assert 2 == len(agenda)
        assert [f"removed {len(NO_NAMES)} entries from the agenda that are no names"] == [
            line.getMessage().partition(",")[0] for line in caplog.records
        ]

    def test_the_earliest_of_all(self, agenda: Agenda) -> None:
        """
        The log shows the time of the next check.
        """
        agenda.put_many({"a.org": NOW + MINUTE, "b.org": NOW})

        assert agenda.earliest() == NOW

    def test_an_empty_agenda_has_no_earliest(self, agenda: Agenda) -> None:
        """
        Redis may be emptied at any time.
        """
        assert agenda.earliest() is None
        assert len(agenda) == 0
        assert agenda.names() == []

    def test_a_removed_name_is_unknown(self, agenda: Agenda) -> None:
        """
        Two workers may remove the same name.
        """
        agenda.put("a.org", NOW)
        agenda.remove("a.org")
        agenda.remove("a.org")

        assert "a.org" not in agenda

    def test_all_of_many_names(self, agenda: Agenda) -> None:
        """
        A large agenda is written and read in batches without losing a name between two of them.
        """
        moments = {f"{number}.org": NOW + number * MINUTE for number in range(25_000)}
        agenda.put_many(moments)

        assert agenda.next_checks(agenda.names()) == moments
        assert agenda.missing([*moments, "unknown.org"]) == ["unknown.org"]

    def test_reading_some_names_hides_none_of_the_others(self, agenda: Agenda) -> None:
        """
        Checks postpone thousands of names while all names are read, and no name is missed.
        """
        names = [f"{number}.org" for number in range(25_000)]
        agenda.put_many({name: NOW + place * MINUTE for place, name in enumerate(names)})
        due, others = names[:3_000], set(names[3_000:])
        stopped = threading.Event()

        def look() -> None:
            for number in itertools.count(1):
                if stopped.is_set():
                    return
                later = NOW + number * 5_000 * MINUTE
                agenda.put_many({name: later + place * MINUTE for place, name in enumerate(due)})

        looks = threading.Thread(target=look)
        looks.start()
        try:
            for _ in range(5):
                assert others <= set(agenda.names())
        finally:
            stopped.set()
            looks.join()


class TestWake:
    """
    The reader is woken at the time of the earliest check.
    """

    def test_the_earliest_of_the_moments(self, agenda: Agenda, woken: list[datetime]) -> None:
        """
        A batch causes one wake-up, not one for each name.
        """
        agenda.put_many({"a.org": NOW + MINUTE, "b.org": NOW})

        assert woken == [NOW]

    def test_no_moment_wakes_nothing(self, agenda: Agenda, woken: list[datetime]) -> None:
        """
        A check without names plans nothing.
        """
        agenda.put_many({})

        assert woken == []
