"""
Certificates of CAs that others wrote.
"""

from __future__ import annotations

from itertools import count

import pytest

from certworker.app import App
from certworker.certificates import Certificate
from certworker.errors import CertworkerError, Retry
from certworker.errors.ca import CaUnreachable
from tests.interop.authorities import ForeignAuthority
from tests.interop.step_ca import StepCa
from tests.servers.web import Respond, always

NUMBERS = count(1)


@pytest.fixture
def name() -> str:
    """
    A name that no test has used at this CA.
    """
    return f"shop{next(NUMBERS)}.localhost"


def served(app: App, name: str) -> Certificate:
    """
    The certificate in service.
    """
    stored = app.certificates.current(name)
    assert stored is not None
    return stored.certificate


def pending(app: App, *names: str) -> bool:
    """
    Whether an order for these names is pending.
    """
    return any(issuer.pending_orders.find(names) for issuer in app.issuers)


class TestIssue:
    def test_names_are_issued_alone_together_and_again(self, app: App, name: str) -> None:
        """
        The main job, and what a person may insist on.
        """
        names = (name, f"www.{name}", f"api.{name}")

        alone = app.issuance.issue((name,))
        assert "kept" == app.issuance.issue((name,)).state
        again = app.issuance.issue((name,), force=True)
        together = app.issuance.issue(names)

        assert 3 == len({each.metadata.serial for each in (alone, again, together)})
        assert set(names) == set(served(app, name).names)

    def test_an_order_that_was_cut_off_is_resumed(self, app: App, name: str) -> None:
        """
        A worker died after it had placed the order: the next attempt finishes the same one.
        """
        (issuer,) = app.issuers
        placed = issuer.pending_orders.place((name,), None)

        order, reserved = issuer.pending_orders.resume((name,), force=False)

        assert order is not None
        assert (placed.url, True) == (order.url, reserved)
        assert "issued" == app.issuance.issue((name,)).state

    def test_an_order_that_was_cut_off_while_the_ca_validated_is_resumed(self, app: App, name: str) -> None:
        """
        A challenge that is not pending any more is not responded to again.
        """
        (issuer,) = app.issuers
        order = issuer.pending_orders.place((name,), None)
        with issuer.presenting(order.answers):
            order.validate()

        assert "issued" == app.issuance.issue((name,)).state

    def test_a_ca_without_renewal_information_is_no_obstacle(self, app: App, name: str) -> None:
        """
        The renewal is planned by the age of the certificate.
        """
        outcome = app.issuance.issue((name,))

        assert app.clock() < outcome.next_check < outcome.metadata.not_after

    @pytest.mark.parametrize("authority", [StepCa], indirect=True)
    def test_a_policy_of_the_ca_is_reported(self, app: App) -> None:
        """
        The same type of problem as for a wrong answer to a challenge, with another meaning.
        """
        with pytest.raises(CertworkerError) as caught:
            app.issuance.issue(("refused.localhost",))

        assert "name.policy" == caught.value.code


class TestFailedValidation:
    @pytest.mark.parametrize(
        ("respond", "codes"),
        [
            (None, {"http.not_validated", "http.refused"}),
            (always(404, "nothing here"), {"http.not_validated", "http.404"}),
            (always(200, "down for maintenance"), {"http.wrong_body"}),
        ],
        ids=["nothing listens", "404", "another body"],
    )
    def test_the_cause_is_reported_and_the_next_request_is_issued(
        self, app: App, authority: ForeignAuthority, name: str, respond: Respond | None, codes: set[str]
    ) -> None:
        """
        Whatever the CA leaves unfinished: the name has a certificate once the cause has gone.
        """
        with authority.misled(name, respond), pytest.raises(CertworkerError) as caught:
            app.issuance.issue((name,))
        assert caught.value.code in (codes if authority.tells_why else {"http.not_validated"})
        assert Retry.CA is caught.value.retry
        assert authority.tells_why is bool(caught.value.problem)
        assert not pending(app, name)

        assert "issued" == app.issuance.issue((name,)).state

    def test_the_failed_name_of_several_is_named(
        self, app: App, authority: ForeignAuthority, name: str
    ) -> None:
        """
        One wrong record is found without another request.
        """
        names = (name, f"www.{name}", f"api.{name}")
        with (
            authority.misled(names[1], always(200, "Welcome")),
            pytest.raises(CertworkerError) as caught,
        ):
            app.issuance.issue(names)

        assert ("http.wrong_body" if authority.tells_why else "http.not_validated") == caught.value.code
        assert names[1] in caught.value.message
        assert "issued" == app.issuance.issue(names).state

    def test_a_name_that_the_ca_cannot_resolve_is_issued_later(
        self, app: App, authority: ForeignAuthority, name: str
    ) -> None:
        """
        The CA asks other name servers than certworker.
        """
        missing = f"nxdomain.{name}"
        with pytest.raises(CertworkerError) as caught:
            app.issuance.issue((missing,))

        assert caught.value.code in {"http.not_validated", "dns.no_record"}
        assert not pending(app, missing)

    def test_removal_drops_a_pending_order(self, app: App, name: str) -> None:
        """
        A name that comes back begins with a new order.
        """
        (issuer,) = app.issuers
        issuer.pending_orders.place((name,), None)
        app.removal.remove(name)

        assert not pending(app, name)


class TestOutage:
    def test_a_ca_that_is_away_is_reported_as_such(
        self, app: App, authority: ForeignAuthority, name: str
    ) -> None:
        """
        The pending order is finished afterwards.
        """
        (issuer,) = app.issuers
        placed = issuer.pending_orders.place((name,), None)
        with authority.away(), pytest.raises(CaUnreachable):
            app.issuance.issue((name,))
        found = issuer.pending_orders.find((name,))

        assert found is not None
        assert placed.url == found.url
        assert "issued" == app.issuance.issue((name,)).state
