"""
Certificates of CAs of other projects.
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
    Return a name that no test has used at this CA.
    """
    return f"shop{next(NUMBERS)}.localhost"


def served(app: App, name: str) -> Certificate:
    """
    Return the certificate in service.
    """
    stored = app.certificates.current(name)
    assert stored is not None
    return stored.certificate


def pending(app: App, *names: str) -> bool:
    """
    Return whether an order for *names* is pending.
    """
    return any(issuer.pending_orders.find(names) for issuer in app.issuers)


class TestIssue:
    def test_names_are_issued_alone_together_and_again(self, app: App, name: str) -> None:
        """
        certworker issues one name, several names, and a forced renewal.
        """
        names = (name, f"www.{name}", f"api.{name}")

        alone = app.issuance.issue((name,))
        assert "kept" == app.issuance.issue((name,)).state
        again = app.issuance.issue((name,), force=True)
        together = app.issuance.issue(names)

        assert 3 == len({each.metadata.serial for each in (alone, again, together)})
        assert set(names) == set(served(app, name).names)

    def test_an_interrupted_order_is_resumed(self, app: App, name: str) -> None:
        """
        The next attempt completes the order of a worker that died after it placed the order.
        """
        (issuer,) = app.issuers
        placed = issuer.pending_orders.place((name,), None)

        found = issuer.pending_orders.find((name,))
        order, reserved = issuer.pending_orders.resume((name,), found)

        assert order is not None
        assert (placed.url, True) == (order.url, reserved)
        assert "issued" == app.issuance.issue((name,)).state

    def test_an_order_that_was_interrupted_during_validation_is_resumed(self, app: App, name: str) -> None:
        """
        The next attempt completes the order, and does not respond again to a challenge that is not pending.
        """
        (issuer,) = app.issuers
        order = issuer.pending_orders.place((name,), None)
        with issuer.presenting(order.responses):
            order.validate()

        assert "issued" == app.issuance.issue((name,)).state

    def test_a_ca_without_renewal_information_is_supported(self, app: App, name: str) -> None:
        """
        The age of the certificate determines its renewal if the CA has no renewal information.
        """
        outcome = app.issuance.issue((name,))

        assert app.clock() < outcome.next_check < outcome.metadata.not_after

    @pytest.mark.parametrize("authority", [StepCa], indirect=True)
    def test_a_policy_of_the_ca_is_reported(self, app: App) -> None:
        """
        certworker reports a rejection by the policy of the CA, and not a failed validation.
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
        certworker reports the cause of a failed validation. The next request after its end succeeds.
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
        The failure of an order with several names contains the name whose validation failed.
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
        A name that only the CA cannot resolve fails, and is issued after the name server has it.
        """
        missing = f"nxdomain.{name}"
        with pytest.raises(CertworkerError) as caught:
            app.issuance.issue((missing,))

        assert caught.value.code in {"http.not_validated", "dns.no_record"}
        assert not pending(app, missing)

    def test_removal_drops_a_pending_order(self, app: App, name: str) -> None:
        """
        A removal deletes the pending order of the name.
        """
        (issuer,) = app.issuers
        issuer.pending_orders.place((name,), None)
        app.removal.remove(name)

        assert not pending(app, name)


class TestOutage:
    def test_an_unreachable_ca_is_reported(self, app: App, authority: ForeignAuthority, name: str) -> None:
        """
        certworker reports an unreachable CA, and completes the pending order after the outage.
        """
        (issuer,) = app.issuers
        placed = issuer.pending_orders.place((name,), None)
        with authority.away(), pytest.raises(CaUnreachable):
            app.issuance.issue((name,))
        found = issuer.pending_orders.find((name,))

        assert found is not None
        assert placed.url == found.url
        assert "issued" == app.issuance.issue((name,)).state
