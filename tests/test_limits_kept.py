"""
Rate limits of a CA, from a request to the time of the next possible order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from certworker.app import App
from certworker.devca.policy import Window
from certworker.errors import CertworkerError
from certworker.errors.rate import Paused
from certworker.runtime import build_tasks
from certworker.state.domain_records import DomainRecord
from tests.app_fixture import open_app
from tests.servers.fault_injection import Fault
from tests.servers.faulty_authority import FaultyAuthority

HOUR = timedelta(hours=1)
NAME, OTHER, LOST = "shop.localhost", "blog.localhost", "nowhere.invalid"
LINK = "https://ca.example/unpause?jwt=abc.def"
PAUSED = f"Your account is temporarily prevented from requesting certificates for x. Please visit: {LINK}"

Opened = Callable[..., AbstractContextManager[App]]


@pytest.fixture
def opened(tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int) -> Opened:
    """
    Return a function that opens an app with the given limits of its CA.
    """

    def with_limits(**limits: str) -> AbstractContextManager[App]:
        file = tmp_path / "limits.json"
        file.write_text(json.dumps({app_authority.directory_url: limits}))
        return open_app(
            tmp_path, connection, app_authority.directory_url, http_port, CERTWORKER_LIMITS_FILE=str(file)
        )

    return with_limits


@pytest.fixture
def app(opened: Opened) -> Iterator[App]:
    """
    Return an app whose CA has no known limits.
    """
    with opened() as app:
        yield app


def issue(app: App, name: str, **arguments: object) -> dict[str, Any]:
    """
    Run the job for *name*. Return its result or its failure.
    """
    try:
        return build_tasks(app)["certworker.issue"](domain=name, **arguments)
    except CertworkerError as failure:
        return {"state": "failed", **failure.as_json()}


def record(app: App, name: str) -> DomainRecord:
    """
    Return the record of *name*.
    """
    found = app.records.read(name)
    assert found
    return found


def count(authority: FaultyAuthority, kind: str) -> int:
    """
    Return the number of requests of *kind* that the CA received.
    """
    return sum(asked.kind == kind for asked in authority.requests)


class TestReplacing:
    @pytest.mark.parametrize(
        ("begins", "ends", "renewals"), [(-HOUR, HOUR, 4), (-2 * HOUR, -HOUR, 1), (HOUR, 2 * HOUR, 1)]
    )
    def test_only_orders_inside_the_suggested_window_do_not_count(
        self,
        opened: Opened,
        app_authority: FaultyAuthority,
        begins: timedelta,
        ends: timedelta,
        renewals: int,
    ) -> None:
        """
        An order that replaces a certificate outside its window counts against the limit of its set of names.
        """
        with opened(certificates_per_set="2/7d") as app:
            now = app.clock()
            app_authority.policy.windows[NAME] = Window(now + begins, now + ends)
            states = [issue(app, NAME, force=True)["state"] for _ in range(5)]

            assert states == ["issued"] * (1 + renewals) + ["waiting"] * (4 - renewals)


class TestWaiting:
    def test_a_job_above_a_limit_ends_as_waiting_with_its_time_on_the_agenda(self, opened: Opened) -> None:
        """
        A job above a limit releases its slot, and the agenda has the time of the next attempt.
        """
        with opened(orders_per_account="2/3h") as app:
            assert "issued" == issue(app, NAME)["state"]
            result = issue(app, OTHER)
            moment = app.agenda.next_check(OTHER)

            assert ("waiting", "rate.local_guard") == (result["state"], result["code"])
            assert ("waiting", 0) == (record(app, OTHER).state, record(app, OTHER).attempts)
            assert moment
            assert 0.6 < (moment - app.clock()).total_seconds() / 3600 < 1.6

    def test_after_a_limit_of_the_ca_all_names_of_the_account_wait(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        After the CA rejects one order, the other names of the account wait and send no request.
        """
        app_authority.faults.rate_limit(600, "too many new orders (300) from this account")
        assert "rate.new_orders" == issue(app, NAME)["code"]
        result = issue(app, OTHER)

        assert ("waiting", "rate.local_guard") == (result["state"], result["code"])
        assert 1 == count(app_authority, "newOrder")
        for name in (NAME, OTHER):
            moment = app.agenda.next_check(name)
            assert moment
            assert 590 < (moment - app.clock()).total_seconds() < 661

    def test_after_a_busy_response_all_names_wait(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        After a response with status 503 and Retry-After, no name sends a request.
        """
        app_authority.faults.fail("newOrder", Fault(503, None, retry_after_seconds=120))
        assert "rate.busy" == issue(app, NAME)["code"]
        assert "rate.local_guard" == issue(app, OTHER)["code"]

        assert 1 == count(app_authority, "newOrder")

    def test_after_the_retry_time_the_name_is_issued(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        The name waits for the duration of Retry-After, and the next job issues the certificate.
        """
        app_authority.faults.rate_limit(1)
        assert "waiting" == issue(app, NAME)["state"]
        states = iter(lambda: issue(app, NAME)["state"], "issued")

        assert {"waiting"} >= set(states)

    def test_fifty_restarts_with_a_failing_name_cost_three_validations(
        self, opened: Opened, app_authority: FaultyAuthority
    ) -> None:
        """
        A restart does not reset the count of failed validations, so the limit of the CA stays free.
        """
        states = []
        for _ in range(50):
            with opened(failures_per_name="3 of 5/1h") as app:
                states.append(issue(app, LOST)["state"])

        assert count(app_authority, "challenge") <= 3
        assert "waiting" == states[-1]

    def test_the_full_quota_needs_its_option_and_is_logged(
        self, opened: Opened, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The fourth forced order for the same names needs `--use-full-quota`, and certworker logs its use.
        """
        with opened(certificates_per_set="3 of 5/7d") as app:
            forced = [issue(app, NAME, force=True)["state"] for _ in range(4)]
            assert "using the CA's full rate limit" not in caplog.text
            insisted = [issue(app, NAME, force=True, use_full_quota=True)["state"] for _ in range(3)]

        assert ["issued", "issued", "issued", "waiting"] == forced
        assert ["issued", "issued", "waiting"] == insisted
        assert "using the CA's full rate limit" in caplog.text


class TestPaused:
    @pytest.fixture
    def app(self, app: App, app_authority: FaultyAuthority) -> App:
        """
        Return an app whose CA has paused a name.
        """
        fault = Fault(429, "rateLimited", 60, PAUSED)
        app_authority.faults.fail("newOrder", fault)
        assert "rate.paused" == issue(app, NAME)["code"]
        return app

    def test_the_link_is_shown_and_the_ca_gets_no_request(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        The remedy has the link of the CA. The next job for the name sends no order.
        """
        assert "paused" == record(app, NAME).state
        assert LINK in record(app, NAME).remedy
        result = issue(app, NAME)

        assert "rate.paused" == result["code"]
        assert result["remedy"].endswith(f"{LINK} and then run: certworker resume {NAME}")
        assert 1 == count(app_authority, "newOrder")

    def test_it_is_logged_again_once_a_day(self, app: App) -> None:
        """
        The next check of a paused name is a day later.
        """
        moment = app.agenda.next_check(NAME)
        assert moment

        assert 86_000 < (moment - app.clock()).total_seconds() < 1.1 * 86_400

    def test_others_get_their_certificates(self, app: App) -> None:
        """
        Other names get their certificates while one name is paused.
        """
        assert "issued" == issue(app, OTHER)["state"]

    def test_resume_ends_it(self, app: App) -> None:
        """
        After a resume, the next job issues the certificate.
        """
        assert app.issuers[0].budget.resume([NAME])

        assert "issued" == issue(app, NAME)["state"]

    def test_a_name_that_the_ca_rejects_again_is_paused_again(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        After a resume, the name is paused again if the CA still rejects it.
        """
        app.issuers[0].budget.resume([NAME])
        app_authority.faults.fail("newOrder", Fault(429, "rateLimited", 60, PAUSED))
        with pytest.raises(Paused):
            app.issuance.issue((NAME,))

        assert "paused" == record(app, NAME).state
