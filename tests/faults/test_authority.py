"""
A CA that fails in the middle of a renewal: at each of its requests, in each of its ways.
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
#: What a first issuance asks a CA for.
KINDS = ("directory", "newNonce", *SIGNED)

#: The pause after a passing fault is some minutes, and longer by chance.
SOON = timedelta(minutes=10)

#: Of a CA that answers later, tests do not wait for the end.
PATIENCE_SECONDS = 0.5


@pytest.fixture
def app(tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int) -> Iterator[App]:
    """
    Open an app with a certificate for NAME in service, which has not connected to its CA yet.
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
    How *renewal* fails.
    """
    with pytest.raises(CertworkerError) as caught:
        renewal()
    return caught.value


def check_failure(app: App, code: str | None = None, within: timedelta = SOON) -> None:
    """
    A renewal for NAME fails with *code*: the old certificate serves on, and the next attempt is soon.
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
    # It may come within seconds: this machine may have been slower.
    assert -SOON < again - app.clock() < within


def check_recovery(app: App, authority: FaultyAuthority) -> None:
    """
    Once the CA behaves, the next attempt renews.
    """
    before = in_service(app, NAME)
    authority.faults.reset()
    outcome = app.issuance.issue((NAME,), force=True)

    assert "issued" == outcome.state
    assert before != in_service(app, NAME) == outcome.metadata.serial


def ordered(authority: FaultyAuthority) -> int:
    """
    How many orders the CA has taken.
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
    def test_each_at_each_request_is_classified_and_gone_on_from(
        self, app: App, app_authority: FaultyAuthority, kind: str, fault: Fault, code: str
    ) -> None:
        """
        An order during an outage of the CA must not lose anything.
        """
        app_authority.faults.fail(kind, fault, times=None)

        check_failure(app, code)
        # Before the end of a limit no order is sent.
        time.sleep(1.5 * (fault.retry_after_seconds or 0))
        check_recovery(app, app_authority)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_web_page_in_the_place_of_an_answer_is_not_taken_for_one(
        self, app: App, app_authority: FaultyAuthority, kind: str
    ) -> None:
        """
        A captive portal answers every request with 200.
        """
        codes = {"directory": "config.wrong_ca_url", "certificate": "acme.bad_cert"}
        app_authority.faults.fail(kind, Fault(200, problem=None), times=None)

        within = timedelta(days=1, hours=6) if kind == "directory" else SOON
        check_failure(app, codes.get(kind, "ca.not_json"), within)
        check_recovery(app, app_authority)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_ca_that_does_not_answer_in_time_is_unreachable(
        self,
        app: App,
        app_authority: FaultyAuthority,
        kind: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        A job that waits without end would block a slot.
        """
        app_authority.faults.slow_seconds = {kind: 4 * PATIENCE_SECONDS}
        with monkeypatch.context() as shorter:
            shorter.setattr(transport, "REQUEST_SECONDS", PATIENCE_SECONDS)
            check_failure(app, "ca.unreachable")
        check_recovery(app, app_authority)


class TestNonces:
    @pytest.mark.parametrize("kind", SIGNED)
    def test_five_bad_ones_in_a_row_are_no_failure(
        self, app: App, app_authority: FaultyAuthority, kind: str
    ) -> None:
        """
        Servers of one CA may disagree for a moment on which nonces are good.
        """
        app_authority.faults.fail(kind, Fault(400, "badNonce"), times=5)

        check_recovery(app, app_authority)

    @pytest.mark.parametrize("kind", SIGNED)
    def test_faults_without_end_are_reported(
        self, app: App, app_authority: FaultyAuthority, kind: str
    ) -> None:
        """
        The requests end.
        """
        app_authority.faults.fail(kind, Fault(400, "badNonce"), times=None)

        check_failure(app, "acme.bad_nonce")
        check_recovery(app, app_authority)


class TestOrders:
    def test_processing_for_a_while_is_waited_for(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        A CA with a queue of its own.
        """
        before = in_service(app, NAME)
        app_authority.faults.processing_polls = 5
        app_authority.faults.processing_seconds = 0.5
        app.issuance.issue((NAME,), force=True)

        assert before != in_service(app, NAME)

    def test_processing_for_minutes_is_left_and_gone_on_with(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        The next attempt downloads the certificate that the CA has signed since, and places no new order.
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
        Nothing becomes of it any more, whatever the CA's reason is.
        """
        app_authority.faults.order_failure = Problem("badCSR", "The key is on a list.")

        check_failure_without_next(app, "acme.bad_csr")
        check_recovery(app, app_authority)

    def test_a_refused_validation_is_tried_again_by_its_policy(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A CA counts failed validations: the second try is minutes later.
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
        An order is valid for a week at most, and an outage may last longer.
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
    def test_a_wrong_one_is_never_installed(
        self, app: App, app_authority: FaultyAuthority, flaw: Flaw
    ) -> None:
        """
        A certificate with a wrong name, key, chain or date is not served.
        """
        app_authority.faults.flaws = frozenset({flaw})

        check_failure(app, "acme.bad_cert")
        check_recovery(app, app_authority)

    def test_a_chain_that_is_missing_is_the_business_of_a_private_ca(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        Its root may sign certificates itself. A public CA has an intermediate, which browsers do not know.
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
    def test_a_clock_that_is_hours_apart_installs_nothing_that_is_not_valid(
        self,
        tmp_path: Path,
        connection: Redis,
        app_authority: FaultyAuthority,
        http_port: int,
        hours: int,
    ) -> None:
        """
        A CA dates certificates back by an hour; beyond that the clock is the failure.
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
    A renewal fails with a *code* after which the same request would get the same answer.
    """
    before = in_service(app, NAME)
    failure = failure_of(lambda: app.issuance.issue((NAME,), force=True))

    assert code == failure.code
    assert before == in_service(app, NAME)
