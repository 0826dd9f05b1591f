"""
Test renewal information (ARI), which the client requests when the CA allows, and which never prevents a
renewal.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certworker.acme import renewal_info
from certworker.app import App
from certworker.devca.messages import Request
from certworker.devca.policy import Window
from certworker.validity import Validity
from tests.acme.clients import client_of, issued
from tests.servers.development import ChallengeServer
from tests.servers.fault_injection import Fault
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.oddities import Oddity, odd_server
from tests.servers.tampering import refusing

NAME = "shop.localhost"


@dataclass
class SteppedClock:
    """
    A clock that a test moves.
    """

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> SteppedClock:
    """
    Return a clock that only the test moves.
    """
    return SteppedClock(datetime.now(UTC))


def number_of(authority: FaultyAuthority, kind: str) -> int:
    """
    Return the number of requests for *kind*.
    """
    return sum(each.kind == kind for each in authority.requests)


class TestOptional:
    def test_an_unexpected_error_costs_no_certificate(
        self, app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The certificate is in service and the error is logged. The suggestion of a CA is optional.
        """

        def fail(_reply: object) -> None:
            raise RecursionError("a fault of certworker")

        monkeypatch.setattr(renewal_info, "_window", fail)

        outcome = app.issuance.issue((NAME,))

        assert "issued" == outcome.state
        assert outcome.next_check > app.clock()
        assert "RecursionError: a fault of certworker" in caplog.text


class TestSuggestion:
    def test_a_window_is_requested_after_issuance_and_cached_until_retry_after(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        The client requests the window once after issuance, and again after Retry-After (RFC 9773,
        section 4.3).
        """
        metadata = app.issuance.issue((NAME,)).metadata
        first = app.issuers[0].client.renewal_suggestion(metadata.renewal_id, (NAME,))
        second = app.issuers[0].client.renewal_suggestion(metadata.renewal_id, (NAME,))

        assert first is not None
        assert first is second
        assert first.window is not None
        assert metadata.not_before < first.window.start < first.window.end < metadata.not_after
        assert 1 == number_of(app_authority, "renewalInfo")
        assert timedelta(seconds=50) < first.retry_after - app.clock() <= timedelta(days=1)

    def test_the_suggestion_for_a_replaced_certificate_is_forgotten(self, app: App) -> None:
        """
        A worker that renews for years stores one suggestion for each certificate in service.
        """
        issued_ids = {app.issuance.issue((NAME,), force=True).metadata.renewal_id for _ in range(3)}

        (suggestion,) = app.issuers[0].client._renewal_info._known.values()
        assert suggestion.renewal_id in issued_ids
        assert 3 == len(issued_ids)

    def test_the_next_request_to_an_unreachable_ca_is_scheduled(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        Without a suggestion, the lifetime decides about the renewal, and the next request is
        scheduled.
        """
        metadata = app.issuance.issue((NAME,)).metadata
        app_authority.stop()
        suggestion = app.issuers[0].client.renewal_suggestion("unknown.certificate", (NAME,))

        assert suggestion is not None
        assert suggestion.window is None
        assert suggestion.retry_after > app.clock()
        assert not app.issuance.decide(metadata, app.clock()).due


class TestMovedWindow:
    def test_a_moved_window_is_logged_with_the_reason_of_the_ca(
        self,
        clock: SteppedClock,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        A moved window is logged once, with the CA's page about the reason.
        """
        client = client_of(authority.directory_url, tmp_path, clock=clock)
        certificate = issued(client, challenge_server, NAME)
        first = client.renewal_suggestion(certificate.renewal_id, (NAME,))
        start = clock.now - timedelta(hours=2)
        moved = Window(start, start + timedelta(hours=1), "https://ca.example.org/incident")
        authority.policy.windows[NAME] = moved

        clock.now += timedelta(days=1)
        with caplog.at_level(logging.WARNING):
            second = client.renewal_suggestion(certificate.renewal_id, (NAME,))
            clock.now += timedelta(days=1)
            client.renewal_suggestion(certificate.renewal_id, (NAME,))

        assert first is not None
        assert second is not None
        assert second.window is not None
        assert first.window != second.window
        assert second.window.end < clock.now
        (message,) = [record.getMessage() for record in caplog.records]
        assert "https://ca.example.org/incident" in message

    def test_the_reason_is_logged_at_the_first_check_as_well(
        self,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        The first window of a new process is logged with its reason, because the worker may have
        restarted.
        """
        client = client_of(authority.directory_url, tmp_path)
        certificate = issued(client, challenge_server, NAME)
        start = certificate.not_before
        authority.policy.windows[""] = Window(start, start + timedelta(days=1), "https://ca.example.org/why")

        with caplog.at_level(logging.WARNING):
            client.renewal_suggestion(certificate.renewal_id, (NAME,))

        assert ["https://ca.example.org/why"] == [
            record.getMessage().rpartition(" ")[2] for record in caplog.records
        ]


class TestSilence:
    def test_an_unreachable_ca_gets_one_request_for_all_names(
        self, clock: SteppedClock, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        One failed request pauses the requests for all names, so a thousand names need no thousand
        timeouts.
        """
        client = client_of(authority.directory_url, tmp_path, clock=clock)
        authority.faults.fail("renewalInfo", Fault(503, None), times=None)

        for _ in range(3):
            suggestions = [client.renewal_suggestion(f"aki.{each}", (NAME,)) for each in range(100)]
            assert {None} == {suggestion.window for suggestion in suggestions if suggestion}
            clock.now += timedelta(seconds=61)

        assert 2 == number_of(authority, "renewalInfo")

    def test_pauses_grow_to_six_hours_and_end_with_a_response(
        self,
        clock: SteppedClock,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        tmp_path: Path,
    ) -> None:
        """
        The pause doubles after each failure, up to six hours, and a response ends it (RFC 9773,
        section 4.3.3).
        """
        client = client_of(authority.directory_url, tmp_path, clock=clock)
        certificate = issued(client, challenge_server, NAME)
        authority.faults.fail("renewalInfo", Fault(), times=12)
        pauses = []
        for _ in range(12):
            suggestion = client.renewal_suggestion(certificate.renewal_id, (NAME,))
            assert suggestion is not None
            pauses.append((suggestion.retry_after - clock.now) / timedelta(minutes=1))
            clock.now = suggestion.retry_after

        answered = client.renewal_suggestion(certificate.renewal_id, (NAME,))

        assert [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360] == pauses
        assert answered is not None
        assert answered.window is not None

    def test_the_cached_window_stays(
        self,
        clock: SteppedClock,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        tmp_path: Path,
    ) -> None:
        """
        The cached window stays while the CA is unreachable, so the time of the renewal does not
        change.
        """
        client = client_of(authority.directory_url, tmp_path, clock=clock)
        certificate = issued(client, challenge_server, NAME)
        before = client.renewal_suggestion(certificate.renewal_id, (NAME,))
        authority.stop()
        clock.now += timedelta(days=2)

        after = client.renewal_suggestion(certificate.renewal_id, (NAME,))

        assert before is not None
        assert after is not None
        assert before.window == after.window


class TestShortLifetime:
    @pytest.mark.parametrize("answers", [True, False])
    def test_the_next_request_comes_within_a_share_of_the_lifetime(
        self, answers: bool, clock: SteppedClock, tmp_path: Path
    ) -> None:
        """
        The pause is a share of the lifetime. Some certificates are valid for less than six hours.
        """
        lifetime = Validity(clock.now, clock.now + timedelta(minutes=15), "01")
        with odd_server() as server:
            urls = {kind: f"{server.url}/{kind}" for kind in ("newNonce", "newAccount", "newOrder")}
            server.answers["/"] = Oddity(json.dumps(urls | {"renewalInfo": f"{server.url}/ari"}).encode())
            window = {"start": "2026-12-01T00:00:00Z", "end": "2026-12-02T00:00:00Z"}
            answer = Oddity(json.dumps({"suggestedWindow": window}).encode()) if answers else Oddity(b"{}")
            server.answers["/ari/aki.serial"] = answer
            client = client_of(f"{server.url}/", tmp_path, clock=clock)
            suggestion = client.renewal_suggestion("aki.serial", (NAME,), lifetime)

        assert suggestion
        assert timedelta(seconds=15) == suggestion.retry_after - clock.now


class TestInvalidWindows:
    @pytest.mark.parametrize(
        ("start", "end"),
        [
            ("2026-12-01T00:00:00", "2026-12-02T00:00:00"),
            ("2026-12-01T00:00:00Z", "2026-12-02T00:00:00"),
            ("0001-01-01T00:00:00+14:00", "2026-12-02T00:00:00Z"),
            ("2026-12-02T00:00:00Z", "2026-12-01T00:00:00Z"),
            ("2026-12-02T00:00:00Z", "2026-12-02T00:00:00Z"),
            ("tomorrow", None),
        ],
    )
    def test_an_invalid_window_counts_as_none(self, start: str, end: str | None, tmp_path: Path) -> None:
        """
        An invalid window counts as no suggestion, and raises no exception.
        """
        with odd_server() as server:
            urls = {
                kind: f"{server.url}/{kind}" for kind in ("newNonce", "newAccount", "newOrder", "renewalInfo")
            }
            window = {"suggestedWindow": {"start": start, "end": end}}
            server.answers["/"] = Oddity(json.dumps(urls).encode())
            server.answers["/renewalInfo/aki.serial"] = Oddity(json.dumps(window).encode())

            suggestion = client_of(f"{server.url}/", tmp_path).renewal_suggestion("aki.serial", (NAME,))

        assert suggestion is not None
        assert suggestion.window is None


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("headers", "pause"),
        [
            ({"Retry-After": "5"}, timedelta(minutes=1)),
            ({"Retry-After": "7200"}, timedelta(hours=2)),
            ({"Retry-After": "864000"}, timedelta(days=1)),
            ({}, timedelta(hours=6)),
        ],
    )
    def test_retry_after_has_bounds(
        self, clock: SteppedClock, tmp_path: Path, headers: dict[str, str], pause: timedelta
    ) -> None:
        """
        The pause of a CA has a lower and an upper bound (RFC 9773, section 4.3.2).
        """
        with odd_server() as server:
            kinds = ("newNonce", "newAccount", "newOrder", "renewalInfo")
            urls = {kind: f"{server.url}/{kind}" for kind in kinds}
            window = {"suggestedWindow": {"start": "2026-12-01T00:00:00Z", "end": "2026-12-02T00:00:00Z"}}
            server.answers["/"] = Oddity(json.dumps(urls).encode())
            server.answers["/renewalInfo/aki.serial"] = Oddity(json.dumps(window).encode(), headers=headers)

            suggestion = client_of(f"{server.url}/", tmp_path, clock=clock).renewal_suggestion(
                "aki.serial", (NAME,)
            )

        assert suggestion is not None
        assert clock.now + pause == suggestion.retry_after


#: Refusals of `replaces` by Boulder (with and without its own type), Pebble, Actalis and other CAs.
BOULDER = "Could not validate ARI 'replaces' field :: "
REPLACED = (
    "cannot indicate an order replaces certificate with serial 04ab, which already has a replacement order"
)
CHECKING = f"{BOULDER}while checking that this order is a replacement: "
OTHER_ACCOUNT = "requester account did not request the certificate being replaced by this order"
UNKNOWN = 'request included `replaces` field, but no current certificate with serial "04ab" exists'
OTHER_NAMES = "identifiers in this order do not match any identifiers in the certificate being replaced"
OTHER_ISSUER = "path contained an Authority Key Identifier that did not match a known issuer"

REFUSED = [
    (409, "alreadyReplaced", f"{BOULDER}{REPLACED}"),
    (409, "conflict", REPLACED),
    (403, "unauthorized", f"{CHECKING}{OTHER_ACCOUNT}"),
    (403, "unauthorized", "This account is not authorized to replace the certificate"),
    (404, "malformed", f"{CHECKING}{UNKNOWN}"),
    (404, "malformed", f"{BOULDER}while parsing ARI CertID an error occurred: {OTHER_ISSUER}"),
    (400, "malformed", f"{CHECKING}{OTHER_NAMES}"),
    (400, "malformed", "invalid replaces field"),
    (500, "serverInternal", "could not find an order for the given certificate"),
]


class TestReplaced:
    def test_renewal_info_of_a_replaced_certificate_is_not_requested(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        The client requests renewal information only for the certificate in service (RFC 9773, section
        4.3).
        """
        former = app.issuance.issue((NAME,)).metadata
        requested: list[str] = []

        def record(request: Request, _header: dict[str, object]) -> None:
            if request.kind == "renewalInfo":
                requested.append(request.id)

        with refusing(app_authority, record):
            present = app.issuance.issue((NAME,), force=True).metadata
            app.issuers[0].client._renewal_info._known.clear()
            app.reconciler.reconcile()
            app.issuance.issue((NAME,))

        # The rule holds at the latest after the first request for the new certificate.
        start = requested.index(present.renewal_id)
        assert {present.renewal_id} == set(requested[start:])
        assert former.renewal_id != present.renewal_id


class TestReplaces:
    def test_a_predecessor_of_another_account_prevents_no_renewal(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        The order succeeds without `replaces` if the predecessor belongs to another account.
        """
        foreign = issued(client_of(authority.directory_url, tmp_path / "lost"), challenge_server, NAME)
        client = client_of(authority.directory_url, tmp_path / "new")

        order = client.order((NAME,), replaces=foreign.renewal_id)

        assert order.responses
        assert not order.replaces

    def test_an_internal_error_over_the_predecessor_prevents_no_renewal(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        The client orders without `replaces` after an internal error. Each attempt might fail until
        the certificate has expired.
        """
        client = client_of(authority.directory_url, tmp_path)
        first = issued(client, challenge_server, NAME)
        authority.faults.fail("newOrder", Fault(detail="could not find an order for the certificate"))

        order = client.order((NAME,), replaces=first.renewal_id)

        assert order.responses
        assert not order.replaces

    @pytest.mark.parametrize(("status", "problem", "detail"), REFUSED)
    def test_a_refused_predecessor_costs_one_more_order(
        self,
        app: App,
        app_authority: FaultyAuthority,
        status: int,
        problem: str,
        detail: str,
    ) -> None:
        """
        The renewal succeeds with one more order. An adopted certificate of another account causes
        this refusal.
        """
        app.issuance.issue((NAME,))
        app_authority.faults.fail("newOrder", Fault(status, problem, detail=detail))

        renewed = app.issuance.issue((NAME,), force=True)

        assert "issued" == renewed.state
        assert 3 == number_of(app_authority, "newOrder")

    def test_a_renewal_names_its_predecessor_unless_it_is_replaced_already(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        A renewal names its predecessor, which exempts it from limits. After a refusal, it orders
        without the predecessor.
        """
        first = app.issuance.issue((NAME,)).metadata
        app.issuance.issue((NAME,), force=True)
        before = number_of(app_authority, "newOrder")
        order = app.issuers[0].client.order((NAME,), replaces=first.renewal_id)

        assert order.responses
        assert 2 == before
        assert 4 == number_of(app_authority, "newOrder")
