"""
Tests of the limits of a CA, which all workers share.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from certworker.errors import CertworkerError
from certworker.errors.ca import ServerInternal
from certworker.errors.config import InvalidSettings
from certworker.errors.http import HttpRefused
from certworker.errors.rate import CaBusy, LocalGuard, Paused, TooManyOrders
from certworker.ratelimits.budget import BUDGET, PAUSES, Budget
from certworker.ratelimits.limits import LETS_ENCRYPT
from certworker.settings import CaChoice
from certworker.settings.limits import Limit, Limits
from tests.app_fixture import open_app
from tests.servers.faulty_authority import FaultyAuthority

LETSENCRYPT = CaChoice.named("letsencrypt")
NAME = "shop.example.org"
LOCAL_NAME = "shop.localhost"
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

Issued = list[tuple[tuple[str, ...], datetime]]


class World:
    """
    Hold a budget with its clock and the certificates on the volume.
    """

    def __init__(self, connection: Redis, limits: Limits = LETS_ENCRYPT) -> None:
        self.now = NOW
        self.issued: Issued = []
        self.budget = Budget(
            connection, LETSENCRYPT, limits, issued=lambda: self.issued, clock=lambda: self.now
        )

    def order(self, name: str, *, force: bool = False, use_full_quota: bool = False) -> None:
        """
        Order a certificate and receive it.
        """
        with self.budget.reserve(
            (name,), exempt=False, renewal=force, use_full_quota=use_full_quota
        ) as reservation:
            reservation.placed(replaces=False)
            reservation.validated()

    def fail(self, name: str) -> None:
        """
        Order a certificate whose validation fails.
        """
        self._end(HttpRefused(name=name, address="192.0.2.1", detail="refused"), name, placed=True)

    def refused(self, failure: CertworkerError, name: str) -> None:
        """
        Make the CA refuse the order with *failure*.
        """
        self._end(failure, name, placed=False)

    def until(self, name: str, *, exempt: bool = False, renewal: bool = False) -> datetime | None:
        """
        Return when *name* can be ordered, or None for now. No charge remains.
        """
        failed = ServerInternal(authority="the CA", detail="a query")
        try:
            self._end(failed, name, placed=False, exempt=exempt, renewal=renewal)
        except LocalGuard as guard:
            return guard.until
        return None

    def _end(
        self,
        failure: CertworkerError,
        name: str,
        *,
        placed: bool,
        exempt: bool = False,
        renewal: bool = False,
    ) -> None:
        try:
            with self.budget.reserve((name,), exempt=exempt, renewal=renewal) as reservation:
                if placed:
                    reservation.placed(replaces=False)
                raise failure
        except type(failure) as ended:
            if failure not in (ended, ended.__cause__):
                raise

    def wait(self, *, after: timedelta = 30 * DAY) -> None:
        """
        Advance the clock until the assumptions about an empty Redis have ended.
        """
        self.until("any.example.com")
        self.now += after


@pytest.fixture
def world(connection: Redis) -> World:
    """
    Return a budget that has been in use for a month.
    """
    world = World(connection)
    world.wait()
    return world


class TestSpend:
    def test_three_hundred_orders_then_one_every_36_seconds(self, world: World) -> None:
        """
        The budget allows Let's Encrypt's number of orders for an account, and reserves a tenth for new
        names.
        """
        for number in range(300):
            world.order(f"a.shop{number}.com")
        began = world.now

        # A tenth of the orders is reserved for new names.
        assert began + timedelta(seconds=36 * 31) == world.until("a.other.com")
        assert world.until("a.other.com", renewal=True) is None

    def test_fifty_new_certificates_of_a_registered_domain_a_week(self, world: World) -> None:
        """
        The budget allows Let's Encrypt's number of new certificates for a registered domain.
        """
        for number in range(50):
            world.order(f"tenant{number}.example.co.uk")
        until = world.until("new.example.co.uk")
        assert until

        assert timedelta(minutes=201) < until - world.now < timedelta(minutes=202)
        assert world.until("new.other.co.uk") is None
        assert world.until("new.example.co.uk", renewal=True) is None

    def test_the_same_names_three_times_then_only_with_the_full_quota(self, world: World) -> None:
        """
        The budget allows three certificates for the same names, and two more with `use_full_quota`.
        """
        world.order(NAME)
        world.order(NAME, force=True)
        world.order(NAME, force=True)
        with pytest.raises(LocalGuard, match="3 certificates for exactly these names"):
            world.order(NAME, force=True)
        world.order(NAME, force=True, use_full_quota=True)
        world.order(NAME, force=True, use_full_quota=True)
        with pytest.raises(LocalGuard):
            world.order(NAME, force=True, use_full_quota=True)

    def test_a_restart_loop_with_a_failing_name_orders_three_times(
        self, connection: Redis, world: World
    ) -> None:
        """
        The charges of failures remain after each restart.
        """
        placed_orders = 0
        for _restart in range(50):
            restarted = World(connection)
            restarted.now = world.now
            if restarted.until(NAME) is None:
                restarted.fail(NAME)
                placed_orders += 1

        assert 3 == placed_orders
        assert world.now + 12 * MINUTE == world.until(NAME)

    def test_the_failures_of_an_exempt_renewal_are_limited(self, world: World) -> None:
        """
        The budget limits the failures of an exempt renewal, because the CA counts them until it pauses the
        name.
        """
        for _ in range(3):
            world.fail(NAME)

        assert world.until(NAME, exempt=True, renewal=True)

    def test_daily_failures_never_exhaust_the_budget(self, world: World) -> None:
        """
        A daily failure never exhausts the budget, because the CA refills one failure a day.
        """
        for _ in range(2 * 365):
            world.fail(NAME)
            world.now += DAY

        assert world.until(NAME) is None

    def test_consecutive_failures_stop_before_the_pause(self, connection: Redis) -> None:
        """
        The budget reserves the last failure before a pause, and a success resets the count.
        """
        world = World(connection, Limits(failures_until_pause=Limit(4, 4 * DAY, ours=3)))
        for _ in range(3):
            world.fail(NAME)
        assert world.now + DAY == world.until(NAME)

        world.now += DAY
        world.order(NAME)
        for _ in range(3):
            world.fail(NAME)

    def test_an_outage_of_the_ca_is_not_charged(self, world: World) -> None:
        """
        Failures of the CA are not charged.
        """
        for _ in range(100):
            world.refused(ServerInternal(authority="the CA", detail="500"), NAME)

        assert world.until(NAME) is None

    def test_replacements_are_exempt(self, world: World) -> None:
        """
        Exempt orders are allowed although all other orders are used.
        """
        for number in range(300):
            world.order(f"a.shop{number}.com")
        for _ in range(10):
            with world.budget.reserve(("a.shop1.com",), exempt=True, renewal=True) as reservation:
                reservation.placed(replaces=True)
                reservation.validated()

    def test_a_ca_without_known_limits_has_no_budget(self, connection: Redis) -> None:
        """
        Without known limits, each order is allowed. Only the refusals of the CA count.
        """
        world = World(connection, Limits())
        for number in range(500):
            world.order(NAME)
            world.fail(f"{number}.example.org")

        assert world.until(NAME) is None


class TestCorrection:
    def test_a_refusal_of_the_ca_counts_more_than_the_budget(self, world: World) -> None:
        """
        The Retry-After of the CA counts more than the budget, because other programs may use the account.
        """
        later = world.now + HOUR
        world.refused(TooManyOrders(until=later, authority="the CA", detail="too many new orders"), NAME)

        world.now = later - timedelta(seconds=1)
        assert (world.until("other.example.net") or NOW) > later
        world.now = later
        assert world.until("another.example.net") is None

    @pytest.mark.parametrize("limits", [LETS_ENCRYPT, Limits()])
    def test_a_busy_ca_gets_no_order_from_any_worker(self, connection: Redis, limits: Limits) -> None:
        """
        After a 503 with Retry-After no worker places an order until that time.
        """
        world = World(connection, limits)
        later = world.now + MINUTE
        world.refused(CaBusy(until=later, authority="the CA", detail="busy"), NAME)

        assert later == world.until("other.example.net", exempt=True, renewal=True)

    def test_a_rate_limit_without_a_time_lasts_a_minute(self, world: World) -> None:
        """
        A rate limit without a time lasts a minute for other names.
        """
        world.refused(CaBusy(authority="the CA", detail="busy"), NAME)

        assert world.until("other.example.net") == world.now + MINUTE
        world.now += MINUTE
        assert world.until("other.example.net") is None

    def test_a_long_rate_limit_of_one_name_lasts_an_hour_for_others(self, world: World) -> None:
        """
        A rate limit of a week, which may apply to only one name, lasts an hour for other names.
        """
        busy = CaBusy(until=world.now + 7 * DAY, authority="the CA", detail="limit of whatever")
        world.refused(busy, NAME)

        assert world.now + HOUR == world.until("other.example.net")


class TestPause:
    @pytest.fixture
    def world(self, world: World) -> World:
        """
        Return a budget in which the CA has paused a name.
        """
        world.refused(Paused(authority="the CA", name=NAME, url="https://ca.example/unpause?jwt=x"), NAME)
        return world

    def test_a_paused_name_is_not_ordered_and_its_link_is_shown(self, world: World) -> None:
        """
        A paused name is not ordered, and the remedy has the link and the command that end the pause.
        """
        world.now += 6 * DAY
        with pytest.raises(Paused) as caught:
            world.until(NAME)

        assert "https://ca.example/unpause?jwt=x" in caught.value.remedy
        assert f"certworker resume {NAME}" in caught.value.remedy

    def test_other_names_are_not_paused(self, world: World) -> None:
        """
        A pause applies to only one name.
        """
        assert world.until("other.example.org") is None

    def test_resume_ends_a_pause(self, world: World) -> None:
        """
        After `resume`, the name can be ordered immediately.
        """
        assert world.budget.resume([NAME])
        assert world.until(NAME) is None
        assert not world.budget.resume([NAME])

    def test_a_paused_name_is_ordered_again_after_a_week(self, world: World, connection: Redis) -> None:
        """
        A paused name can be ordered after a week. A certificate ends the pause, even after a loss of Redis.
        """
        world.now += 7 * DAY
        world.order(NAME)
        connection.delete(BUDGET + LETSENCRYPT.label)

        assert world.until(NAME) is None

    def test_resume_ends_an_expired_pause(self, world: World) -> None:
        """
        `resume` ends a pause that has expired, because the next check may be a day later.
        """
        world.now += 7 * DAY

        assert world.budget.resume([NAME])

    def test_a_pause_remains_after_the_loss_of_the_budget(self, world: World, connection: Redis) -> None:
        """
        A paused name remains paused after the loss of the budget's key.
        """
        connection.delete(BUDGET + LETSENCRYPT.label)

        with pytest.raises(Paused):
            world.until(NAME)


class TestInvalidValues:
    """
    Test the times and the pauses that another program wrote.
    """

    @pytest.mark.parametrize("score", ["inf", "1e300", "1e15"])
    @pytest.mark.parametrize(
        "member",
        ["stop", "orders", f"failures {NAME}", f"streak {NAME}", f"pause {NAME}", "domain example.org"],
    )
    def test_an_invalid_time_blocks_no_order(
        self, world: World, connection: Redis, member: str, score: str
    ) -> None:
        """
        An invalid time in the budget blocks no order, and is removed.
        """
        connection.zadd(f"{BUDGET}letsencrypt", {member: float(score)})

        world.order(NAME)

        assert (connection.zscore(f"{BUDGET}letsencrypt", member) or 0) < 1e14

    def test_a_stop_of_more_than_an_hour_is_ignored(self, world: World, connection: Redis) -> None:
        """
        A stop of an hour is respected, and a longer one is ignored.
        """
        soon = world.now + HOUR
        connection.zadd(f"{BUDGET}letsencrypt", {"stop": soon.timestamp() * 1_000})
        assert soon == world.until(NAME)

        connection.zadd(f"{BUDGET}letsencrypt", {"stop": (soon + MINUTE).timestamp() * 1_000})
        assert world.until(NAME) is None

    def test_a_rate_limit_of_years_lasts_a_week(self, world: World) -> None:
        """
        A rate limit of years lasts a week at most, after which the CA's next answer counts.
        """
        world.refused(TooManyOrders(authority="the CA", detail="years", until=world.now + 3_650 * DAY), NAME)

        until = world.until(NAME)
        assert until
        assert until <= world.now + 7 * DAY + HOUR

    def test_invalid_names_in_the_list_of_pauses_are_removed(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Invalid names in the list of pauses are removed with one log line, and valid names remain paused.
        """
        pauses: dict[str | bytes, str] = {
            "x" * 100_000: "",
            b"\xff": "",
            "a b": "",
            NAME: "https://ca.example/",
        }
        connection.hset(f"{PAUSES}letsencrypt", mapping=pauses)  # type: ignore[arg-type] # redis-py accepts bytes as well
        world = World(connection)

        world.order("a.other.com")

        assert [NAME.encode()] == connection.hkeys(f"{PAUSES}letsencrypt")
        assert [f"removed invalid entries from the Redis key {PAUSES}letsencrypt: 3"] == [
            line.getMessage() for line in caplog.records
        ]
        with pytest.raises(Paused, match=r"https://ca\.example/"):
            world.order(NAME)

    @pytest.mark.parametrize("page", ["x" * 5_000_000, "javascript:alert(1)", "", b"\xff\x1b[2J"])
    def test_an_invalid_link_is_not_shown(self, world: World, connection: Redis, page: str) -> None:
        """
        An invalid link is not shown. The remedy names the website of the CA instead.
        """
        connection.zadd(f"{BUDGET}letsencrypt", {f"pause {NAME}": (world.now + DAY).timestamp() * 1_000})
        connection.hset(f"{PAUSES}letsencrypt", NAME, page)

        with pytest.raises(Paused) as caught:
            world.order(NAME)

        assert caught.value.url == "the website of the CA"


class TestLoss:
    def test_the_certificates_on_the_volume_are_charged_after_a_loss(self, connection: Redis) -> None:
        """
        After a loss of Redis, the certificates on the volume count for their set of names.
        """
        world = World(connection)
        world.issued = [((NAME,), NOW - number * HOUR) for number in range(1, 4)]

        until = world.until(NAME, renewal=True)
        assert until
        assert 3 * 7 * DAY / 5 - 3 * HOUR - 2 * 7 * DAY / 5 == until - NOW

    def test_the_certificates_on_the_volume_count_for_the_registered_domain(self, connection: Redis) -> None:
        """
        After a loss of Redis, the first certificate of each set on the volume counts for the domain.
        """
        world = World(connection)
        world.issued = [((f"{number}.example.org",), NOW - MINUTE) for number in range(50)]
        assert world.until("new.example.org")

        connection.flushall()
        world.issued = [(("1.example.org",), NOW - number * MINUTE) for number in range(50)]
        assert world.until("new.example.org") is None

    def test_a_certificate_older_than_the_interval_is_not_charged(self, connection: Redis) -> None:
        """
        A certificate that is older than the interval of the limit is not charged.
        """
        world = World(connection)
        world.issued = [((NAME,), NOW - 8 * DAY)] * 5

        assert world.until(NAME) is None

    def test_after_a_loss_half_of_the_orders_are_available(self, connection: Redis) -> None:
        """
        After a loss of Redis, half of the orders are available, because the volume has only certificates.
        """
        world = World(connection)
        for number in range(150):
            world.order(f"a.shop{number}.com")

        assert world.until("a.other.com")

    def test_after_a_loss_one_failure_of_a_name_is_allowed(self, connection: Redis) -> None:
        """
        After a loss of Redis, one failure of a name is allowed, and then the name waits.
        """
        world = World(connection)
        world.fail(NAME)

        assert NOW + 6 * MINUTE == world.until(NAME)

    def test_the_certificates_are_charged_after_each_eviction(self, connection: Redis) -> None:
        """
        The certificates on the volume are charged again after each eviction of the budget.
        """
        world = World(connection)
        world.issued = [((NAME,), NOW - number * MINUTE) for number in range(1, 6)]
        for _ in range(3):
            connection.delete(BUDGET + LETSENCRYPT.label)

            assert world.until(NAME, renewal=True)


class TestAvailableAt:
    def test_fifty_thousand_names_take_three_weeks(self, world: World) -> None:
        """
        The estimate for 50,000 names is three weeks, as Let's Encrypt allows 300 orders in three hours.
        """
        ends = world.budget.available_at([f"a.shop{number}.com" for number in range(50_000)])
        assert ends

        assert 20 * DAY < ends - world.now < 21 * DAY

    def test_the_slowest_limit_decides(self, world: World) -> None:
        """
        The limit of the registered domain decides if it is slower than that of the account.
        """
        ends = world.budget.available_at([f"{number}.example.org" for number in range(100)])

        assert world.now + 7 * DAY == ends

    def test_orders_that_were_placed_count(self, world: World) -> None:
        """
        Orders that were placed before make the estimate later.
        """
        for number in range(50):
            world.order(f"{number}.example.org")
        ends = world.budget.available_at(["new.example.org"])

        assert ends == world.until("new.example.org")

    def test_the_reserve_of_certworker_counts(self, connection: Redis) -> None:
        """
        The estimate uses only the orders that certworker takes without `--use-full-quota`.
        """
        world = World(connection, Limits(orders_per_account=Limit(10, 10 * HOUR, ours=3)))
        world.wait()

        assert world.now + 2 * HOUR == world.budget.available_at([f"{number}.org" for number in range(5)])

    def test_a_few_names_are_available_now(self, world: World) -> None:
        """
        The estimate for a few names is now.
        """
        assert world.now == world.budget.available_at([NAME])

    def test_without_limits_or_names_there_is_no_estimate(self, connection: Redis) -> None:
        """
        Without limits or names there is no estimate.
        """
        assert World(connection, Limits()).budget.available_at([NAME]) is None
        assert World(connection).budget.available_at([]) is None


def remaining(world: World) -> dict[tuple[str, str], tuple[int, int]]:
    """
    Return what is left of each limit, and its size.
    """
    return {(each.kind, each.subject): (each.left, each.of) for each in world.budget.remaining()}


class TestRemaining:
    def test_orders_use_up_the_limits(self, connection: Redis) -> None:
        """
        Orders reduce the limit of the account, and those of their registered domains.
        """
        world = World(connection, replace(LETS_ENCRYPT, domains={"own.org": Limit(2, 7 * DAY)}))
        world.order("a.first.org")
        world.wait()
        assert {("orders", ""): (300, 300)} == remaining(world)
        for name in ("a.own.org", "a.example.org", "b.example.org"):
            world.order(name)

        assert {
            ("orders", ""): (297, 300),
            ("domain", "own.org"): (1, 2),
            ("domain", "example.org"): (48, 50),
        } == remaining(world)

    def test_the_next_order_is_possible_when_the_account_has_one_left(self, world: World) -> None:
        """
        The next order is possible now, or when the limit of the account permits it.
        """
        assert world.now == world.budget.next_order()
        for number in range(300):
            world.order(f"a.shop{number}.com")

        assert (0, 300) == remaining(world)["orders", ""]
        assert world.now + timedelta(seconds=36) == world.budget.next_order()

    def test_the_reserve_of_certworker_is_not_left(self, connection: Redis) -> None:
        """
        Nothing is left when the next order has to wait, although the CA accepts orders with the full quota.
        """
        world = World(connection, Limits(orders_per_account=Limit(10, 10 * HOUR, ours=3)))
        world.wait()
        assert {("orders", ""): (3, 3)} == remaining(world)
        for number in range(3):
            world.order(f"{number}.org")

        assert {("orders", ""): (0, 3)} == remaining(world)
        assert world.now + HOUR == world.budget.next_order()

    def test_a_busy_ca_delays_the_next_order(self, world: World) -> None:
        """
        While the CA requests a pause, no order is possible.
        """
        end = world.now + 5 * MINUTE
        world.refused(CaBusy(until=end, authority="the CA", detail="busy"), NAME)

        assert end == world.budget.next_order()

    def test_invalid_members_do_not_count(self, world: World, connection: Redis) -> None:
        """
        Hostile members leave at least nothing of a limit, and raise no error.
        """
        connection.zadd(
            f"{BUDGET}letsencrypt",
            {"domain \xff": float("inf"), "domain ": -1e300, "domain x.org": 1e14, "orders": 1e300},
        )

        assert all(0 <= left <= of for left, of in remaining(world).values())
        assert world.now == world.budget.next_order()

    def test_a_ca_without_known_limits_has_none(self, connection: Redis) -> None:
        """
        Without limits nothing is left to report, and the next order is possible now.
        """
        world = World(connection, Limits())

        assert {} == remaining(world)
        assert world.now == world.budget.next_order()


class TestQueue:
    @pytest.fixture
    def world(self, world: World) -> World:
        """
        Return a budget without remaining orders.
        """
        for number in range(300):
            world.order(f"a.shop{number}.com")
        return world

    def test_each_waiting_name_gets_its_own_time(self, world: World) -> None:
        """
        Each waiting name gets its own time, so that not all of them try the same order.
        """
        waits = [(world.until(f"a.new{number}.com") or NOW) - world.now for number in range(5_000)]

        assert [timedelta(seconds=36 * (30 + position)) for position in range(1, 2_001)] == waits[:2_000]
        assert max(waits) <= DAY
        assert max(Counter(wait // HOUR for wait in waits).values()) < 500

    def test_a_repeated_request_does_not_change_the_time(self, world: World) -> None:
        """
        A repeated request for a name changes neither its time nor that of another name.
        """
        first = world.until("a.new.com")
        assert {first} == {world.until("a.new.com") for _ in range(50)}
        assert first
        assert first + timedelta(seconds=36) == world.until("a.other.com")

    def test_a_new_name_does_not_wait_behind_waiting_names(self, world: World) -> None:
        """
        A new name gets one of the reserved orders, although other names wait.
        """
        for number in range(1_000):
            world.until(f"a.new{number}.com")
        world.now += timedelta(seconds=36) * 30

        assert world.until("a.new0.com")
        assert world.until("a.newest.com") is None

    def test_each_waiting_name_gets_an_order(self, world: World) -> None:
        """
        Each waiting name that returns at its time gets an order.
        """
        times = {f"a.new{number}.com": world.until(f"a.new{number}.com") for number in range(100)}
        for _ in range(5_000):
            name, time = min(times.items(), key=lambda each: each[1] or NOW)
            world.now = max(world.now, time or NOW)
            times[name] = world.until(name)
            if times[name] is None:
                world.order(name)
                del times[name]
            if not times:
                break

        assert {} == times


class TestRedisError:
    def test_a_redis_error_at_the_end_of_an_order_is_ignored(self, connection: Redis) -> None:
        """
        An error of Redis at the end of an order does not lose the certificate. The charges remain reserved.
        """
        world = World(connection)
        with world.budget.reserve((NAME,), exempt=False, renewal=False) as reservation:
            reservation.placed(replaces=False)
            reservation.validated()
            connection.set(BUDGET + LETSENCRYPT.label, "no sorted set")


def limits_file(directory: Path, directory_url: str, **limits: str) -> str:
    """
    Write the limits of the CA at *directory_url* to a file, and return its path.
    """
    file = directory / "limits.json"
    file.write_text(json.dumps({directory_url: limits}))
    return str(file)


class TestForIssuer:
    def test_the_limits_file_applies(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        The limits of the operator's file apply to its CA.
        """
        url = app_authority.directory_url
        file = limits_file(tmp_path, url, certificates_per_set="1/7d")
        with open_app(tmp_path, connection, url, http_port, CERTWORKER_LIMITS_FILE=file) as app:
            app.issuance.issue((LOCAL_NAME,))
            with pytest.raises(LocalGuard):
                app.issuance.issue((LOCAL_NAME,), force=True)

    def test_the_generations_on_the_volume_are_charged_after_a_loss(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        After a loss of the budget, the generations on the volume are charged.
        """
        url = app_authority.directory_url
        file = limits_file(tmp_path, url, certificates_per_set="1/7d")
        with open_app(tmp_path, connection, url, http_port, CERTWORKER_LIMITS_FILE=file) as app:
            app.issuance.issue((LOCAL_NAME,))
            connection.delete(BUDGET + app.issuers[0].ca.label)
            with pytest.raises(LocalGuard):
                app.issuance.issue((LOCAL_NAME,), force=True)

    def test_an_invalid_limits_file_prevents_the_start(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        An invalid limits file prevents the start of the worker.
        """
        url = app_authority.directory_url
        file = limits_file(tmp_path, url, certificates_per_set="many")
        with (
            pytest.raises(InvalidSettings),
            open_app(tmp_path, connection, url, http_port, CERTWORKER_LIMITS_FILE=file),
        ):
            pass
