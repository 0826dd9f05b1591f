"""
Tests of the order of the issuers. tests/test_several_authorities.py tests the failures that lead to the
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
    Return two issuers. No request is sent to their CA.
    """
    return app.issuers[0], app.issuers[0]


class Answers:
    """
    Return the results of the issuers, one after another.
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
    def remaining(self) -> int:
        """
        Return how many results remain.
        """
        return len(self._answers)


def obtain(
    issuers: tuple[Issuer, Issuer], answers: Answers, now: datetime, validity: Validity | None = None
) -> tuple[str, Issuer]:
    """
    Return the first result and its issuer.
    """
    failover = Failover(issuers, NAMES, now, validity)
    for issuer in failover:
        with failover.attempt():
            return answers(issuer), issuer
    raise AssertionError("the last failure ends the pass")


class TestFailover:
    def test_the_issuer_of_a_pending_order_is_first(self, app: App, issuers: tuple[Issuer, Issuer]) -> None:
        """
        The issuer of a pending order is first, because its order may lack only the download.
        """
        orders = issuers[0].pending_orders.orders
        orders.save(NAMES, "https://ca/1", expires=None, reserved=False)

        assert ("yes", issuers[0]) == obtain(issuers, Answers("yes"), app.clock())

    def test_a_configuration_error_of_the_first_issuer_ends_the_pass(
        self, app: App, issuers: tuple[Issuer, Issuer]
    ) -> None:
        """
        A configuration error of the first issuer is raised, and no other issuer is tried.
        """
        answers = Answers(EmailMissing(), "yes")
        with pytest.raises(EmailMissing):
            obtain(issuers, answers, app.clock())

        assert 1 == answers.remaining

    def test_a_configuration_error_of_another_issuer_does_not_hide_an_outage(
        self, app: App, issuers: tuple[Issuer, Issuer]
    ) -> None:
        """
        An outage with an earlier retry is raised instead of a configuration error of another issuer.
        """
        with pytest.raises(CaUnreachable):
            obtain(issuers, Answers(OUTAGE, EmailMissing()), app.clock())

    def test_an_invalid_certificate_ends_the_pass(self, app: App, issuers: tuple[Issuer, Issuer]) -> None:
        """
        A failure that does not depend on the CA is raised, and no other issuer is tried.
        """
        wrong = BadCertificate(name="shop.localhost", reason="its key is another one")
        answers = Answers(wrong, "yes")
        with pytest.raises(BadCertificate):
            obtain(issuers, answers, app.clock())

        assert 1 == answers.remaining

    @pytest.mark.parametrize(("longer", "remaining"), [(timedelta(seconds=-1), 1), (timedelta(seconds=1), 0)])
    def test_a_rate_limit_that_ends_soon_ends_the_pass(
        self, app: App, issuers: tuple[Issuer, Issuer], longer: timedelta, remaining: int
    ) -> None:
        """
        The pass ends if the preferred CA's rate limit resets soon, because another CA changes the chain.
        """
        now = app.clock()
        limit = TooManyOrders(authority="The CA", detail="too many", until=now + PREFERRED_WAIT + longer)
        answers = Answers(limit, "yes")
        if remaining:
            with pytest.raises(TooManyOrders):
                obtain(issuers, answers, now)
        else:
            obtain(issuers, answers, now)

        assert remaining == answers.remaining

    @pytest.mark.parametrize(("left", "remaining"), [(timedelta(minutes=60), 0), (timedelta(days=9), 1)])
    def test_a_rate_limit_that_outlasts_the_certificate_leads_to_the_next_issuer(
        self, app: App, issuers: tuple[Issuer, Issuer], left: timedelta, remaining: int
    ) -> None:
        """
        The next issuer is tried if the certificate in service expires soon after the rate limit.
        """
        now = app.clock()
        validity = Validity(now + left - timedelta(days=90), now + left, "04ab")
        limit = TooManyOrders(authority="The CA", detail="too many", until=now + timedelta(minutes=30))
        answers = Answers(limit, "yes")
        with suppress(TooManyOrders):
            obtain(issuers, answers, now, validity)

        assert remaining == answers.remaining
