"""
Redis: each program with access to it can write any value to any key.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from certworker.challenges.tokens import TOKENS, ChallengeTokens
from certworker.dns01.provider import TxtRecord
from certworker.dns01.provider_state import EXTRA_WAITS, LONGEST_PAUSE, ProviderState
from certworker.dns01.provider_state import PAUSES as PROVIDER_PAUSES
from certworker.dns01.txt_records import RECORDS as TXT_RECORDS
from certworker.dns01.txt_records import TxtRecords, identifier_of
from certworker.dns01.zone_lock import LINES, SEEN, ZoneLocks
from certworker.errors import CertworkerError
from certworker.errors.payload import PayloadFailure
from certworker.errors.rate import LocalGuard, Paused
from certworker.errors.redis import RedisFault
from certworker.errors.worker import AlreadyInProgress, BadJob, SchemaTooNew
from certworker.integrations.appwrite.messages import Message, read_resque, read_utopia
from certworker.issuance.pending_orders import LONGEST, PendingOrderStore
from certworker.notify.message import Notification, plain, read, sort
from certworker.observability.events import EVENTS, EventStream
from certworker.observability.history import HISTORY, History, HistoryEntry
from certworker.ratelimits.budget import BUDGET, PAUSES, Budget
from certworker.ratelimits.charges import set_of
from certworker.ratelimits.limits import LETS_ENCRYPT
from certworker.renewal.agenda import AGENDA, Agenda
from certworker.settings import CaChoice
from certworker.state.domain_records import RECORDS, DomainRecords
from certworker.state.locks import FENCE, LOCKS, DomainLocks
from certworker.state.once_per import DOUBT_TTL, DOUBTS, LOGGED, LOGGED_TTL, OncePer
from certworker.state.outbox import NotificationLog, Outbox
from certworker.state.priority_queues import PRIORITIES, PRIORITY_QUEUE, NewJob, PriorityQueues, Request
from certworker.state.schema import KEY, check_schema, have_settings_changed
from certworker.supervision import Heartbeats
from certworker.validity import now_in_utc
from certworker.worker.health import REPORTS, Health, reports
from certworker.worker.job_class import READ_FIELDS, job_class_for
from certworker.worker.payload import read_call
from certworker.worker.producer import QUEUE, request_certificate
from certworker.worker.queue_stats import queue_stats
from certworker.worker.wait import wait_for
from tests.fuzz.strategies import anything, as_bytes, documents, numbers, raw, spoiled, texts, written

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

#: The name with hostile values, and the name that they must not affect.
NAME, NEIGHBOR = "shop.example.org", "neighbor.example.net"

#: The values in Redis.
values = texts.map(as_bytes) | numbers.map(as_bytes) | anything.map(written) | raw
scores = st.sampled_from([0, -1, 1e300, float("inf"), float("-inf"), NOW.timestamp()]) | st.floats(
    allow_nan=False
)


@dataclass(frozen=True)
class Value:
    """
    The value of a key.
    """

    type: str
    content: Any

    def write(self, connection: Redis, key: str) -> None:
        """
        Replace the value of *key*.
        """
        connection.delete(key)
        if self.type == "string":
            connection.set(key, self.content)
        elif self.type == "list":
            connection.rpush(key, *self.content)
        elif self.type == "set":
            connection.sadd(key, *self.content)
        elif self.type == "hash":
            connection.hset(key, mapping=self.content)
        elif self.type == "zset":
            connection.zadd(key, self.content)
        else:
            connection.xadd(key, self.content)


def of_type(name: str, content: st.SearchStrategy[Any]) -> st.SearchStrategy[Value]:
    """
    Return values of one type. Redis has no empty values.
    """
    return content.filter(bool).map(partial(Value, name))


some = st.lists(values, min_size=1, max_size=3)
mappings = st.dictionaries(values, values, min_size=1, max_size=3)
#: A key of any type.
keys = st.one_of(
    of_type("string", values),
    of_type("list", some),
    of_type("set", some),
    of_type("hash", mappings),
    of_type("zset", st.dictionaries(values, scores, min_size=1, max_size=3)),
    of_type("stream", mappings),
)


def of_hash(valid: dict[str, Any]) -> st.SearchStrategy[Value]:
    """
    Return a hash like *valid*, or a key of any type.
    """

    def in_bytes(fields: dict[str, Any]) -> dict[str, bytes]:
        return {name: as_bytes(value) for name, value in fields.items()}

    like = of_type("hash", spoiled(valid, by=values).map(in_bytes))
    return like | like | keys


def of_list(valid: Any) -> st.SearchStrategy[Value]:
    """
    Return a list with texts like *valid*, or a key of any type.
    """
    like = of_type("list", st.lists(documents(valid), min_size=1, max_size=3))
    return like | like | keys


def of_string(valid: Any) -> st.SearchStrategy[Value]:
    """
    Return a text like *valid*, or a key of any type.
    """
    like = of_type("string", documents(valid))
    return like | like | keys


@pytest.fixture
def emptied(connection: Redis) -> Callable[[], Redis]:
    """
    Return a function that empties Redis for each example.
    """

    def empty() -> Redis:
        connection.flushall()
        return connection

    return empty


Emptied = Callable[[], Redis]


@given(members=st.dictionaries(values, scores, max_size=5), write=st.none() | keys)
def test_agenda(emptied: Emptied, members: dict[bytes, float], write: Value | None) -> None:
    """
    An invalid member does not hide a valid name.
    """
    connection = emptied()
    agenda = Agenda(connection)
    if write:
        write.write(connection, AGENDA)
    with suppress(Exception):
        connection.zadd(AGENDA, members)
    agenda.put(NEIGHBOR, NOW - HOUR)

    agenda.earliest(), agenda.next_check(NAME), agenda.missing([NAME]), len(agenda), NAME in agenda
    agenda.next_checks([NAME, NEIGHBOR])
    assert NEIGHBOR in agenda.due(NOW, 1_000)
    assert NEIGHBOR in agenda.names()
    for name in agenda.planned_after(NOW, 1_000):
        agenda.next_check(name)
    assert NOW - HOUR == agenda.next_check(NEIGHBOR)


RECORD = {
    "names": json.dumps([NAME]),
    "state": "failed",
    "code": "http.not_found",
    "message": "The answer is missing.",
    "remedy": "Route port 80.",
    "attempts": "3",
    "unfinished": "1",
    "not_before": "2026-11-01T00:00:00Z",
    "not_after": "2027-01-01T00:00:00Z",
    "serial": "0123",
    "authority": "letsencrypt",
    "next_check": "2026-11-29T00:00:00Z",
    "updated": "2026-11-28T00:00:00Z",
    "forced": json.dumps({"id": "0a1b", "names": [NAME], "at": "2026-11-28T00:00:00Z", "by": "", "run": ""}),
    "forced_begun": "0a1b 17",
    "forced_completed": "ffff",
}


@given(write=of_hash(RECORD))
def test_record(emptied: Emptied, write: Value) -> None:
    """
    An unreadable record counts as lost, and certworker writes it again.
    """
    connection = emptied()
    records = DomainRecords(connection)
    records.start_attempt([NEIGHBOR], next_check=NOW, now=NOW)
    neighbor = records.read(NEIGHBOR)
    write.write(connection, RECORDS + NAME)

    _, found = records.read_many([NAME, NEIGHBOR])
    assert found == neighbor
    records.attempts(NAME), records.needs_dry_run(NAME)
    records.record_failed([NAME, NEIGHBOR], AlreadyInProgress(name=NAME), next_check=NOW, now=NOW)
    read = records.read(NAME)
    assert read
    assert read.state == "failed"
    assert read.message.isprintable()
    assert read.forced is None or (NAME in read.forced.names and read.forced.by.isprintable())


@given(write=of_list(["2026-11-28T00:00:00Z", "INFO", "It began."]))
def test_story(emptied: Emptied, write: Value) -> None:
    """
    The history omits an unreadable line.
    """
    connection = emptied()
    stories = History(connection)
    write.write(connection, HISTORY + NAME)
    stories.append(NAME, HistoryEntry(NOW, "INFO", "It began."))
    stories.append(NEIGHBOR, HistoryEntry(NOW, "INFO", "It began."))

    assert all(event.text.isprintable() for event in stories.read(NAME))
    assert [HistoryEntry(NOW, "INFO", "It began.")] == stories.read(NEIGHBOR)


TOKEN = "a" * 43


@given(
    write=of_hash({TOKEN: '{"authority": "ca", "name": "a.org", "expires": "2026-11-28T12:30:00Z"}'}),
    stored=values,
)
def test_tokens(emptied: Emptied, write: Value, stored: bytes) -> None:
    """
    The responder does not answer an unreadable token, and answers the others.
    """
    connection = emptied()
    write.write(connection, TOKENS)
    tokens = ChallengeTokens(connection, clock=lambda: NOW)
    tokens.remember("b" * 43, authority="ca", name=NEIGHBOR)
    connection.hset(TOKENS, TOKEN, stored)
    others = ChallengeTokens(connection, clock=lambda: NOW)

    others.authority_of(TOKEN), others.authority_of("c" * 43)
    assert "b" * 43 in others.all()
    assert others.authority_of("b" * 43) == "ca"


ORDER = {
    "url": "https://ca/order/1",
    "names": [NAME],
    "expires": "2026-12-01T00:00:00Z",
    "reserved": True,
    "resumed": 2,
}


@given(write=of_string(ORDER))
def test_orders(emptied: Emptied, write: Value) -> None:
    """
    certworker does not resume an unreadable order.
    """
    connection = emptied()
    orders = PendingOrderStore(connection, "ca", now_in_utc)
    orders.save([NEIGHBOR], "https://ca/order/2", expires=None, reserved=False)
    write.write(connection, f"certworker:order:ca:{set_of([NAME])}")

    if found := orders.find([NAME]):
        assert found.names == (NAME,)
        assert found.expires <= now_in_utc() + LONGEST
    orders.delete([NAME])
    assert orders.find([NAME]) is None
    assert orders.find([NEIGHBOR])


NOTICE = Notification(
    kind="failed",
    name=NAME,
    code="http.not_found",
    message="It is missing.",
    remedy="Route port 80.",
    in_service="valid",
    days_left=3,
    next_attempt="2026-11-29T00:00:00Z",
    moment="2026-11-28T00:00:00Z",
    id="1",
    instance="example.org",
    host="worker",
    docs="certworker explain http.not_found",
)


@given(write=of_list(NOTICE.as_json()), log_key=keys)
def test_outbox(emptied: Emptied, write: Value, log_key: Value) -> None:
    """
    An invalid entry does not affect other notifications.
    """
    connection = emptied()
    outbox = Outbox(connection, "mail")
    write.write(connection, outbox.key)
    log_key.write(connection, f"certworker:told:{NAME}")
    outbox.put(replace(NOTICE, name=NEIGHBOR).as_json())
    NotificationLog(connection).notify_once(NAME, "failed", NOTICE.as_json(), [outbox])
    NotificationLog(connection).notify_recovery(NAME, NOTICE.as_json(), [outbox])
    sent: list[Notification] = []

    assert outbox.deliver(read, lambda notices: sent.extend(sort(notices)))
    assert NEIGHBOR in [notice.name for notice in sent]
    plain(sent).encode()


JOB = NewJob("job", "list", "hash", "[", "]", {"status": "queued"})


@given(priority=st.sampled_from(PRIORITIES), write=keys, own=keys)
def test_priority_queues(emptied: Emptied, priority: str, write: Value, own: Value) -> None:
    """
    An invalid request does not delay other requests.
    """
    connection = emptied()
    priority_queues = PriorityQueues(connection)
    write.write(connection, PRIORITY_QUEUE + priority)
    own.write(connection, f"{PRIORITY_QUEUE}{priority}:example.org")
    priority_queues.put("new", {Request((NAME,), "example.org"): 1, Request((NEIGHBOR,), "example.net"): 1})

    taken = []
    for _ in range(30):
        if one := priority_queues.take(JOB, ["example.org"]):
            taken.append(one.fields["data"])
    len(priority_queues)
    assert any(NEIGHBOR in data for data in taken)


@given(write=keys, pauses=keys)
def test_budget(emptied: Emptied, write: Value, pauses: Value) -> None:
    """
    With invalid buckets, the budget still allows an order now or at a given time.
    """
    connection = emptied()
    choice = CaChoice.named("letsencrypt")
    write.write(connection, BUDGET + choice.label)
    pauses.write(connection, PAUSES + choice.label)
    budget = Budget(connection, choice, LETS_ENCRYPT, issued=list, clock=lambda: NOW)

    with suppress(LocalGuard, Paused), budget.reserve([NAME], exempt=False, renewal=False) as spending:
        spending.placed(replaces=False)
    list(budget.usage([NAME])), budget.available_at([NAME]), budget.resume([NAME])
    with suppress(LocalGuard), budget.reserve([NEIGHBOR], exempt=False, renewal=True):
        pass


@given(fence=of_type("string", values) | keys, lock=values, write=st.booleans())
def test_locks(emptied: Emptied, fence: Value, lock: bytes, write: bool) -> None:
    """
    An invalid fencing token counts as lost, and a lock without an expiry belongs to no worker.
    """
    connection = emptied()
    fence.write(connection, FENCE)
    if write:
        connection.set(LOCKS + NAME, lock)
    locks = DomainLocks(connection, highest_token=lambda: 5)
    with suppress(RedisFault), locks.hold([NAME]) as lease:
        assert lease.token > 5
        assert lease.still_held()
    with locks.hold([NEIGHBOR]) as lease:
        assert lease.token > 5
    locks.loop.stop(0)


@given(schema=of_type("string", values) | keys, digest=keys, others=keys)
def test_single_values(emptied: Emptied, schema: Value, digest: Value, others: Value) -> None:
    """
    certworker replaces an invalid value. It accepts only a plausible version of a newer worker.
    """
    connection = emptied()
    schema.write(connection, KEY)
    with suppress(SchemaTooNew):
        check_schema(connection)
    digest.write(connection, "certworker:configuration")
    others.write(connection, "certworker:said:what")
    others.write(connection, f"certworker:doubt:{NAME}")
    others.write(connection, EVENTS)
    have_settings_changed(connection, "fingerprint")
    OncePer(connection, LOGGED, LOGGED_TTL).first("what")
    OncePer(connection, DOUBTS, DOUBT_TTL).first(NAME)
    EventStream(connection).append([NAME], {"name": NAME})


@given(text=documents(["certworker.issue", None, [], {"domain": NAME, "force": True}]), packed=st.booleans())
def test_call(text: bytes, packed: bool) -> None:
    """
    certworker rejects an invalid call with a reason.
    """
    with suppress(PayloadFailure, BadJob):
        assert isinstance(read_call(zlib.compress(text) if packed else text).keywords, dict)


HASH = {"status": "queued", "timeout": "900", "result_ttl": "500", "failure_ttl": "500", "origin": QUEUE}


@given(
    write=of_hash({**HASH, "data": '["certworker.issue", null, [], {"domain": "a.org"}]'}),
    more=st.dictionaries(st.sampled_from(READ_FIELDS), values, max_size=3),
    job_id=values,
)
def test_job(emptied: Emptied, write: Value, more: dict[str, bytes], job_id: bytes) -> None:
    """
    The worker runs or rejects each job, and records the result.
    """
    connection = emptied()

    def issue(
        domain: object = None, force: object = None, use_full_quota: object = None, by: object = None
    ) -> dict[str, object]:
        return {"state": "issued"}

    kind = job_class_for({"certworker.issue": issue})
    write.write(connection, "rq:job:hostile")
    for field, value in more.items():
        connection.hset("rq:job:hostile", field, value)
    with suppress(BadJob):
        kind.find(job_id, connection)
    with suppress(BadJob):
        job = kind.find(b"hostile", connection)
        job.to_dict()
        with suppress(CertworkerError):
            job.perform()
    job_id_of_neighbor = request_certificate((NEIGHBOR,), connection=connection)
    assert kind.find(job_id_of_neighbor.encode(), connection).failure is None


UTOPIA = {
    "pid": "6748",
    "queue": "v1-certificates",
    "timestamp": 1_790_000_000,
    "payload": {"domain": {"domain": NAME}, "action": "generation", "skipRenewCheck": False},
}
RESQUE = {"class": "CertificatesV1", "args": [{"domain": NAME, "skipRenewCheck": True}], "id": "1"}


@given(text=documents(UTOPIA) | documents(RESQUE), reader=st.sampled_from([read_utopia, read_resque]))
def test_message(text: bytes, reader: Callable[[bytes], Message]) -> None:
    """
    A message of Appwrite is a request, or certworker rejects it with a reason.
    """
    with suppress(PayloadFailure):
        assert isinstance(reader(text).domain, str)


@given(
    job=of_hash(HASH), result=of_hash({"return_value": "e30=", "exc_string": "eJwDAAAAAAE="}), ended=values
)
def test_follow(emptied: Emptied, job: Value, result: Value, ended: bytes) -> None:
    """
    A program that waits for a job gets one printable line.
    """
    connection = emptied()
    job.write(connection, "rq:job:one")
    result.write(connection, "rq:results:one")
    with suppress(Exception):
        connection.xadd("rq:results:one", {"return_value": ended, "exc_string": ended})
        connection.hset("rq:job:one", "status", "failed")

    ends = wait_for(connection, [("one", (NAME,)), ("two", (NEIGHBOR,))], timeout_seconds=0)
    assert all(each.text.isprintable() for each in ends)


@given(
    index=keys,
    report=of_string({"host": "here", "pid": 1, "healthy": True, "scheduler": True, "stalled": ["jobs"]}),
    queues=st.lists(values, min_size=1, max_size=3),
    other=keys,
)
def test_reports(
    emptied: Emptied, index: Value, report: Value, queues: Sequence[bytes], other: Value
) -> None:
    """
    The reports of other workers are printable, and certworker omits an invalid report.
    """
    connection = emptied()
    index.write(connection, REPORTS)
    with suppress(Exception):
        connection.sadd(REPORTS, "one")
    report.write(connection, f"{REPORTS}:one")
    Health(connection, Heartbeats(), lambda: True)._step()
    for each in reports(connection):
        assert f"{each.host}{each.reason}{''.join(each.stalled)}".isprintable()
    connection.sadd("rq:queues", *queues)
    other.write(connection, f"rq:workers:{QUEUE}")
    for queue in queues:
        other.write(connection, f"rq:queue:{queue.decode(errors='replace')}"[:200])
    for unserved in queue_stats(connection).unserved:
        assert str(unserved).isprintable()


#: The SHA-256 hash of the key authorization.
TXT_VALUE = "bGJtwx_aeQUdAkd9O06ksvOevovFljCQRQdFALMoc04"
TXT = TxtRecord(f"_acme-challenge.{NAME}", TXT_VALUE, NAME, NAME, "t" * 43, f"{'t' * 43}.{'k' * 43}")
OTHER_TXT = replace(TXT, fqdn=f"_acme-challenge.{NEIGHBOR}", zone=NEIGHBOR, name=NEIGHBOR)
TXT_ENTRY = {
    "fqdn": TXT.fqdn,
    "value": TXT.value,
    "zone": NAME,
    "name": NAME,
    "token": TXT.token,
    "key_authorization": TXT.key_authorization,
    "order": "0" * 32,
    "provider": "rfc2136",
    "created": "2026-11-28T12:00:00Z",
    "failures": 1,
    "again": "2026-11-28T12:00:00Z",
}


@given(write=of_hash({identifier_of(TXT): json.dumps(TXT_ENTRY)}), stored=documents(TXT_ENTRY))
def test_txt_records(
    emptied: Emptied, tmp_path_factory: pytest.TempPathFactory, write: Value, stored: bytes
) -> None:
    """
    An entry names a valid record, or certworker removes it from Redis and from the directory.
    """
    connection, directory = emptied(), tmp_path_factory.mktemp("dns01")
    write.write(connection, TXT_RECORDS)
    records = TxtRecords(connection, directory, clock=lambda: NOW)
    records.add([OTHER_TXT], order="1" * 32, provider="rfc2136")
    connection.hset(TXT_RECORDS, identifier_of(TXT), stored)
    (directory / f"{identifier_of(TXT)}.json").write_bytes(stored)

    found = records.all()

    assert OTHER_TXT == found.pop(identifier_of(OTHER_TXT)).record
    assert {identifier_of(each.record) for each in found.values()} <= {identifier_of(TXT)}
    assert len(list(directory.glob("*.json"))) == connection.hlen(TXT_RECORDS) == len(found) + 1


@given(pause=of_type("string", values) | keys, extra_wait=of_type("string", values) | keys)
def test_providers(emptied: Emptied, pause: Value, extra_wait: Value) -> None:
    """
    No value pauses a provider for more than a day, and none delays an order by more than a minute.
    """
    connection = emptied()
    pause.write(connection, PROVIDER_PAUSES + NAME)
    extra_wait.write(connection, EXTRA_WAITS + NAME)
    state = ProviderState(connection, clock=lambda: NOW)

    assert (state.paused_until(NAME) or NOW) <= NOW + LONGEST_PAUSE
    assert 0 <= state.extra_wait_seconds(NAME) <= 60
    state.validation_failed(NAME)
    state.validated(NAME)
    assert 0 <= state.extra_wait_seconds(NAME) <= 60


@given(line=keys, seen=keys)
def test_zone_locks(emptied: Emptied, line: Value, seen: Value) -> None:
    """
    Invalid entries in the queue for a zone are removed after at most five seconds.
    """
    connection = emptied()
    line.write(connection, LINES + NAME)
    seen.write(connection, SEEN + NAME)
    locks = DomainLocks(connection, highest_token=lambda: 0)

    with ZoneLocks(connection, locks).hold(NAME, 10) as lease:
        assert lease.still_held()
    locks.loop.stop(0)
