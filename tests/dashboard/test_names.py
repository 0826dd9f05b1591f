"""
Tests of the index of names: searches, pages, tenants and rebuilds.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from redis import Redis
from redis.exceptions import RedisError

from certworker.app import App
from certworker.certificates import Certificate
from certworker.dashboard import names as names_module
from certworker.dashboard.names import (
    PAUSE_SECONDS,
    NameIndex,
    NamePage,
    NameQuery,
    NotReady,
    Sort,
)
from certworker.dashboard.sources import Sources
from certworker.errors.acme import BadCertificate
from certworker.errors.dns import Moved
from certworker.worker.producer import request_certificate
from tests.servers.redis import RedisServer
from tests.servers.worker import PATIENCE_SECONDS as PATIENCE
from tests.servers.worker import wait_until

DAY = timedelta(days=1)


@pytest.fixture
def names(app: App) -> list[str]:
    """
    Put twelve names into service, of two tenants and of none, and two that failed; return all.
    """
    app.issuance.issue(("first.localhost",))
    stored = app.certificates.current("first.localhost")
    assert stored is not None
    others = [f"shop{number:02}.localhost" for number in range(12)]
    for number, name in enumerate(others):
        certificate: Certificate = replace(
            stored.certificate, names=(name,), not_after=stored.certificate.not_after - number * DAY
        )
        app.certificates.store(certificate, authority="other", kind="private", token=1)
    failed = ["zzz.localhost", "shop03.localhost"]
    now = app.clock()
    app.agenda.put_many(dict.fromkeys([*others, *failed], now + DAY))
    failure = BadCertificate(name="zzz.localhost", reason="it is damaged")
    app.records.record_failed(failed[:1], failure, next_check=now + DAY, now=now)
    app.records.record_failed(failed[1:], failure, next_check=now + DAY, now=now)
    app.records.record_tenants({"zzz.localhost": "acme", "shop03.localhost": "acme", "shop05.localhost": "o"})
    for name in ("shop05.localhost", "shop07.localhost"):
        app.records.start_attempt([name], next_check=now + DAY, now=now)
    return ["first.localhost", *others, "zzz.localhost"]


def pages(index: NameIndex, query: NameQuery) -> Iterator[NamePage]:
    """
    Yield all pages of *query*.
    """
    page = index.page(query)
    yield page
    while page.next_cursor:
        page = index.page(replace(query, cursor=page.next_cursor))
        yield page


def found(index: NameIndex, query: NameQuery) -> list[str]:
    """
    Return the names on all pages of *query*.
    """
    return [one.name for page in pages(index, query) for one in page.names]


class TestPage:
    @pytest.mark.parametrize("sort", ["urgency", "expiry", "name"])
    @pytest.mark.parametrize("limit", [1, 3, 14, 500])
    def test_the_pages_have_each_name_once(
        self, index: NameIndex, names: list[str], sort: Sort, limit: int
    ) -> None:
        """
        The pages together have each name once, and each page has the total.
        """
        query = NameQuery(sort=sort, limit=limit)

        assert sorted(names) == sorted(found(index, query))
        assert {len(names)} == {page.total for page in pages(index, query)}
        assert all(len(page.names) <= limit for page in pages(index, query))

    def test_names_to_fix_come_first(self, index: NameIndex, names: list[str]) -> None:
        """
        By urgency, a name without a certificate precedes a failure beside a valid certificate.
        """
        urgent = found(index, NameQuery())

        assert ["zzz.localhost", "shop03.localhost"] == urgent[:2]
        assert sorted(set(names) - set(urgent[:2])) == urgent[2:]
        assert sorted(names) == found(index, NameQuery(sort="name"))

    def test_certificates_that_expire_first_come_first(self, index: NameIndex, names: list[str]) -> None:
        """
        By expiry, the certificate with the earliest end is first, and a name without one is last.
        """
        ordered = found(index, NameQuery(sort="expiry"))

        assert [f"shop{number:02}.localhost" for number in range(11, 0, -1)] == ordered[:11]
        assert names[-1] == ordered[-1]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            (NameQuery(text=" SHOP1 "), ["shop10.localhost", "shop11.localhost"]),
            (NameQuery(state="failed"), ["zzz.localhost", "shop03.localhost"]),
            (NameQuery(state="no_certificate"), ["zzz.localhost"]),
            (NameQuery(state="issuing"), ["shop05.localhost", "shop07.localhost"]),
            (NameQuery(tenant="acme"), ["zzz.localhost", "shop03.localhost"]),
            (NameQuery(tenant="acme", text="shop"), ["shop03.localhost"]),
            (NameQuery(tenant="nobody"), []),
            (NameQuery(text="first", issuer="other"), []),
            (NameQuery(text="shop1", issuer="other"), ["shop10.localhost", "shop11.localhost"]),
            (NameQuery(due=timedelta(0)), []),
            (NameQuery(due=timedelta.max, text="zzz"), []),
            (NameQuery(due=80 * DAY, text="shop11"), ["shop11.localhost"]),
        ],
    )
    def test_filters_select_names(
        self, index: NameIndex, names: list[str], query: NameQuery, expected: list[str]
    ) -> None:
        """
        Each filter selects names, and the total counts only these names.
        """
        assert len(names) > len(expected)
        assert expected == found(index, query)
        assert len(expected) == index.page(query).total

    @pytest.mark.parametrize(
        "query",
        [
            NameQuery(cursor="x"),
            NameQuery(cursor="ü"),
            NameQuery(cursor="A" * 5_000),
            NameQuery(cursor=urlsafe_b64encode(b'["name", 0, "a"]').decode()),
            NameQuery(cursor=urlsafe_b64encode(b'["urgency", NaN, "a"]').decode()),
            NameQuery(cursor=urlsafe_b64encode(b'["urgency", [], "a"]').decode()),
            NameQuery(cursor=urlsafe_b64encode(b"[" * 700).decode()),
            NameQuery(limit=0),
            NameQuery(limit=501),
        ],
    )
    def test_an_invalid_query_is_refused(self, index: NameIndex, query: NameQuery) -> None:
        """
        A cursor of another order, an invalid cursor and a size out of range raise ValueError.
        """
        with pytest.raises(ValueError, match=r"cursor|page"):
            index.page(query)

    def test_the_state_on_a_page_is_the_present_one(
        self, app: App, index: NameIndex, names: list[str]
    ) -> None:
        """
        A page has the state of its names now, without names that were removed or that changed their tenant.
        """
        assert "shop03.localhost" in found(index, NameQuery(tenant="acme"))
        app.issuance.issue(("shop07.localhost",), force=True)
        app.removal.remove(names[-1])
        app.records.record_tenants({"shop03.localhost": "other"})

        assert ["valid"] == [one.state for one in index.page(NameQuery(text="shop07")).names]
        assert [] == found(index, NameQuery(tenant="acme"))

    def test_without_redis_the_search_fails(self, app: App, own_redis: RedisServer) -> None:
        """
        Without Redis, the first search raises the error of Redis.
        """
        index = NameIndex(Sources.of(app.settings, Redis(port=own_redis.port)))
        own_redis.kill()

        with pytest.raises(RedisError):
            index.page(NameQuery())
        index.stop()


class TestCounts:
    def test_each_state_and_failure_is_counted(self, index: NameIndex, names: list[str]) -> None:
        """
        The counts have all names by state, and failures also by detail; a tenant has its own counts.
        """
        counts, tenants = index.counts(), index.counts("acme")

        assert len(names) == sum(counts.values()) - counts["failing"] - counts["no_certificate"]
        assert (10, 2, 2, 1, 1) == tuple(
            counts[state] for state in ("valid", "issuing", "failed", "failing", "no_certificate")
        )
        assert (0, 2) == (tenants["valid"], tenants["failed"])
        assert {0} == set(index.counts("nobody").values())


class TestNextRenewals:
    def test_the_earliest_renewals_are_first(self, index: NameIndex, names: list[str]) -> None:
        """
        The next renewals are those of the certificates that end first, of one tenant or of all.
        """
        renewals = index.next_renewals(3)

        assert names[-2] == renewals[0].name
        assert [one.renewal for one in renewals] == sorted(one.renewal for one in renewals if one.renewal)
        assert ["shop03.localhost"] == [one.name for one in index.next_renewals(3, "acme")]

    def test_a_moved_name_has_no_renewal(self, app: App, index: NameIndex, names: list[str]) -> None:
        """
        A moved name is not renewed, so it is neither a next renewal nor due.
        """
        moved, now = names[-2], app.clock()
        failure = Moved(name=moved, found="203.0.113.7", record=f"{moved}. A 203.0.113.1")
        app.records.record_failed([moved], failure, next_check=now + DAY, now=now)

        assert names[-3] == index.next_renewals(1)[0].name
        assert moved not in found(index, NameQuery(due=400 * DAY))
        assert [moved] == found(index, NameQuery(state="moved"))


class TestFind:
    def test_a_name_is_found_in_any_spelling_by_its_tenant_only(
        self, index: NameIndex, names: list[str]
    ) -> None:
        """
        A name is found in any spelling. Another tenant does not find it, and no one finds an unknown name.
        """
        for spelling in ("ZZZ.localhost.", "zzz.localhost"):
            status = index.find(spelling, "acme")
            assert status is not None
            assert "no_certificate" == status.detail
        assert names[-1] == getattr(index.find(names[-1]), "name", "")
        assert index.find(names[-1], "o") is None
        assert index.find(names[0], "acme") is None
        assert index.find("unknown.localhost") is None
        assert index.find("../x") is None

    def test_a_requested_name_is_found_before_its_first_attempt(self, app: App, index: NameIndex) -> None:
        """
        A name is known as soon as its request is on the queue. A tenant finds it after its claim.
        """
        for force, name in ((False, "new.localhost"), (True, "forced.localhost")):
            request_certificate(name, force=force, connection=app.connection)
            assert "missing" == getattr(index.find(name), "state", "")
            assert index.find(name, "acme") is None
        app.records.claim(["new.localhost"], "acme")

        assert "missing" == getattr(index.find("new.localhost", "acme"), "state", "")


class TestLoop:
    def test_the_index_follows_changes(self, app: App, index: NameIndex, names: list[str]) -> None:
        """
        While searches arrive, the index contains a new name after the next rebuild.
        """
        index.start()
        assert "new.localhost" not in found(index, NameQuery())
        app.agenda.put_many({"new.localhost": app.clock()})

        def has_it() -> bool | None:
            return "new.localhost" in found(index, NameQuery(limit=500)) or None

        assert wait_until(has_it, lambda: "the index has no new name")
        assert len(names) + 1 == index.page(NameQuery()).total

    @pytest.mark.parametrize(("most", "is_found"), [(100, True), (1, False)])
    def test_a_search_waits_for_a_small_index(
        self,
        app: App,
        sources: Sources,
        names: list[str],
        monkeypatch: pytest.MonkeyPatch,
        most: int,
        is_found: bool,
    ) -> None:
        """
        A search rebuilds an old index that is small, so it finds new names. A large one is rebuilt later.
        """
        clock = [0.0]
        index = NameIndex(sources, lambda: clock[0])
        index.stop()
        monkeypatch.setattr(names_module, "SMALL_INDEX", most)
        assert len(names) == len(found(index, NameQuery()))
        app.agenda.put_many({"new.localhost": app.clock()})

        assert "new.localhost" not in found(index, NameQuery())
        clock[0] += PAUSE_SECONDS + 1
        assert is_found == ("new.localhost" in found(index, NameQuery()))

    def test_a_search_does_not_wait_for_the_first_index_of_many_names(
        self, index: NameIndex, names: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        While the thread builds the index of many names, a search reports it. Afterwards, it finds them.
        """
        monkeypatch.setattr(names_module, "MOST_NAMES_AT_ONCE", 3)
        monkeypatch.setattr(names_module, "PATIENCE_SECONDS", 0.01)
        with index._building, pytest.raises(NotReady):
            index.page(NameQuery())
        assert index._is_built.wait(PATIENCE)

        assert len(names) == index.page(NameQuery()).total

    def test_an_unused_index_is_rebuilt_rarely(self, sources: Sources) -> None:
        """
        While searches arrive, the pause is short. A minute after the last search, it is long.
        """
        clock = [0.0]
        index = NameIndex(sources, lambda: clock[0])

        assert index._step() == PAUSE_SECONDS
        clock[0] = 61.0
        assert index._step() > 60 * PAUSE_SECONDS
