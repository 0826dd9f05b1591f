"""
Tests of the streams of events.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from certworker.app import App
from certworker.errors.acme import BadCertificate
from certworker.observability.events import EVENTS
from certworker.redis import guard
from certworker.redis.client import connect
from certworker.redis.codec import decode_text
from certworker.redis.guard import ReplyTooLong
from certworker.redis.url import RedisURL
from certworker.web.access import Access
from certworker.web.api.events import (
    HEARTBEAT_SECONDS,
    MOST_STREAMS,
    MOST_STREAMS_OF_ONE,
    STREAM_SECONDS,
    Streams,
    events_after,
    last_id,
)
from certworker.web.api.responses import Busy
from certworker.web.tokens import TokenFile
from tests.servers.redis import RedisServer
from tests.web.api.conftest import ClientOf

URL = "/api/v1/events"


def publish(connection: Redis, **event: object) -> str:
    """
    Add *event* to the stream; return its id.
    """
    added: Any = connection.xadd(EVENTS, {"event": json.dumps(event), "id": "x"})
    return str(added.decode())


def events(chunks: list[bytes]) -> list[tuple[str, Any]]:
    """
    Return the ids and the objects of the events in *chunks*.
    """
    found = []
    for chunk in chunks:
        lines = dict(line.split(": ", 1) for line in chunk.decode().strip().splitlines() if line[0] != ":")
        if "data" in lines:
            found.append((lines["id"], json.loads(lines["data"])))
    return found


def collected(connection: Redis, after: str, tenant: str | None, count: int) -> list[tuple[str, Any]]:
    """
    Return the first *count* events after *after*.
    """
    chunks = events_after(connection, after, tenant, lambda: False)
    return events(list(islice(chunks, count + 1)))


class TestEventsAfter:
    def test_events_follow_the_last_one(self, connection: Redis) -> None:
        """
        A stream begins with its position, and continues with the events after it, one per message.
        """
        publish(connection, name="before.org")
        after = last_id(connection, "")
        ids = [publish(connection, name=f"{n}.org", text="line\nbreak\rdata: x") for n in range(3)]
        stream = events_after(connection, after, None, lambda: False)

        assert f"retry: 3000\nid: {after}\n\n".encode() == next(stream)
        found = events(list(islice(stream, 3)))
        assert [(each, f"{n}.org") for n, each in enumerate(ids)] == [
            (each, event["name"]) for each, event in found
        ]
        assert "line\nbreak\rdata: x" == found[0][1]["text"]

    def test_a_tenant_gets_its_events_only(self, connection: Redis) -> None:
        """
        A tenant gets no event of others, and none without a tenant.
        """
        for tenant in ("rival", "", None, 7, ["acme"], "acme"):
            publish(connection, tenant=tenant)
        publish(connection, other=1)

        ((_, event),) = collected(connection, "0-0", "acme", 1)
        assert {"tenant": "acme"} == event
        assert 7 == len(collected(connection, "0-0", None, 7))

    def test_a_tenant_gets_only_its_names_of_a_shared_certificate(self, app: App) -> None:
        """
        The event of a certificate that tenants share reaches each of them without the names of others.
        """
        names, now = ["rival.org", "ours.org"], app.clock()
        app.records.record_failed(names, BadCertificate(name="x", reason="x"), next_check=now, now=now)
        app.records.record_tenants({"rival.org": "rival", "ours.org": "acme"})
        text = "no record of rival.org"
        publish(app.connection, name="rival.org", names=names, tenant="rival", message=text, logs=text)

        ((_, ours),) = collected(app.connection, "0-0", "acme", 1)
        ((_, theirs),) = collected(app.connection, "0-0", "rival", 1)
        ((_, everything),) = collected(app.connection, "0-0", None, 1)
        assert ("ours.org", ["ours.org"], "acme") == (ours["name"], ours["names"], ours["tenant"])
        assert "rival" not in str(ours)
        assert ["rival.org"] == theirs["names"]
        assert names == everything["names"]

    def test_invalid_entries_are_left_out(self, connection: Redis) -> None:
        """
        Entries of other programs that are not events are left out.
        """
        for value in (b"no json", b"[1]", b"x" * 70_000, b"\xff"):
            connection.xadd(EVENTS, {"event": value})
        connection.xadd(EVENTS, {"other": "x"})
        publish(connection, name="a.org")

        assert [{"name": "a.org"}] == [event for _, event in collected(connection, "0-0", None, 1)]

    def test_a_quiet_stream_has_heartbeats_and_an_end(
        self, connection: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Without events, a comment arrives at intervals, and the stream ends after its time.
        """
        monkeypatch.setattr("certworker.web.api.events.WAIT_MILLISECONDS", 1)
        clock = [0.0]

        def monotonic() -> float:
            clock[0] += HEARTBEAT_SECONDS
            return clock[0]

        chunks = list(islice(events_after(connection, "0-0", None, lambda: False, monotonic), 200))

        assert 1 < len(chunks) < STREAM_SECONDS / HEARTBEAT_SECONDS + 2
        assert {b": the stream is open\n\n"} == set(chunks[1:])

    def test_it_ends_with_the_connection_and_with_redis(
        self, connection: Redis, own_redis: RedisServer
    ) -> None:
        """
        The stream ends when the client disconnects, and when Redis fails.
        """
        assert 1 == len(list(events_after(connection, "0-0", None, lambda: True)))
        own_redis.kill()

        assert 1 == len(list(events_after(Redis(port=own_redis.port), "0-0", None, lambda: False)))


class TestLastId:
    def test_a_huge_event_stops_only_one_call(
        self, redis_server: RedisServer, connection: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The first call with a huge event fails and removes it, so that the next call has the last id.
        """
        monkeypatch.setattr(guard, "LONGEST_REPLY", 100_000)
        with connect(RedisURL.parse(redis_server.url)) as limited:
            small: Any = limited.xadd(EVENTS, {"event": "{}"})
            limited.xadd(EVENTS, {"event": "x" * 200_000})
            with pytest.raises(ReplyTooLong):
                last_id(limited, "")

            assert decode_text(small) == last_id(limited, "")

    @pytest.mark.parametrize("given", ["", "x", "1", "-", "1-1-1", "9" * 40 + "-0", "$", ">", "1-0\n"])
    def test_an_invalid_id_is_the_last_one(self, connection: Redis, given: str) -> None:
        """
        Without a valid id, the stream begins now.
        """
        assert "0-0" == last_id(connection, given)
        last = publish(connection, name="a.org")

        assert last == last_id(connection, given)
        assert "5-0" == last_id(connection, "5-0")


class TestRevocation:
    def test_a_stream_ends_with_its_token(self, app: App, client_of: ClientOf, tmp_path: Path) -> None:
        """
        A stream ends when its token is revoked. A stream of another token continues.
        """
        tokens = TokenFile(tmp_path / "tokens.json")
        revoked = client_of("read").get(URL)
        ((token,), chunks) = tokens.tokens(), iter(revoked.response)
        other = client_of("read").get(URL)
        others = iter(other.response)
        assert next(chunks) == next(others)
        assert tokens.revoke(token.id)
        publish(app.connection, name="a.org")

        assert [] == list(chunks)
        assert b"a.org" in bytes(next(others))  # type: ignore[arg-type]
        for each in (revoked, other):
            each.close()


class TestStreams:
    def test_the_places_are_limited(self) -> None:
        """
        One caller gets two streams, and all callers together six. A closed stream frees its place.
        """
        streams = Streams()
        callers = [Access("read", None, identity) for identity in "aabcdefg"]
        for caller in callers[:6]:
            streams.enter(caller)

        assert MOST_STREAMS == len(callers[:6])
        for caller in (callers[0], callers[6]):
            with pytest.raises(Busy):
                streams.enter(caller)
        streams.leave(callers[0])
        streams.enter(callers[6])

    def test_tenants_leave_places_for_operators(self) -> None:
        """
        All tokens of a tenant share two streams, and all tenants together get four.
        """
        streams = Streams()
        tenants = [Access("read", tenant, f"token {n}") for n, tenant in enumerate("ttuuv")]
        for caller in tenants[:4]:
            streams.enter(caller)

        for caller in (Access("read", "t", "token 9"), tenants[4]):
            with pytest.raises(Busy):
                streams.enter(caller)
        streams.enter(Access("read", None, "token 10"))
        streams.enter(Access("read", None, "token 10"))

    def test_a_call_without_a_place_is_refused(
        self, app: App, admin: FlaskClient, client_of: ClientOf
    ) -> None:
        """
        Without a free place, the response is 503 with Retry-After. A closed stream frees its place.
        """
        opened = [admin.get(URL) for _ in range(MOST_STREAMS_OF_ONE)]
        refused = admin.get(URL)

        assert ("text/event-stream", "no") == (opened[0].mimetype, opened[0].headers["X-Accel-Buffering"])
        assert (503, "5") == (refused.status_code, refused.headers["Retry-After"])
        assert app.clock()
        others = client_of("read").get(URL)
        assert 200 == others.status_code
        opened[0].close()
        opened[0] = admin.get(URL)
        assert 200 == opened[0].status_code
        for each in (*opened, others):
            each.close()
