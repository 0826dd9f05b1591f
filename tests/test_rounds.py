"""
The rounds: nothing that is due stays undone, nothing that Redis lost stays lost.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from certworker.assembly import House
from certworker.development.authority import DevelopmentAuthority
from certworker.errors.authority import ServerInternal
from certworker.errors.configuration import EmailMissing
from certworker.errors.limits import Paused
from certworker.errors.machine import SchemaTooNew
from certworker.intake.batches import new_job
from certworker.intake.queue import queue_length
from certworker.ledger.agenda import AGENDA
from certworker.ledger.lanes import LANE
from certworker.ledger.record import RECORDS
from certworker.names import requested_names
from certworker.schedule import Plan
from certworker.serving.generation import Facts

NAME = "shop.localhost"


def always_due(_: Facts, now: datetime) -> Plan:
    """
    The plan of somebody in a hurry.
    """
    return Plan(due=True, next_look=now, advised=False)


def requested_together(house: House) -> tuple[str, ...]:
    """
    The names of the next request that waits for a slot.
    """
    taken = house.lanes.take(new_job("certworker.issue", datetime.now(UTC)), [])
    assert taken
    given = json.loads(taken.fields["data"])[3]
    return tuple(given.get("domains") or [given["domain"]])


class TestLook:
    def test_a_certificate_that_is_not_due_gets_its_next_look(self, house: House) -> None:
        """
        Most looks end so, and none of them costs a job.
        """
        house.issuer.issue((NAME,))
        house.agenda.put(NAME, house.clock() - timedelta(seconds=1))

        assert {"looked": 1, "requested": 0} == house.rounds.look()
        moment = house.agenda.moment(NAME)
        assert moment is not None
        assert moment > house.clock()
        assert 0 == len(house.lanes)

    def test_a_certificate_that_is_due_waits_for_a_slot(
        self, house: House, door_authority: DevelopmentAuthority
    ) -> None:
        """
        This is how renewal begins.
        """
        door_authority.lifetime = timedelta(seconds=2)
        house.issuer.issue((NAME,))
        later = house.clock() + timedelta(days=1)
        rounds = replace(house.rounds, clock=lambda: later)

        assert {"looked": 1, "requested": 1} == rounds.look()
        assert (1, 0) == (len(house.lanes), queue_length(house.connection))

    def test_all_names_of_a_certificate_are_requested_together_and_once(self, house: House) -> None:
        """
        Each of them stands on the agenda, but there is one certificate.
        """
        names = (NAME, f"www.{NAME}")
        house.issuer.issue(names)
        later = house.clock() + timedelta(days=80)
        rounds = replace(house.rounds, clock=lambda: later)

        assert {"looked": 2, "requested": 1} == rounds.look()
        assert 1 == len(house.lanes)

    def test_a_name_that_left_a_certificate_is_looked_at_by_its_own(self, house: House) -> None:
        """
        What is known of one of its names is not known of another that leads elsewhere by now.
        """
        www = f"www.{NAME}"
        house.issuer.issue((NAME, www))
        house.issuer.issue((www,), force=True)
        later = house.clock() + timedelta(days=80)
        rounds = replace(house.rounds, clock=lambda: later)

        assert {"looked": 2, "requested": 2} == rounds.look()

    def test_what_is_urgent_goes_first(self, house: House, door_authority: DevelopmentAuthority) -> None:
        """
        A certificate that expires tomorrow cannot wait until all that are merely due are renewed.
        """
        now = house.clock()
        for name, days in (("renewal.localhost", 20), ("expiring.localhost", 1)):
            door_authority.lifetime = timedelta(days=days)
            house.issuer.issue((name,))
        house.agenda.put_many({"renewal.localhost": now, "expiring.localhost": now, "new.localhost": now})
        rounds = replace(house.rounds, clock=lambda: now + timedelta(hours=23), plan=always_due)

        assert {"looked": 3, "requested": 3} == rounds.look()
        assert ["expiring.localhost", "renewal.localhost", "new.localhost"] == [
            taken.tenant
            for taken in iter(
                partial(house.lanes.take, new_job("certworker.issue", datetime.now(UTC)), []), None
            )
        ]

    def test_what_the_ca_wants_renewed_early_goes_before_what_is_old(self, house: House) -> None:
        """
        It has the day, or less, before the CA revokes.
        """
        now = house.clock()
        for name in ("old.localhost", "revoked.localhost"):
            house.issuer.issue((name,))
            house.agenda.put(name, now)

        def plan(facts: Facts, now: datetime) -> Plan:
            return Plan(due=True, next_look=now, advised="revoked.localhost" in facts.names)

        replace(house.rounds, plan=plan).look()

        assert ["revoked.localhost", "old.localhost"] == [
            taken.tenant
            for taken in iter(
                partial(house.lanes.take, new_job("certworker.issue", datetime.now(UTC)), []), None
            )
        ]

    def test_a_certificate_that_traefik_does_not_serve_is_put_right(self, house: House) -> None:
        """
        A worker may die between the certificate and Traefik's file, and people delete files.
        """
        house.issuer.issue((NAME,))
        (house.traefik.directory / f"{NAME}.yml").unlink()
        house.agenda.put(NAME, house.clock())

        assert {"looked": 1, "requested": 1} == house.rounds.look()

    def test_what_a_newer_certworker_stored_gets_a_job_that_says_so(self, house: House) -> None:
        """
        One name of fifty thousand must not end the look at the others.
        """
        house.issuer.issue((NAME,))
        for meta in house.volume.directory.glob(".certworker/generations/*/meta.json"):
            meta.write_text(meta.read_text().replace('"schema": 1', '"schema": 2'))
        house.agenda.put(NAME, house.clock())

        assert {"looked": 1, "requested": 1} == house.rounds.look()
        with pytest.raises(SchemaTooNew):
            house.issuer.issue((NAME,))
        record = house.records.read(NAME)
        assert record
        assert "ledger.schema" == record.code

    def test_a_job_that_gets_lost_is_missed_after_a_while(self, house: House) -> None:
        """
        Redis may evict a job; the name stands on the agenda until a certificate is there.
        """
        house.agenda.put("new.localhost", house.clock() - timedelta(seconds=1))
        house.rounds.look()
        moment = house.agenda.moment("new.localhost")

        assert moment is not None
        assert timedelta(0) < moment - house.clock() <= timedelta(minutes=15)

    def test_a_lost_job_of_a_short_certificate_is_missed_in_time(
        self, house: House, door_authority: DevelopmentAuthority
    ) -> None:
        """
        A quarter of an hour is the whole life of some certificates.
        """
        door_authority.lifetime = timedelta(minutes=15)
        facts = house.issuer.issue((NAME,)).facts
        for left in (timedelta(minutes=4), timedelta(seconds=43)):
            now = facts.not_after - left
            house.agenda.put(NAME, now)
            later = replace(house.rounds, clock=partial(datetime.fromtimestamp, now.timestamp(), UTC))

            assert {"looked": 1, "requested": 1} == later.look()
            moment = house.agenda.moment(NAME)
            assert moment is not None
            assert moment - now <= max(left / 8, timedelta(seconds=15))

    def test_what_is_urgent_is_a_share_of_a_short_life(
        self, house: House, door_authority: DevelopmentAuthority
    ) -> None:
        """
        All certificates of 47 hours expire within 48 hours; only those near their end go first.
        """
        door_authority.lifetime = timedelta(hours=47)
        now = house.clock()
        for name in ("early.localhost", "late.localhost"):
            house.issuer.issue((name,))
            house.agenda.put(name, now)

        replace(house.rounds, plan=always_due, clock=lambda: now + timedelta(hours=20)).look()
        assert 0 == house.connection.exists(f"{LANE}expiring")
        house.agenda.put("late.localhost", now)
        replace(house.rounds, plan=always_due, clock=lambda: now + timedelta(hours=40)).look()
        assert 1 == house.connection.exists(f"{LANE}expiring")

    def test_names_that_were_requested_together_stay_together(self, house: House) -> None:
        """
        The first attempt failed, so only the records know it.
        """
        names = (NAME, f"www.{NAME}")
        now = house.clock()
        house.records.began(names, next_look=now, now=now)
        house.agenda.put_many(dict.fromkeys(names, now))

        assert {"looked": 2, "requested": 1} == house.rounds.look()

    @pytest.mark.parametrize("asked", [(NAME,), (NAME, f"shop.{NAME}")])
    def test_a_name_that_left_a_certificate_is_not_renewed_with_it(
        self, house: House, asked: tuple[str, ...]
    ) -> None:
        """
        A request for fewer or for other names defines the new set; the names that stay get one of their own.
        """
        stays = (f"api.{NAME}", f"www.{NAME}")
        house.issuer.issue((NAME, *stays))
        forced = house.issuer.issue(asked, force=True).facts.serial
        house.agenda.put_many(dict.fromkeys((*asked, *stays), house.clock()))
        due = replace(house.issuer, plan=always_due)

        assert 2 == replace(house.rounds, plan=always_due).look()["requested"]
        requested = {requested_together(house), requested_together(house)}
        assert {asked, stays} == {tuple(sorted(names, key=[*asked, *stays].index)) for names in requested}

        assert set(stays) == set(due.issue(stays).facts.names)
        facts = house.volume.facts(NAME)
        assert facts
        assert forced == facts.serial

    def test_a_certificate_that_is_not_yet_in_service_for_all_names_splits_nothing(
        self, house: House
    ) -> None:
        """
        A worker died while it put the new one into service.
        """
        names = (NAME, f"www.{NAME}")
        house.issuer.issue(names)
        before = house.volume.links.leads_to(NAME)
        assert before
        house.issuer.issue(names, force=True)
        house.volume.links.switch([NAME], before)
        house.agenda.put(NAME, house.clock())

        replace(house.rounds, plan=always_due).look()

        assert set(names) == set(requested_together(house))

    @pytest.mark.parametrize("served", [True, False])
    def test_a_record_is_not_a_request(self, house: House, served: bool) -> None:
        """
        A forged record does not join the names of different people in one certificate.
        """
        evil, now = "evil.localhost", house.clock()
        if served:
            house.issuer.issue((NAME,))
        else:
            house.records.began((NAME,), next_look=now, now=now)
        house.records.began((evil,), next_look=now, now=now)
        for name in (evil, NAME) if served else (evil,):
            house.connection.hset(f"{RECORDS}{name}", "names", json.dumps([evil, NAME]))
        house.agenda.put(evil, now)

        house.rounds.look()

        request = house.lanes.take(new_job("certworker.issue", datetime.now(UTC)), [])
        assert request
        assert {"domain": evil} == json.loads(request.fields["data"])[3]

    def test_a_certificate_whose_names_are_refused_is_recorded_and_checked_again(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A job would end before its attempt begins, and nothing would say so but a line every 15 minutes.
        """
        house.issuer.issue((NAME,))
        now = house.clock()
        house.agenda.put_many({NAME: now, "planted.localhost": now})
        public = partial(requested_names, None, private=False)

        replace(house.rounds, check_request=public, plan=always_due).look()

        record, moment = house.records.read(NAME), house.agenda.moment(NAME)
        assert record
        assert ("failed", "name.no_public_suffix") == (record.state, record.code)
        assert moment
        assert timedelta(hours=23) < moment - now <= timedelta(days=1.1)
        assert 0 == len(house.lanes)
        assert "planted.localhost" not in house.agenda
        assert "name.no_public_suffix" in caplog.text

    @pytest.mark.parametrize("planted", ["Shop.Example", "../etc", "a b", "x" * 300])
    def test_what_is_no_name_is_dropped_and_stops_no_look(
        self, house: House, caplog: pytest.LogCaptureFixture, planted: str
    ) -> None:
        """
        Whoever may write to Redis may plan a look at anything.
        """
        moment = house.clock() - timedelta(days=1)
        house.agenda.put_many({planted: moment, NAME: moment})

        assert {"looked": 1, "requested": 1} == house.rounds.look()
        assert planted not in house.agenda
        assert "removed 1 entries from the agenda that are no names" in caplog.text

    def test_an_error_with_one_name_postpones_that_name_alone(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The error is logged with its traceback, and the other name is requested.
        """
        house.issuer.issue((NAME,))
        house.agenda.put_many(dict.fromkeys((NAME, "new.localhost"), house.clock() - timedelta(seconds=1)))

        def divide(facts: Facts, now: datetime) -> Plan:
            raise ZeroDivisionError(facts.names)

        before = house.clock()
        assert {"looked": 2, "requested": 1} == replace(house.rounds, plan=divide).look()

        assert (house.agenda.moment(NAME) or before) > before
        assert [NAME] == [line.__dict__["domain"] for line in caplog.records if line.exc_info]

    @pytest.mark.parametrize(
        "fields",
        [
            {"attempts": "9" * 5_000},
            {"names": '["\\ud800", "planted.localhost"]'},
            {"names": '["planted.localhost", "../x"]', "not_after": "9999-12-31T23:59:59-23:59"},
            {"message": "x" * 5_000_000, "unfinished": "-inf"},
        ],
    )
    def test_a_planted_record_costs_no_other_name_its_check(
        self, house: House, fields: dict[str, str]
    ) -> None:
        """
        One HSET stopped every check of every name, in every worker, over restarts.
        """
        planted: dict[Any, Any] = {"state": "failed", "updated": "2026-01-01T00:00:00Z", **fields}
        house.connection.hset(RECORDS + "planted.localhost", mapping=planted)
        names = ["planted.localhost", *(f"{number}.localhost" for number in range(5))]
        house.agenda.put_many(dict.fromkeys(names, house.clock() - timedelta(days=1)))

        assert {"looked": 6, "requested": 6} == house.rounds.look()
        assert 6 == len(house.lanes)

    def test_files_that_cannot_be_read_stop_no_look_at_others(self, house: House) -> None:
        """
        Their own job tells what is wrong with them.
        """
        (house.volume.directory / "loop.localhost").symlink_to("loop.localhost")
        moment = house.clock() - timedelta(days=1)
        house.agenda.put_many({"loop.localhost": moment, NAME: moment})

        assert {"looked": 2, "requested": 2} == house.rounds.look()


class TestRetryAfterAChange:
    def test_what_needs_a_person_is_tried_now_and_nothing_else(self, house: House) -> None:
        """
        The remedy ends with the command that starts the worker again, not with a day of waiting.
        """
        now = house.clock()
        later = now + timedelta(hours=20)
        failures = {
            "mail.localhost": EmailMissing(),
            "busy.localhost": ServerInternal(authority="the CA", detail="busy"),
            "paused.localhost": Paused(
                authority="the CA", name="paused.localhost", url="https://ca.example/"
            ),
        }
        for name, failure in failures.items():
            house.records.failed([name], failure, next_look=later, now=now)
        house.agenda.put_many(dict.fromkeys([*failures, "unknown.localhost"], later))

        assert 1 == house.rounds.retry_after_a_change()
        assert ["mail.localhost"] == house.agenda.due(house.clock(), 9)


class TestReconcile:
    def test_files_that_cannot_be_read_are_told_and_stop_nothing(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        One directory that somebody spoilt must not cost the others their renewals.
        """
        house.issuer.issue((NAME,))
        spoilt = house.volume.directory / "loop.localhost"
        spoilt.mkdir()
        (spoilt / "fullchain.pem").symlink_to("fullchain.pem")
        house.connection.flushdb()

        house.rounds.reconcile()

        assert NAME in house.agenda
        assert "loop.localhost" in caplog.text

    def test_what_only_the_volume_remembers_comes_back(self, house: House) -> None:
        """
        An emptied Redis loses nothing.
        """
        for number in range(3):
            house.issuer.issue((f"shop{number}.localhost",))
        house.connection.flushall()

        assert 3 == house.rounds.reconcile()
        assert 3 == len(house.agenda)

    @pytest.mark.parametrize("score", [float("inf"), 1e300])
    def test_a_name_without_a_next_check_gets_one(self, house: House, score: float) -> None:
        """
        An older version planned none after some answers of a CA, also for certificates in service.
        """
        house.issuer.issue((NAME,))
        house.connection.zadd(AGENDA, {NAME: score, "refused.localhost": score})

        house.rounds.reconcile()

        for name in (NAME, "refused.localhost"):
            moment = house.agenda.moment(name)
            assert moment is not None
            assert moment - house.clock() <= timedelta(minutes=10)

    def test_what_the_agenda_knows_is_left_alone(self, house: House) -> None:
        """
        Its moments may say more than the volume: an attempt after a failure, for one.
        """
        outcome = house.issuer.issue((NAME,))
        house.rounds.reconcile()
        moment = house.agenda.moment(NAME)

        assert moment is not None
        assert outcome.next_look.timestamp() == pytest.approx(moment.timestamp())
