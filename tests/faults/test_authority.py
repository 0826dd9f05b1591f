"""
A CA that fails during a renewal, with each fault at each request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from certworker.acme import transport
from certworker.app import App
from certworker.devca.messages import Problem
from certworker.errors import CertworkerError, Retry
from tests.app_fixture import open_app
from tests.faults.service import NAME, in_service
from tests.servers.fault_injection import Fault, Flaw
from tests.servers.faulty_authority import FaultyAuthority

SIGNED = ("newAccount", "newOrder", "authorization", "challenge", "order", "finalize", "certificate")
#: The kinds of requests of a first issuance.
KINDS = ("directory", "newNonce", *SIGNED)

#: The highest pause after a temporary fault. It has a random part.
SOON = timedelta(minutes=10)

#: The timeout of a request, which is shorter than in production.
PATIENCE_SECONDS = 0.5


@pytest.fixture
def app(tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int) -> Iterator[App]:
    """
    Open an app with a certificate for NAME in service. It has not connected to its CA yet.
    """
    with open_app(tmp_path, connection, app_authority.directory_url, http_port) as former:
        former.issuance.issue((NAME,))
    for file in (tmp_path / "state").rglob("*"):
        if file.is_file():
            file.unlink()
    with open_app(tmp_path, connection, app_authority.directory_url, http_port) as opened:
        yield opened


def failure_of(renewal: Callable[[], object]) -> CertworkerError:
    """
    Return the failure of *renewal*.
    """
    with pytest.raises(CertworkerError) as caught:
        renewal()
    return caught.value


def check_failure(app: App, code: str | None = None, within: timedelta = SOON) -> None:
    """
    Assert that a renewal fails with *code*, the certificate stays in service, and the next attempt is
    *within*.
    """
    before = in_service(app, NAME)
    failure = failure_of(lambda: app.issuance.issue((NAME,), force=True))
    record = app.records.read(NAME)

    assert code in (None, failure.code), failure
    assert before == in_service(app, NAME)
    assert record is not None
    state = "waiting" if failure.retry is Retry.UNTIL else "failed"
    assert (state, failure.code) == (record.state, record.code)
    again = app.agenda.next_check(NAME)
    assert again is not None
    # On a slow machine, the time may be in the past.
    assert -SOON < again - app.clock() < within


def check_recovery(app: App, authority: FaultyAuthority) -> None:
    """
    Assert that a renewal succeeds after the end of the faults.
    """
    before = in_service(app, NAME)
    authority.faults.reset()
    outcome = app.issuance.issue((NAME,), force=True)

    assert "issued" == outcome.state
    assert before != in_service(app, NAME) == outcome.metadata.serial


def ordered(authority: FaultyAuthority) -> int:
    """
    Return the number of orders that the CA accepted.
    """
    return sum(asked.kind == "newOrder" and asked.status == 201 for asked in authority.requests)


class TestOutages:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (Fault(500), "ca.server_internal"),
            (Fault(503, problem=None), "ca.maintenance"),
            (Fault(503, problem=None, retry_after_seconds=1), "rate.busy"),
            (Fault(cut=True), "ca.unreachable"),
        ],
        ids=["500", "503", "503-retry-after", "cut"],
    )
    def test_an_outage_at_each_request_has_its_code_and_ends(
        self, app: App, app_authority: FaultyAuthority, kind: str, fault: Fault, code: str
    ) -> None:
        """
        A renewal during an outage fails with the code of the outage, and succeeds after its end.
        """
        app_authority.faults.fail(kind, fault, times=None)

        check_failure(app, code)
        # certworker sends no order before a limit resets.
        time.sleep(1.5 * (fault.retry_after_seconds or 0))
        check_recovery(app, app_authority)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_web_page_instead_of_a_response_is_reported(
        self, app: App, app_authority: FaultyAuthority, kind: str
    ) -> None:
        """
        A web page with status 200, as from a captive portal, is a failure, and the next renewal succeeds.
        """
        codes = {"directory": "config.wrong_ca_url", "certificate": "acme.bad_cert"}
        app_authority.faults.fail(kind, Fault(200, problem=None), times=None)

        within = timedelta(days=1, hours=6) if kind == "directory" else SOON
        check_failure(app, codes.get(kind, "ca.not_json"), within)
        check_recovery(app, app_authority)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_ca_that_does_not_respond_in_time_is_unreachable(
        self,
        app: App,
        app_authority: FaultyAuthority,
        kind: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        A renewal fails if the CA does not respond in time, so that a job does not block its slot.
        """
        app_authority.faults.slow_seconds = {kind: 4 * PATIENCE_SECONDS}
        with monkeypatch.context() as shorter:
            shorter.setattr(transport, "REQUEST_SECONDS", PATIENCE_SECONDS)
            check_failure(app, "ca.unreachable")
        check_recovery(app, app_authority)


class TestNonces:
    @pytest.mark.parametrize("kind", SIGNED)
    def test_five_bad_nonces_in_a_row_do_not_fail_a_renewal(
        self, app: App, app_authority: FaultyAuthority, kind: str
    ) -> None:
        """
        A renewal succeeds after five bad nonces in a row, which a CA with several servers may report.
        """
        app_authority.faults.fail(kind, Fault(400, "badNonce"), times=5)

        check_recovery(app, app_authority)

    @pytest.mark.parametrize("kind", SIGNED)
    def test_endless_bad_nonces_are_reported(
        self, app: App, app_authority: FaultyAuthority, kind: str
    ) -> None:
        """
        A renewal fails if the CA rejects each nonce, and succeeds after the end of the fault.
        """
        app_authority.faults.fail(kind, Fault(400, "badNonce"), times=None)

        check_failure(app, "acme.bad_nonce")
        check_recovery(app, app_authority)


class TestOrders:
    def test_an_order_that_needs_time_is_completed(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        A renewal waits for an order that the CA processes for a while.
        """
        before = in_service(app, NAME)
        app_authority.faults.processing_polls = 5
        app_authority.faults.processing_seconds = 0.5
        app.issuance.issue((NAME,), force=True)

        assert before != in_service(app, NAME)

    def test_an_order_that_needs_minutes_is_resumed_later(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        The next attempt downloads the certificate that the CA has signed in the meantime, without a new
        order.
        """
        began, origin = time.monotonic(), datetime.now(UTC)

        def fast() -> datetime:
            return origin + 60 * timedelta(seconds=time.monotonic() - began)

        url = app_authority.directory_url
        with open_app(tmp_path, connection, url, http_port, clock=fast) as app:
            app.issuance.issue((NAME,))
            app_authority.faults.processing_seconds = 3.0
            check_failure(app, "acme.pending_timeout", timedelta(hours=1))
            before = ordered(app_authority)
        app_authority.faults.reset()
        with open_app(tmp_path, connection, url, http_port) as app:
            outcome = app.issuance.issue((NAME,), force=True)

        assert "issued" == outcome.state
        assert ordered(app_authority) <= before + 1

    def test_an_invalid_order_is_reported_with_its_reason_and_ordered_again(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A renewal reports the reason of an invalid order, and the next attempt places a new order.
        """
        app_authority.faults.order_failure = Problem("badCSR", "The key is on a list.")

        check_failure_without_next(app, "acme.bad_csr")
        check_recovery(app, app_authority)

    def test_a_failed_validation_is_retried_by_its_policy(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        The next attempt after a failed validation is minutes later, because a CA limits failed validations.
        """
        app_authority.faults.refusal = Problem("unauthorized", "Invalid response from …: 404")

        check_failure(app, "http.404")
        check_recovery(app, app_authority)

    @pytest.mark.parametrize(
        ("kind", "fault"),
        [
            ("order", Fault(404, "malformed", detail="This order has expired.")),
            ("order", Fault(403, "unauthorized", detail="This order is not yours.")),
        ],
        ids=["expired", "foreign"],
    )
    def test_an_order_that_has_ended_is_replaced_by_a_new_one(
        self, app: App, app_authority: FaultyAuthority, kind: str, fault: Fault
    ) -> None:
        """
        The next attempt places a new order if the CA has deleted the pending one.
        """
        app_authority.faults.fail("finalize", Fault(503), times=None)
        check_failure(app, "ca.maintenance")
        before = ordered(app_authority)
        app_authority.faults.reset()
        app_authority.faults.fail(kind, fault)
        outcome = app.issuance.issue((NAME,))

        assert "issued" == outcome.state
        assert before + 1 == ordered(app_authority)


class TestCertificates:
    @pytest.mark.parametrize(
        "flaw",
        [flaw for flaw in Flaw if flaw is not Flaw.CHAIN_MISSING],
        ids=lambda flaw: flaw.name.lower(),
    )
    def test_a_wrong_certificate_is_never_installed(
        self, app: App, app_authority: FaultyAuthority, flaw: Flaw
    ) -> None:
        """
        A certificate with a wrong name, key, chain or date is a failure, and the old one stays in service.
        """
        app_authority.faults.flaws = frozenset({flaw})

        check_failure(app, "acme.bad_cert")
        check_recovery(app, app_authority)

    def test_a_certificate_without_a_chain_is_accepted_from_a_private_ca_only(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        certworker accepts a certificate without a chain from a private CA, and rejects it from a public CA.
        """
        app_authority.faults.flaws = frozenset({Flaw.CHAIN_MISSING})
        (issuer,) = app.issuers
        public = replace(issuer, ca=replace(issuer.ca, kind="public"), check_eligible=lambda: None)
        issuance = replace(app.issuance, issuers=[public])
        assert "acme.bad_cert" == failure_of(lambda: issuance.issue((NAME,), force=True)).code

        assert "issued" == app.issuance.issue((NAME,), force=True).state
        stored = app.certificates.current(NAME)
        assert stored is not None
        assert b"" == stored.certificate.chain_pem
        assert "kept" == app.issuance.issue((NAME,)).state

    @pytest.mark.parametrize("hours", [-3, -1, 1, 3])
    def test_a_clock_error_of_hours_installs_no_invalid_certificate(
        self,
        tmp_path: Path,
        connection: Redis,
        app_authority: FaultyAuthority,
        http_port: int,
        hours: int,
    ) -> None:
        """
        A clock error of one hour is tolerated. After an error of three hours, certworker reports the clock.
        """
        apart = timedelta(hours=hours)

        def clock() -> datetime:
            return datetime.now(UTC) + apart - timedelta(seconds=5 * (apart > timedelta()))

        url = app_authority.directory_url
        with open_app(tmp_path, connection, url, http_port, clock=clock) as app:
            if abs(hours) == 3:
                failure = failure_of(lambda: app.issuance.issue((NAME,)))
                assert "clock.skew" == failure.code
                assert app.traefik.files(NAME) is None
                assert 0 == ordered(app_authority)
            else:
                assert "issued" == app.issuance.issue((NAME,)).state


def check_failure_without_next(app: App, code: str) -> None:
    """
    Assert that a renewal fails with *code*, and that the certificate stays in service.
    """
    before = in_service(app, NAME)
    failure = failure_of(lambda: app.issuance.issue((NAME,), force=True))

    assert code == failure.code
    assert before == in_service(app, NAME)
