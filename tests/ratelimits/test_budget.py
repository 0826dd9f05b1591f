"""
The limits of a CA, shared by all workers.
"""

from __future__ import annotations

import json
from collections import Counter
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
    A budget with its clock and the certificates of the volume.
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
        Let the CA refuse the order with *failure*.
        """
        self._end(failure, name, placed=False)

    def until(self, name: str, *, exempt: bool = False, renewal: bool = False) -> datetime | None:
        """
        Return when *name* may be ordered; None: now. Nothing is charged.
        """
        failed = ServerInternal(authority="the CA", detail="only asked")
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

    def quiet(self, *, after: timedelta = 30 * DAY) -> None:
        """
        Let time pass until the assumptions about an empty Redis have ended.
        """
        self.until("somebody.example.com")
        self.now += after


@pytest.fixture
def world(connection: Redis) -> World:
    """
    Return a budget that has been in use for a while.
    """
    world = World(connection)
    world.quiet()
    return world


class TestSpend:
    def test_three_hundred_orders_then_one_every_36_seconds(self, world: World) -> None:
        """
        The limit of Let's Encrypt for an account.
        """
        for number in range(300):
            world.order(f"a.shop{number}.com")
        began = world.now

        # A tenth is for those who have not asked yet.
        assert began + timedelta(seconds=36 * 31) == world.until("a.other.com")
        assert world.until("a.other.com", renewal=True) is None

    def test_fifty_new_certificates_of_a_registered_domain_a_week(self, world: World) -> None:
        """
        The limit of Let's Encrypt for a registered domain, shared with all its users.
        """
        for number in range(50):
            world.order(f"tenant{number}.example.co.uk")
        until = world.until("new.example.co.uk")
        assert until

        assert timedelta(minutes=201) < until - world.now < timedelta(minutes=202)
        assert world.until("new.other.co.uk") is None
        assert world.until("new.example.co.uk", renewal=True) is None

    def test_the_same_names_three_times_then_only_a_person_who_insists(self, world: World) -> None:
        """
        A loop of forced orders does not use up the five that the CA allows.
        """
        world.order(NAME)
        world.order(NAME, force=True)
        world.order(NAME, force=True)
        with pytest.raises(LocalGuard, match="3 certificates for these very names"):
            world.order(NAME, force=True)
        world.order(NAME, force=True, use_full_quota=True)
        world.order(NAME, force=True, use_full_quota=True)
        with pytest.raises(LocalGuard):
            world.order(NAME, force=True, use_full_quota=True)

    def test_a_restart_loop_with_a_failing_name_asks_three_times(
        self, connection: Redis, world: World
    ) -> None:
        """
        The charges survive every restart.
        """
        asked = 0
        for _restart in range(50):
            again = World(connection)
            again.now = world.now
            if again.until(NAME) is None:
                again.fail(NAME)
                asked += 1

        assert 3 == asked
        assert world.now + 12 * MINUTE == world.until(NAME)

    def test_a_renewal_that_fails_is_not_tried_without_end_either(self, world: World) -> None:
        """
        The CA would accept the order, and count the failures until it pauses the name.
        """
        for _ in range(3):
            world.fail(NAME)

        assert world.until(NAME, exempt=True, renewal=True)

    def test_a_year_of_daily_failures_never_ends_in_a_pause(self, world: World) -> None:
        """
        The CA forgives one failure a day.
        """
        for _ in range(2 * 365):
            world.fail(NAME)
            world.now += DAY

        assert world.until(NAME) is None

    def test_failures_in_a_row_stop_before_the_pause(self, connection: Redis) -> None:
        """
        The last failure before the pause is left; a success resets the count.
        """
        world = World(connection, Limits(failures_until_pause=Limit(4, 4 * DAY, ours=3)))
        for _ in range(3):
            world.fail(NAME)
        assert world.now + DAY == world.until(NAME)

        world.now += DAY
        world.order(NAME)
        for _ in range(3):
            world.fail(NAME)

    def test_a_ca_that_fails_costs_nothing(self, world: World) -> None:
        """
        An outage of a day does not use up the limit of a week.
        """
        for _ in range(100):
            world.refused(ServerInternal(authority="the CA", detail="500"), NAME)

        assert world.until(NAME) is None

    def test_replacements_are_exempt(self, world: World) -> None:
        """
        The CA does not count exempt orders, whatever else is used up.
        """
        for number in range(300):
            world.order(f"a.shop{number}.com")
        for _ in range(10):
            with world.budget.reserve(("a.shop1.com",), exempt=True, renewal=True) as reservation:
                reservation.placed(replaces=True)
                reservation.validated()

    def test_a_ca_without_known_limits_is_asked_at_any_time(self, connection: Redis) -> None:
        """
        The refusals of the CA count.
        """
        world = World(connection, Limits())
        for number in range(500):
            world.order(NAME)
            world.fail(f"{number}.example.org")

        assert world.until(NAME) is None


class TestCorrection:
    def test_the_ca_knows_better(self, world: World) -> None:
        """
        Another program uses the same account: Retry-After counts more than the model.
        """
        later = world.now + HOUR
        world.refused(TooManyOrders(until=later, authority="the CA", detail="too many new orders"), NAME)

        world.now = later - timedelta(seconds=1)
        assert (world.until("other.example.net") or NOW) > later
        world.now = later
        assert world.until("another.example.net") is None

    @pytest.mark.parametrize("limits", [LETS_ENCRYPT, Limits()])
    def test_a_busy_ca_is_left_alone_by_everybody(self, connection: Redis, limits: Limits) -> None:
        """
        The load balancer of the CA sent 503 with Retry-After to one of sixteen slots on three hosts.
        """
        world = World(connection, limits)
        later = world.now + MINUTE
        world.refused(CaBusy(until=later, authority="the CA", detail="busy"), NAME)

        assert later == world.until("other.example.net", exempt=True, renewal=True)

    def test_a_limit_without_a_moment_lasts_a_minute_for_the_others(self, world: World) -> None:
        """
        The certificates of a private CA may be valid for minutes, and it names no end of the limit.
        """
        world.refused(CaBusy(authority="the CA", detail="busy"), NAME)

        assert world.until("other.example.net") == world.now + MINUTE
        world.now += MINUTE
        assert world.until("other.example.net") is None

    def test_but_not_for_a_week_because_of_one_name(self, world: World) -> None:
        """
        An unknown CA may limit one name, with its own text.
        """
        busy = CaBusy(until=world.now + 7 * DAY, authority="the CA", detail="limit of whatever")
        world.refused(busy, NAME)

        assert world.now + HOUR == world.until("other.example.net")


class TestPause:
    @pytest.fixture
    def world(self, world: World) -> World:
        """
        Return limits in which the CA has paused a name.
        """
        world.refused(Paused(authority="the CA", name=NAME, url="https://ca.example/unpause?jwt=x"), NAME)
        return world

    def test_a_paused_name_is_not_asked_for_and_the_link_is_shown_again(self, world: World) -> None:
        """
        The name stays paused, also after restarts.
        """
        world.now += 6 * DAY
        with pytest.raises(Paused) as caught:
            world.until(NAME)

        assert "https://ca.example/unpause?jwt=x" in caught.value.remedy
        assert f"certworker resume {NAME}" in caught.value.remedy

    def test_others_are_not_concerned(self, world: World) -> None:
        """
        The pause concerns one name of the account.
        """
        assert world.until("other.example.org") is None

    def test_a_person_ends_it(self, world: World) -> None:
        """
        The CA is asked again at once.
        """
        assert world.budget.resume([NAME])
        assert world.until(NAME) is None
        assert not world.budget.resume([NAME])

    def test_the_ca_is_asked_again_after_a_week(self, world: World, connection: Redis) -> None:
        """
        Only the CA knows whether a person has ended the pause there. A certificate ends the pause here, also
        after a loss of the budget.
        """
        world.now += 7 * DAY
        world.order(NAME)
        connection.delete(BUDGET + LETSENCRYPT.label)

        assert world.until(NAME) is None

    def test_a_pause_that_has_run_out_can_still_be_ended(self, world: World) -> None:
        """
        The next check of the name may be a day ahead.
        """
        world.now += 7 * DAY

        assert world.budget.resume([NAME])

    def test_it_outlives_the_loss_of_the_budget(self, world: World, connection: Redis) -> None:
        """
        After an eviction of both keys the CA reports the pause again.
        """
        connection.delete(BUDGET + LETSENCRYPT.label)

        with pytest.raises(Paused):
            world.until(NAME)


class TestForeign:
    """
    Return times and pauses that another program wrote.
    """

    @pytest.mark.parametrize("score", ["inf", "1e300", "1e15"])
    @pytest.mark.parametrize(
        "member",
        ["stop", "orders", f"failures {NAME}", f"streak {NAME}", f"pause {NAME}", "domain example.org"],
    )
    def test_no_retry_time_blocks_the_ca_without_end(
        self, world: World, connection: Redis, member: str, score: str
    ) -> None:
        """
        No invalid member of the budget stops the orders.
        """
        connection.zadd(f"{BUDGET}letsencrypt", {member: float(score)})

        world.order(NAME)

        assert (connection.zscore(f"{BUDGET}letsencrypt", member) or 0) < 1e14

    def test_a_plausible_stop_is_obeyed_and_a_long_one_is_not(self, world: World, connection: Redis) -> None:
        """
        certworker waits for a busy CA for an hour at most.
        """
        soon = world.now + HOUR
        connection.zadd(f"{BUDGET}letsencrypt", {"stop": soon.timestamp() * 1_000})
        assert soon == world.until(NAME)

        connection.zadd(f"{BUDGET}letsencrypt", {"stop": (soon + MINUTE).timestamp() * 1_000})
        assert world.until(NAME) is None

    def test_a_ca_that_asks_for_years_waits_a_week(self, world: World) -> None:
        """
        The next answer of the CA may be another one.
        """
        world.refused(TooManyOrders(authority="the CA", detail="years", until=world.now + 3_650 * DAY), NAME)

        until = world.until(NAME)
        assert until
        assert until <= world.now + 7 * DAY + HOUR

    def test_the_list_of_pauses_holds_names_only(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        It is read after a loss of the budget; invalid names are removed with one line.
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
        assert [f"removed 3 entries from {PAUSES}letsencrypt that are no names"] == [
            line.getMessage() for line in caplog.records
        ]
        with pytest.raises(Paused, match=r"https://ca\.example/"):
            world.order(NAME)

    @pytest.mark.parametrize("page", ["x" * 5_000_000, "javascript:alert(1)", "", b"\xff\x1b[2J"])
    def test_a_page_that_is_no_link_is_not_shown(self, world: World, connection: Redis, page: str) -> None:
        """
        The remedy names the web site of the CA instead.
        """
        connection.zadd(f"{BUDGET}letsencrypt", {f"pause {NAME}": (world.now + DAY).timestamp() * 1_000})
        connection.hset(f"{PAUSES}letsencrypt", NAME, page)

        with pytest.raises(Paused) as caught:
            world.order(NAME)

        assert caught.value.url == "the web site of the CA"


class TestLoss:
    def test_the_volume_remembers_the_certificates(self, connection: Redis) -> None:
        """
        An emptied Redis does not allow five more certificates of the same set.
        """
        world = World(connection)
        world.issued = [((NAME,), NOW - number * HOUR) for number in range(1, 4)]

        until = world.until(NAME, renewal=True)
        assert until
        assert 3 * 7 * DAY / 5 - 3 * HOUR - 2 * 7 * DAY / 5 == until - NOW

    def test_it_remembers_them_for_the_registered_domain_too(self, connection: Redis) -> None:
        """
        Renewals do not count for the domain: of each set only the first certificate does.
        """
        world = World(connection)
        world.issued = [((f"{number}.example.org",), NOW - MINUTE) for number in range(50)]
        assert world.until("new.example.org")

        connection.flushall()
        world.issued = [(("1.example.org",), NOW - number * MINUTE) for number in range(50)]
        assert world.until("new.example.org") is None

    def test_what_is_older_than_the_limit_costs_nothing(self, connection: Redis) -> None:
        """
        The charges expire as they do at the CA.
        """
        world = World(connection)
        world.issued = [((NAME,), NOW - 8 * DAY)] * 5

        assert world.until(NAME) is None

    def test_the_orders_count_as_half_used(self, connection: Redis) -> None:
        """
        The volume knows the certificates, not the orders.
        """
        world = World(connection)
        for number in range(150):
            world.order(f"a.shop{number}.com")

        assert world.until("a.other.com")

    def test_the_failures_of_a_name_count_as_half_used_for_an_hour(self, connection: Redis) -> None:
        """
        After each loss of Redis one failure is allowed, then the name waits.
        """
        world = World(connection)
        world.fail(NAME)

        assert NOW + 6 * MINUTE == world.until(NAME)

    def test_a_redis_without_memory_forgets_nothing_that_the_volume_knows(self, connection: Redis) -> None:
        """
        The Redis of Appwrite evicts keys that were not used lately.
        """
        world = World(connection)
        world.issued = [((NAME,), NOW - number * MINUTE) for number in range(1, 6)]
        for _ in range(3):
            connection.delete(BUDGET + LETSENCRYPT.label)

            assert world.until(NAME, renewal=True)


class TestEnds:
    def test_fifty_thousand_names_take_three_weeks(self, world: World) -> None:
        """
        300 orders per 3 hours, however fast the worker is.
        """
        ends = world.budget.available_at([f"a.shop{number}.com" for number in range(50_000)])
        assert ends

        assert 20 * DAY < ends - world.now < 21 * DAY

    def test_the_slowest_bucket_decides(self, world: World) -> None:
        """
        A hundred names of one domain take another week.
        """
        ends = world.budget.available_at([f"{number}.example.org" for number in range(100)])

        assert world.now + 7 * DAY == ends

    def test_what_is_used_already_counts(self, world: World) -> None:
        """
        Orders that were placed already make the end later.
        """
        for number in range(50):
            world.order(f"{number}.example.org")
        ends = world.budget.available_at(["new.example.org"])

        assert ends == world.until("new.example.org")

    def test_a_few_names_end_now(self, world: World) -> None:
        """
        The limits allow them now.
        """
        assert world.now == world.budget.available_at([NAME])

    def test_nobody_knows_it_of_a_ca_without_figures(self, connection: Redis) -> None:
        """
        Without names or limits there is no end.
        """
        assert World(connection, Limits()).budget.available_at([NAME]) is None
        assert World(connection).budget.available_at([]) is None


class TestLine:
    @pytest.fixture
    def world(self, world: World) -> World:
        """
        Return limits in which all orders are used up.
        """
        for number in range(300):
            world.order(f"a.shop{number}.com")
        return world

    def test_each_of_thousands_gets_a_moment_of_its_own(self, world: World) -> None:
        """
        Otherwise all of them would try again whenever one order is possible.
        """
        waits = [(world.until(f"a.new{number}.com") or NOW) - world.now for number in range(5_000)]

        assert [timedelta(seconds=36 * (30 + place)) for place in range(1, 2_001)] == waits[:2_000]
        assert max(waits) <= DAY
        assert max(Counter(wait // HOUR for wait in waits).values()) < 500

    def test_asking_again_changes_nothing(self, world: World) -> None:
        """
        A restart loop neither loses its turn nor takes those of others.
        """
        first = world.until("a.new.com")
        assert {first} == {world.until("a.new.com") for _ in range(50)}
        assert first
        assert first + timedelta(seconds=36) == world.until("a.other.com")

    def test_whoever_comes_for_the_first_time_does_not_wait_behind_them(self, world: World) -> None:
        """
        A tenth of the orders is reserved for new names.
        """
        for number in range(1_000):
            world.until(f"a.new{number}.com")
        world.now += timedelta(seconds=36) * 30

        assert world.until("a.new0.com")
        assert world.until("a.person.com") is None

    def test_the_line_moves_on(self, world: World) -> None:
        """
        Each request that comes back at its time gets an order in the end.
        """
        moments = {f"a.new{number}.com": world.until(f"a.new{number}.com") for number in range(100)}
        for _ in range(5_000):
            name, moment = min(moments.items(), key=lambda each: each[1] or NOW)
            world.now = max(world.now, moment or NOW)
            moments[name] = world.until(name)
            if moments[name] is None:
                world.order(name)
                del moments[name]
            if not moments:
                break

        assert {} == moments


class TestRedisIsAway:
    def test_a_certificate_is_not_lost_because_the_budget_cannot_be_settled(self, connection: Redis) -> None:
        """
        Reserved charges stay reserved until the buckets refill.
        """
        world = World(connection)
        with world.budget.reserve((NAME,), exempt=False, renewal=False) as reservation:
            reservation.placed(replaces=False)
            reservation.validated()
            connection.set(BUDGET + LETSENCRYPT.label, "no sorted set")


def limits_file(place: Path, directory_url: str, **limits: str) -> str:
    """
    Write the limits of the CA at *directory_url* to a file, and return its path.
    """
    file = place / "limits.json"
    file.write_text(json.dumps({directory_url: limits}))
    return str(file)


class TestForIssuer:
    def test_the_file_of_the_operator_counts(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        The file has the limits that a CA has granted.
        """
        url = app_authority.directory_url
        file = limits_file(tmp_path, url, certificates_per_set="1/7d")
        with open_app(tmp_path, connection, url, http_port, CERTWORKER_LIMITS_FILE=file) as app:
            app.issuance.issue((LOCAL_NAME,))
            with pytest.raises(LocalGuard):
                app.issuance.issue((LOCAL_NAME,), force=True)

    def test_an_emptied_redis_is_filled_from_the_volume(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        The generations on the volume are the history of what was issued.
        """
        url = app_authority.directory_url
        file = limits_file(tmp_path, url, certificates_per_set="1/7d")
        with open_app(tmp_path, connection, url, http_port, CERTWORKER_LIMITS_FILE=file) as app:
            app.issuance.issue((LOCAL_NAME,))
            connection.delete(BUDGET + app.issuers[0].ca.label)
            with pytest.raises(LocalGuard):
                app.issuance.issue((LOCAL_NAME,), force=True)

    def test_a_file_that_is_not_understood_stops_the_start(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        The start fails, not the first job.
        """
        url = app_authority.directory_url
        file = limits_file(tmp_path, url, certificates_per_set="many")
        with (
            pytest.raises(InvalidSettings),
            open_app(tmp_path, connection, url, http_port, CERTWORKER_LIMITS_FILE=file),
        ):
            pass
