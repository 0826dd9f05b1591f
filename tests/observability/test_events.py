"""
Tests of the events that report results of jobs to other programs.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Self, cast

import pytest
from redis import Redis

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.observability.events import EVENTS, MAX_EVENTS, EventStream
from certworker.observability.history import HistoryEntry
from certworker.redis.client import connect
from certworker.redis.keys import LARGEST_MEMBER
from certworker.redis.url import RedisURL
from certworker.runtime import build_tasks
from certworker.state.domain_records import RECORDS, DomainRecords
from tests.servers.redis import RedisServer

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVENT = {"state": "failed", "issue_date": "2026-11-23T12:00:00Z", "renew_date": None, "logs": "the log"}

NAME = "shop.localhost"


class BrokenRelay:
    """
    A relay to Redis that closes one connection between a command and its answer.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = RedisURL.parse(f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0")
        self.lose_next = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listening.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server, suppress(OSError):
            while command := client.recv(65_536):
                server.sendall(command)
                answer = server.recv(65_536)
                if self.lose_next:
                    self.lose_next = False
                    return
                client.sendall(answer)


class TestEvents:
    def test_an_event_is_a_json_object_in_the_stream(self, connection: Redis) -> None:
        """
        An event is one JSON object in the stream.
        """
        EventStream(connection).append(["a.org"], EVENT)

        ((_, fields),) = cast("list[tuple[bytes, dict[bytes, bytes]]]", connection.xrange(EVENTS))
        assert EVENT == json.loads(fields[b"event"])

    def test_the_record_gets_the_fields_of_the_event(self, connection: Redis) -> None:
        """
        The record of a name gets the fields of the event. A removed record is not created again.
        """
        DomainRecords(connection).start_attempt(["a.org"], next_check=NOW, now=NOW)

        EventStream(connection).append(["a.org", "b.org"], EVENT)

        stored = cast("dict[bytes, bytes]", connection.hgetall(f"{RECORDS}a.org"))
        assert (b"the log", b"") == (stored[b"logs"], stored[b"renew_date"])
        assert b"issuing" == stored[b"state"]
        assert not connection.exists(f"{RECORDS}b.org")

    def test_a_repeated_command_adds_no_event(self, redis_server: RedisServer, connection: Redis) -> None:
        """
        A command that redis-py sends again, after a broken connection, adds no second event.
        """
        with BrokenRelay(redis_server.port) as relay, connect(relay.address) as client:
            events = EventStream(client)
            events.append(["a.org"], EVENT)
            relay.lose_next = True
            events.append(["a.org"], EVENT)

            assert not relay.lose_next
        assert 2 == connection.xlen(EVENTS)

    def test_equal_events_are_separate(self, connection: Redis) -> None:
        """
        Two equal events within a second are two entries.
        """
        for _ in range(2):
            EventStream(connection).append(["a.org"], EVENT)

        assert 2 == connection.xlen(EVENTS)

    def test_a_huge_event_of_another_program_is_removed(self, connection: Redis) -> None:
        """
        The next event removes an event that is larger than any of certworker.
        """
        connection.xadd(EVENTS, {"event": "x" * LARGEST_MEMBER})
        events = EventStream(connection)
        for _ in range(2):
            events.append(["a.org"], EVENT)

        entries: Any = connection.xrange(EVENTS)
        assert [EVENT, EVENT] == [json.loads(fields[b"event"]) for _, fields in entries]

    def test_the_length_of_the_stream_is_limited(self, connection: Redis) -> None:
        """
        The length of the stream is limited, because Appwrite shares the memory of Redis.
        """
        with connection.pipeline(transaction=False) as pipeline:
            for _ in range(MAX_EVENTS + 500):
                pipeline.xadd(EVENTS, {"event": "{}"})
            pipeline.execute()

        EventStream(connection).append([], EVENT)

        assert MAX_EVENTS <= connection.xlen(EVENTS) < MAX_EVENTS + 200


def last_event(connection: Redis) -> dict[str, Any]:
    """
    Return the latest event of the stream.
    """
    ((_, fields),) = cast("list[tuple[bytes, dict[bytes, bytes]]]", connection.xrevrange(EVENTS, count=1))
    event: dict[str, Any] = json.loads(fields[b"event"])
    return event


class TestResults:
    def test_a_success_has_the_fields_of_a_certificate_in_appwrite(self, app: App, connection: Redis) -> None:
        """
        The event of a success equals the result of the job, and has the fields that Appwrite stores.
        """
        app.history.append(NAME, HistoryEntry(app.clock(), "INFO", "in service"))

        result = build_tasks(app)["certworker.issue"](domain=NAME)

        assert result == last_event(connection)
        assert ("issued", NAME, [NAME], 0) == tuple(
            result[field] for field in ("state", "name", "names", "attempts")
        )
        assert result["issue_date"] < result["renew_date"] < result["not_after"]
        assert result["logs"].endswith("INFO  in service")

    def test_a_failure_has_its_code_its_remedy_and_the_certificate_in_service(
        self, app: App, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The event of a failure has the code, the remedy and the certificate in service.
        """
        build_tasks(app)["certworker.issue"](domain=NAME)
        serial = last_event(connection)["serial"]
        with caplog.at_level(logging.CRITICAL), pytest.raises(CertworkerError) as caught:
            build_tasks(app)["certworker.issue"](domain="nowhere.invalid")

        event = last_event(connection)

        assert ("failed", "nowhere.invalid", 1) == (event["state"], event["name"], event["attempts"])
        assert (caught.value.code, caught.value.remedy) == (event["code"], event["remedy"])
        assert (None, "") == (event["issue_date"], event["serial"])
        assert "no_certificate" == event["detail"]
        app.events.publish((NAME,), "failed", caught.value)
        assert (serial, "failing") == tuple(last_event(connection)[field] for field in ("serial", "detail"))

    def test_a_removal_is_an_event(self, app: App, connection: Redis) -> None:
        """
        A removal is an event without a certificate, so that the Console does not show one.
        """
        build_tasks(app)["certworker.issue"](domain=NAME)

        build_tasks(app)["certworker.remove"](domain=NAME)

        assert ("removed", NAME, "") == tuple(
            last_event(connection)[field] for field in ("state", "name", "serial")
        )
