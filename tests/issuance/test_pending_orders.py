"""
Tests of the pending orders of a CA: a later attempt resumes an interrupted order.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.app import App
from certworker.devca.messages import Problem
from certworker.errors import CertworkerError
from certworker.errors.acme import BadCertificate
from certworker.errors.ca import CaUnreachable, ServerInternal
from certworker.errors.dns01 import NotConfigured, NotVisible, ProviderFailed
from certworker.issuance.issuer import Issuer
from certworker.issuance.pending_orders import MOST_RESUMPTIONS, _is_over
from tests.servers.fault_injection import Aftermath, Fault, Flaw
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.worker import wait_until

NAME = "shop.localhost"
NAMES = (NAME,)

#: The CA validates only after the second attempt presents the response.
SECOND_ATTEMPT_BEGINS_WITHIN_SECONDS = 2.0


#: The result of a validation at a closed port.
REFUSED = Problem("connection", "Fetching http://shop.localhost/: Connection refused")


NOT_VISIBLE = NotVisible(record=NAME, name=NAME, servers="ns1.localhost", detail="record missing")


def failed(issuer: Issuer, url: str) -> bool | None:
    """
    Return whether the CA has decided that the order at *url* fails. Return None before its decision.
    """
    try:
        issuer.client.resume(url, NAMES)
    except CertworkerError:
        return True
    return None


def request_count(authority: FaultyAuthority, kind: str) -> int:
    """
    Return how many requests of *kind* the CA received.
    """
    return sum(each.kind == kind for each in authority.requests)


def keys_in(app: App) -> list[Path]:
    """
    Return the keys of pending orders.
    """
    return sorted(app.settings.state_dir.glob("orders/*/*.pem"))


@pytest.fixture
def issuer(app: App) -> Issuer:
    """
    Return the only issuer of the app.
    """
    return app.issuers[0]


class TestResume:
    @pytest.mark.parametrize("kind", ["authorization", "challenge", "order", "finalize", "certificate"])
    def test_an_attempt_after_an_outage_resumes_the_order(
        self, app: App, app_authority: FaultyAuthority, kind: str
    ) -> None:
        """
        After an outage of the CA, the next attempt resumes the same order.
        """
        app_authority.faults.validation_seconds = SECOND_ATTEMPT_BEGINS_WITHIN_SECONDS
        app_authority.faults.fail(kind, Fault())
        with pytest.raises(ServerInternal):
            app.issuance.issue(NAMES)

        assert "issued" == app.issuance.issue(NAMES).state
        assert (1, 1) == (
            request_count(app_authority, "newOrder"),
            len({app.issuance.issue(NAMES).metadata.serial}),
        )

    def test_an_attempt_after_a_lost_answer_resumes_the_order(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        After a lost response of the CA, the next attempt downloads the certificate with the stored key.
        """
        app_authority.faults.fail("finalize", Fault(cut=True))
        with pytest.raises(CertworkerError):
            app.issuance.issue(NAMES)
        keys = keys_in(app)
        app.issuance.issue(NAMES)

        assert 1 == len(keys)
        assert (1, 1) == (request_count(app_authority, "newOrder"), request_count(app_authority, "finalize"))

    def test_an_order_that_was_finalized_without_a_poll_is_resumed(
        self, app: App, app_authority: FaultyAuthority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The key is stored before the CA has the signing request. If the answer is lost, the next attempt gets
        the certificate of the same order.
        """
        monkeypatch.setattr("certworker.acme.polling.PROMPT_ORDERS", 0)
        app_authority.faults.fail("finalize", Fault(cut=True))
        with pytest.raises(CaUnreachable):
            app.issuance.issue(NAMES)
        assert ["challenge", "finalize"] == [each.kind for each in app_authority.requests][-2:]
        assert 1 == len(keys_in(app))

        assert "issued" == app.issuance.issue(NAMES).state

        assert 1 == request_count(app_authority, "newOrder")
        assert [] == keys_in(app)

    def test_without_its_key_a_finalized_order_is_replaced(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A finalized order without its key is replaced, because its certificate is useless.
        """
        app_authority.faults.fail("finalize", Fault(cut=True))
        with pytest.raises(CertworkerError):
            app.issuance.issue(NAMES)
        for key in keys_in(app):
            key.unlink()
        app.issuance.issue(NAMES)

        assert 2 == request_count(app_authority, "newOrder")

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1/order/1", "{}/order/unknown", "nonsense", ""])
    def test_an_order_with_an_invalid_url_is_not_resumed(
        self, app: App, issuer: Issuer, app_authority: FaultyAuthority, url: str
    ) -> None:
        """
        A planted URL is not requested, so the worker signs no request for another server.
        """
        planted = url.format(app_authority.directory_url.rpartition("/")[0])
        issuer.pending_orders.orders.save(NAMES, planted, expires=None, reserved=False)
        app.issuance.issue(NAMES)

        assert 1 == request_count(app_authority, "newOrder")

    def test_an_order_for_other_names_is_not_resumed(
        self, app: App, issuer: Issuer, app_authority: FaultyAuthority
    ) -> None:
        """
        A planted order of this account for another name is not resumed.
        """
        other = issuer.client.order(("other.localhost",))
        issuer.pending_orders.orders.save(NAMES, other.url, expires=None, reserved=False)

        assert NAMES == app.issuance.issue(NAMES).metadata.names


class TestFailedOrder:
    @pytest.mark.parametrize("aftermath", Aftermath)
    def test_a_failed_validation_is_followed_by_a_new_order(
        self, app: App, app_authority: FaultyAuthority, aftermath: Aftermath
    ) -> None:
        """
        After a failed validation, the next attempt places a new order, in each state of the old one.
        """
        app_authority.faults.aftermath = aftermath
        app_authority.faults.refusal = REFUSED
        with pytest.raises(CertworkerError) as caught:
            app.issuance.issue(NAMES)
        assert "http.refused" == caught.value.code
        app_authority.faults.reset()

        assert "issued" == app.issuance.issue(NAMES).state
        assert 2 == request_count(app_authority, "newOrder")

    @pytest.mark.parametrize("aftermath", [Aftermath.ORDER_PENDING, Aftermath.AUTHORIZATION_PENDING])
    def test_an_order_that_failed_at_the_ca_is_replaced_at_once(
        self, app: App, issuer: Issuer, app_authority: FaultyAuthority, aftermath: Aftermath
    ) -> None:
        """
        An order that failed at the CA after the attempt is replaced, although its state is `pending`.
        """
        app_authority.faults.aftermath = aftermath
        app_authority.faults.refusal = REFUSED
        app_authority.faults.fail("order", Fault())
        with pytest.raises(ServerInternal):
            app.issuance.issue(NAMES)
        pending = issuer.pending_orders.orders.find(NAMES)
        assert pending is not None
        wait_until(lambda: failed(issuer, pending.url), lambda: "the CA has not decided")
        app_authority.faults.reset()

        assert "issued" == app.issuance.issue(NAMES).state
        assert 2 == request_count(app_authority, "newOrder")

    @pytest.mark.parametrize("kind", ["order", "authorization", "challenge", "finalize", "certificate"])
    def test_a_failed_resumption_leads_to_a_new_order(
        self, app: App, app_authority: FaultyAuthority, kind: str
    ) -> None:
        """
        A resumed order that fails at the CA is replaced in the next attempt.
        """
        app_authority.faults.fail(kind, Fault(), times=2)
        for _ in range(2):
            with pytest.raises(ServerInternal):
                app.issuance.issue(NAMES)
        assert 1 == request_count(app_authority, "newOrder")

        assert "issued" == app.issuance.issue(NAMES).state
        assert 2 == request_count(app_authority, "newOrder")

    def test_an_order_is_resumed_after_several_outages(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        The order is resumed when the CA is reachable, even after several outages.
        """
        app_authority.faults.fail("finalize", Fault(cut=True))
        for _ in range(3):
            with pytest.raises(CaUnreachable):
                app.issuance.issue(NAMES)
            app_authority.stop()
        app_authority.start()

        assert "issued" == app.issuance.issue(NAMES).state
        assert (1, 1) == (request_count(app_authority, "newOrder"), request_count(app_authority, "finalize"))

    def test_an_order_is_resumed_six_times_at_most(
        self, app: App, issuer: Issuer, app_authority: FaultyAuthority
    ) -> None:
        """
        A new order is placed after six resumptions, so an order cannot block its name.
        """
        app_authority.faults.fail("finalize", Fault(cut=True))
        with pytest.raises(CaUnreachable):
            app.issuance.issue(NAMES)
        found = issuer.pending_orders.find(NAMES)
        assert found is not None
        issuer.pending_orders.orders.save(
            NAMES, found.url, expires=None, reserved=False, resumed=MOST_RESUMPTIONS
        )

        assert "issued" == app.issuance.issue(NAMES).state
        assert 2 == request_count(app_authority, "newOrder")

    def test_each_resumption_is_counted_before_its_request(
        self, app: App, issuer: Issuer, app_authority: FaultyAuthority
    ) -> None:
        """
        A resumption is counted before its request, because the worker may crash during it.
        """
        app_authority.faults.fail("finalize", Fault(cut=True))
        with pytest.raises(CaUnreachable):
            app.issuance.issue(NAMES)
        for _ in range(2):
            issuer.pending_orders.resume(NAMES, issuer.pending_orders.find(NAMES))

        pending = issuer.pending_orders.find(NAMES)
        assert pending is not None
        assert 2 == pending.resumed


class TestForce:
    def test_a_forced_request_replaces_the_order_of_a_failed_attempt(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A forced request after a failed attempt places a new order and deletes the key of the old one.
        """
        app_authority.faults.fail("certificate", Fault())
        with pytest.raises(ServerInternal):
            app.issuance.issue(NAMES)

        assert "issued" == app.issuance.issue(NAMES, force=True).state
        assert 2 == request_count(app_authority, "newOrder")
        assert [] == keys_in(app)

    def test_a_repeated_forced_request_resumes_its_order(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        The next attempt for a forced request resumes the order that its first attempt placed.
        """
        app_authority.faults.fail("certificate", Fault())
        with pytest.raises(ServerInternal):
            app.issuance.issue(NAMES, force=True)

        assert "issued" == app.issuance.issue(NAMES, force=True).state
        assert 1 == request_count(app_authority, "newOrder")

    def test_a_forced_request_replaces_the_order_of_an_earlier_request(
        self, app: App, issuer: Issuer, app_authority: FaultyAuthority
    ) -> None:
        """
        A forced request places a new order, even if a killed worker placed one for an earlier request.
        """
        issuer.pending_orders.place(NAMES, None)

        assert "issued" == app.issuance.issue(NAMES, force=True).state
        assert 2 == request_count(app_authority, "newOrder")


class TestCleanup:
    def test_a_finished_order_leaves_no_key(self, app: App, issuer: Issuer) -> None:
        """
        A finished order and its key are deleted.
        """
        app.issuance.issue(NAMES)

        assert issuer.pending_orders.find(NAMES) is None
        assert [] == keys_in(app)

    def test_an_order_with_a_failed_validation_is_deleted(
        self, app: App, issuer: Issuer, app_authority: FaultyAuthority
    ) -> None:
        """
        An order with a failed validation is deleted, because it is invalid at the CA, too.
        """
        with pytest.raises(CertworkerError):
            app.issuance.issue(("unreachable.invalid",))

        assert issuer.pending_orders.find(("unreachable.invalid",)) is None

    def test_an_order_with_an_invalid_certificate_is_replaced(
        self, app: App, issuer: Issuer, app_authority: FaultyAuthority
    ) -> None:
        """
        An order with an invalid certificate is replaced, because it would yield the same certificate.
        """
        app_authority.faults.flaws = frozenset({Flaw.OTHER_KEY})
        with pytest.raises(BadCertificate):
            app.issuance.issue(NAMES)
        app_authority.faults.reset()

        assert "issued" == app.issuance.issue(NAMES).state
        assert 2 == request_count(app_authority, "newOrder")

    def test_a_forced_order_is_resumed_although_no_renewal_is_due(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A forced order is resumed by a later request, although no renewal is due.
        """
        first = app.issuance.issue(NAMES)
        app_authority.faults.fail("certificate", Fault())
        with pytest.raises(CertworkerError):
            app.issuance.issue(NAMES, force=True)
        second = app.issuance.issue(NAMES)

        assert first.metadata.serial != second.metadata.serial
        assert 2 == request_count(app_authority, "newOrder")


class TestDns01:
    @pytest.mark.parametrize(
        ("failure", "over"),
        [
            (ProviderFailed(provider="rfc2136", fqdn=NAME, reason="down"), False),
            (NotConfigured(name=NAME, zone=NAME), False),
            (NOT_VISIBLE.from_preflight(), False),
            (NotVisible(record=NAME, name=NAME, servers="Pebble", detail="no TXT record"), True),
        ],
        ids=["provider failed", "not configured", "not visible to certworker", "not visible to the CA"],
    )
    def test_only_a_failed_validation_ends_an_order(self, failure: CertworkerError, over: bool) -> None:
        """
        A failure of the DNS provider does not end the order, and a failed validation does.
        """
        assert over is _is_over(failure, None)
