"""
Which desk is asked. Who is asked after which failure stands in tests/test_several_authorities.py.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from certworker.assembly import House
from certworker.desks.desk import Desk
from certworker.desks.turns import WORTH_WAITING, first_that_can
from certworker.errors import CertworkerError
from certworker.errors.authority import AuthorityUnreachable, BadCertificate
from certworker.errors.configuration import EmailMissing
from certworker.errors.limits import TooManyOrders
from certworker.renewal import Life

NAMES = ("shop.localhost",)
OUTAGE = AuthorityUnreachable(host="ca.example.org", reason="refused")


@pytest.fixture
def desks(house: House) -> tuple[Desk, Desk]:
    """
    Two of them; nothing is asked of their CA here.
    """
    return house.desks[0], house.desks[0]


class Answers:
    """
    What the desks say, one after the other.
    """

    def __init__(self, *answers: str | CertworkerError) -> None:
        self._answers = list(answers)

    def __call__(self, _desk: Desk) -> str:
        """
        The next answer.
        """
        answer = self._answers.pop(0)
        if isinstance(answer, CertworkerError):
            raise answer
        return answer

    @property
    def unheard(self) -> int:
        """
        How many desks were not asked.
        """
        return len(self._answers)


class TestFirstThatCan:
    def test_an_order_under_way_comes_first(self, house: House, desks: tuple[Desk, Desk]) -> None:
        """
        It may lack no more than the download.
        """
        orders = desks[0].under_way.orders
        orders.keep(NAMES, "https://ca/1", expires=None, reserved=False, now=house.clock())

        assert ("yes", desks[0]) == first_that_can(desks, NAMES, Answers("yes"), house.clock())

    def test_what_is_wrong_with_the_configuration_of_the_first_is_not_passed_over(
        self, house: House, desks: tuple[Desk, Desk]
    ) -> None:
        """
        The others are there for need, not to hide it.
        """
        answers = Answers(EmailMissing(), "yes")
        with pytest.raises(EmailMissing):
            first_that_can(desks, NAMES, answers, house.clock())

        assert 1 == answers.unheard

    def test_that_of_another_one_does_not_hide_the_outage(
        self, house: House, desks: tuple[Desk, Desk]
    ) -> None:
        """
        The next attempt is soon, not tomorrow.
        """
        with pytest.raises(AuthorityUnreachable):
            first_that_can(desks, NAMES, Answers(OUTAGE, EmailMissing()), house.clock())

    def test_what_has_to_do_with_the_certificate_is_no_reason_to_go_elsewhere(
        self, house: House, desks: tuple[Desk, Desk]
    ) -> None:
        """
        The CA did its part; an order more would not mend ours.
        """
        wrong = BadCertificate(name="shop.localhost", reason="its key is another one")
        answers = Answers(wrong, "yes")
        with pytest.raises(BadCertificate):
            first_that_can(desks, NAMES, answers, house.clock())

        assert 1 == answers.unheard

    @pytest.mark.parametrize(("longer", "unheard"), [(timedelta(seconds=-1), 1), (timedelta(seconds=1), 0)])
    def test_a_limit_is_waited_for_if_it_ends_soon(
        self, house: House, desks: tuple[Desk, Desk], longer: timedelta, unheard: int
    ) -> None:
        """
        A change of the CA is a change of the chain, which some clients notice.
        """
        now = house.clock()
        limit = TooManyOrders(authority="The CA", detail="too many", until=now + WORTH_WAITING + longer)
        answers = Answers(limit, "yes")
        if unheard:
            with pytest.raises(TooManyOrders):
                first_that_can(desks, NAMES, answers, now)
        else:
            first_that_can(desks, NAMES, answers, now)

        assert unheard == answers.unheard

    @pytest.mark.parametrize(("left", "unheard"), [(timedelta(minutes=60), 0), (timedelta(days=9), 1)])
    def test_nothing_is_waited_for_that_outlasts_the_certificate(
        self, house: House, desks: tuple[Desk, Desk], left: timedelta, unheard: int
    ) -> None:
        """
        The limit ends in half an hour, and the certificate in service soon afterwards.
        """
        now = house.clock()
        life = Life(now + left - timedelta(days=90), now + left, "04ab")
        limit = TooManyOrders(authority="The CA", detail="too many", until=now + timedelta(minutes=30))
        answers = Answers(limit, "yes")
        with suppress(TooManyOrders):
            first_that_can(desks, NAMES, answers, now, life)

        assert unheard == answers.unheard
