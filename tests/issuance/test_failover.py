"""
The order in which the issuers are tried. tests/test_several_authorities.py has the failures that lead to the
next one.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

import pytest

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.errors.acme import BadCertificate
from certworker.errors.ca import CaUnreachable
from certworker.errors.config import EmailMissing
from certworker.errors.rate import TooManyOrders
from certworker.issuance.failover import PREFERRED_WAIT, Failover
from certworker.issuance.issuer import Issuer
from certworker.validity import Validity

NAMES = ("shop.localhost",)
OUTAGE = CaUnreachable(host="ca.example.org", reason="refused")


@pytest.fixture
def issuers(app: App) -> tuple[Issuer, Issuer]:
    """
    Return two issuers; no request is sent to their CA.
    """
    return app.issuers[0], app.issuers[0]


class Answers:
    """
    The results of the issuers, one after the other.
    """

    def __init__(self, *answers: str | CertworkerError) -> None:
        self._answers = list(answers)

    def __call__(self, _issuer: Issuer) -> str:
        """
        Return or raise the next result.
        """
        answer = self._answers.pop(0)
        if isinstance(answer, CertworkerError):
            raise answer
        return answer

    @property
    def unheard(self) -> int:
        """
        Return how many issuers were not tried.
        """
        return len(self._answers)


def obtain(
    issuers: tuple[Issuer, Issuer], answers: Answers, now: datetime, validity: Validity | None = None
) -> tuple[str, Issuer]:
    """
    Return the first result, and the issuer that gave it.
    """
    failover = Failover(issuers, NAMES, now, validity)
    for issuer in failover:
        with failover.attempt():
            return answers(issuer), issuer
    raise AssertionError("the last failure ends the pass")


class TestFailover:
    def test_an_order_under_way_comes_first(self, app: App, issuers: tuple[Issuer, Issuer]) -> None:
        """
        The order may lack no more than the download of the certificate.
        """
        orders = issuers[0].pending_orders.orders
        orders.save(NAMES, "https://ca/1", expires=None, reserved=False)

        assert ("yes", issuers[0]) == obtain(issuers, Answers("yes"), app.clock())

    def test_what_is_wrong_with_the_configuration_of_the_first_is_not_passed_over(
        self, app: App, issuers: tuple[Issuer, Issuer]
    ) -> None:
        """
        A failure of the preferred CA is not hidden by the failures of the others.
        """
        answers = Answers(EmailMissing(), "yes")
        with pytest.raises(EmailMissing):
            obtain(issuers, answers, app.clock())

        assert 1 == answers.unheard

    def test_that_of_another_one_does_not_hide_the_outage(
        self, app: App, issuers: tuple[Issuer, Issuer]
    ) -> None:
        """
        The failure with the earliest retry is raised: the next attempt is soon, not the next day.
        """
        with pytest.raises(CaUnreachable):
            obtain(issuers, Answers(OUTAGE, EmailMissing()), app.clock())

    def test_what_has_to_do_with_the_certificate_is_no_reason_to_go_elsewhere(
        self, app: App, issuers: tuple[Issuer, Issuer]
    ) -> None:
        """
        A full disk would fail the order at the next CA, too.
        """
        wrong = BadCertificate(name="shop.localhost", reason="its key is another one")
        answers = Answers(wrong, "yes")
        with pytest.raises(BadCertificate):
            obtain(issuers, answers, app.clock())

        assert 1 == answers.unheard

    @pytest.mark.parametrize(("longer", "unheard"), [(timedelta(seconds=-1), 1), (timedelta(seconds=1), 0)])
    def test_a_limit_is_waited_for_if_it_ends_soon(
        self, app: App, issuers: tuple[Issuer, Issuer], longer: timedelta, unheard: int
    ) -> None:
        """
        Some clients notice another CA, because the chain changes.
        """
        now = app.clock()
        limit = TooManyOrders(authority="The CA", detail="too many", until=now + PREFERRED_WAIT + longer)
        answers = Answers(limit, "yes")
        if unheard:
            with pytest.raises(TooManyOrders):
                obtain(issuers, answers, now)
        else:
            obtain(issuers, answers, now)

        assert unheard == answers.unheard

    @pytest.mark.parametrize(("left", "unheard"), [(timedelta(minutes=60), 0), (timedelta(days=9), 1)])
    def test_nothing_is_waited_for_that_outlasts_the_certificate(
        self, app: App, issuers: tuple[Issuer, Issuer], left: timedelta, unheard: int
    ) -> None:
        """
        The limit ends in half an hour, and the certificate in service expires soon afterwards.
        """
        now = app.clock()
        validity = Validity(now + left - timedelta(days=90), now + left, "04ab")
        limit = TooManyOrders(authority="The CA", detail="too many", until=now + timedelta(minutes=30))
        answers = Answers(limit, "yes")
        with suppress(TooManyOrders):
            obtain(issuers, answers, now, validity)

        assert unheard == answers.unheard
