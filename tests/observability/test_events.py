"""
The results of jobs for other programs.
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
from certworker.redis.url import RedisURL
from certworker.runtime import build_tasks
from certworker.state.domain_records import RECORDS, DomainRecords
from tests.servers.redis import RedisServer

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVENT = {"state": "failed", "issue_date": "2026-11-23T12:00:00Z", "renew_date": None, "logs": "told"}

NAME = "shop.localhost"


class LosesAnswers:
    """
    A relay to Redis. It breaks one connection after a command has reached Redis, and before its answer.
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
    def test_an_event_is_an_object_in_the_stream(self, connection: Redis) -> None:
        """
        Any language reads that.
        """
        EventStream(connection).append(["a.org"], EVENT)

        ((_, fields),) = cast("list[tuple[bytes, dict[bytes, bytes]]]", connection.xrange(EVENTS))
        assert EVENT == json.loads(fields[b"event"])

    def test_the_record_gets_what_it_has_not(self, connection: Redis) -> None:
        """
        Programs read the records after an outage. A removed record is not written again in part.
        """
        DomainRecords(connection).start_attempt(["a.org"], next_check=NOW, now=NOW)

        EventStream(connection).append(["a.org", "b.org"], EVENT)

        stored = cast("dict[bytes, bytes]", connection.hgetall(f"{RECORDS}a.org"))
        assert (b"told", b"") == (stored[b"logs"], stored[b"renew_date"])
        assert b"issuing" == stored[b"state"]
        assert not connection.exists(f"{RECORDS}b.org")

    def test_a_repeated_command_adds_nothing(self, redis_server: RedisServer, connection: Redis) -> None:
        """
        The connection breaks after the command, and redis-py sends it again.
        """
        with LosesAnswers(redis_server.port) as relay, connect(relay.address) as client:
            events = EventStream(client)
            events.append(["a.org"], EVENT)
            relay.lose_next = True
            events.append(["a.org"], EVENT)

            assert not relay.lose_next
        assert 2 == connection.xlen(EVENTS)

    def test_equal_events_are_two(self, connection: Redis) -> None:
        """
        Equal events may occur twice in a second.
        """
        for _ in range(2):
            EventStream(connection).append(["a.org"], EVENT)

        assert 2 == connection.xlen(EVENTS)

    def test_the_stream_does_not_grow_for_ever(self, connection: Redis) -> None:
        """
        Redis has half a gigabyte for all of Appwrite.
        """
        with connection.pipeline(transaction=False) as pipeline:
            for _ in range(MAX_EVENTS + 500):
                pipeline.xadd(EVENTS, {"event": "{}"})
            pipeline.execute()

        EventStream(connection).append([], EVENT)

        assert MAX_EVENTS <= connection.xlen(EVENTS) < MAX_EVENTS + 200


def last_event(connection: Redis) -> dict[str, Any]:
    """
    The youngest event of the stream.
    """
    ((_, fields),) = cast("list[tuple[bytes, dict[bytes, bytes]]]", connection.xrevrange(EVENTS, count=1))
    event: dict[str, Any] = json.loads(fields[b"event"])
    return event


class TestResults:
    def test_a_success_has_the_fields_of_appwrites_certificate(self, app: App, connection: Redis) -> None:
        """
        The result has all that the documents of the console need.
        """
        app.history.append(NAME, HistoryEntry(app.clock(), "INFO", "in service"))

        result = build_tasks(app)["certworker.issue"](domain=NAME)

        assert result == last_event(connection)
        assert ("issued", NAME, [NAME], 0) == tuple(
            result[field] for field in ("state", "name", "names", "attempts")
        )
        assert result["issue_date"] < result["renew_date"] < result["not_after"]
        assert result["logs"].endswith("INFO  in service")

    def test_a_failure_has_code_remedy_and_the_certificate_that_serves_on(
        self, app: App, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A tenant is to see what to change, and that nothing is broken yet.
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

    def test_a_removal_is_published_as_well(self, app: App, connection: Redis) -> None:
        """
        Or the Console would show a certificate that is gone.
        """
        build_tasks(app)["certworker.issue"](domain=NAME)

        build_tasks(app)["certworker.remove"](domain=NAME)

        assert ("removed", NAME, "") == tuple(
            last_event(connection)[field] for field in ("state", "name", "serial")
        )
