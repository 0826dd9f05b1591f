"""
Tests of the sessions that a logout has ended.
"""

from __future__ import annotations

import time

import pytest
from redis import Redis

from certworker.web.access import sessions
from certworker.web.access.sessions import ENDED, LIFETIME, EndedSessions
from tests.servers.ports import free_port


class TestEndedSessions:
    def test_the_pages_of_all_workers_see_the_end(self, connection: Redis) -> None:
        """
        A session that ended at one page has ended at another, which started later.
        """
        EndedSessions(connection).end("first")
        another = EndedSessions(connection)

        assert (True, False) == (another.has_ended("first"), another.has_ended("second"))
        assert 0 < connection.ttl(ENDED) <= LIFETIME.total_seconds()

    def test_the_number_of_sessions_is_limited(
        self, connection: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Expired sessions are removed, and of too many sessions those that expire first.
        """
        monkeypatch.setattr(sessions, "MAX_SESSIONS", 3)
        connection.zadd(ENDED, {"expired": time.time() - 1})
        for number in range(5):
            EndedSessions(connection).end(f"session {number}")

        assert [b"session 2", b"session 3", b"session 4"] == connection.zrange(ENDED, 0, -1)

    def test_without_redis_this_process_sees_the_end(self) -> None:
        """
        Without Redis, the page of this process still refuses the session.
        """
        sessions = EndedSessions(Redis(port=free_port()))
        sessions.end("first")

        assert (True, False) == (sessions.has_ended("first"), sessions.has_ended("second"))
