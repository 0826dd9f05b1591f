"""
Tests of the scripts of the records with keys that no name has.
"""

from __future__ import annotations

import json

from redis import Redis

from certworker.state.record_scripts import CLAIM, DEFER, READ


class TestScripts:
    def test_the_replies_end_at_the_limit(self, connection: Redis) -> None:
        """
        A reply contains records until their sizes exceed the limit. The caller asks again for the others.
        """
        for key in ("a", "b", "c"):
            connection.hset(key, "field", "x" * 10)
        reply = connection.eval(READ, 3, "a", "b", "c", 64, 1_000, 20)

        assert [["field", "x" * 10]] * 2 == json.loads(reply)

    def test_a_request_that_waits_loses_the_fields_of_a_failure(self, connection: Redis) -> None:
        """
        Each record gets the shared fields and its own value, and loses two fields.
        """
        connection.hset("a", mapping={"code": "x", "remedy": "y", "serial": "z"})
        connection.eval(DEFER, 1, "a", "names", 1, "state", "waiting", "code", "remedy", "n")

        assert {b"serial": b"z", b"names": b"n", b"state": b"waiting"} == connection.hgetall("a")

    def test_a_claim_applies_to_all_records_or_to_none(self, connection: Redis) -> None:
        """
        A record of another tenant prevents the claim of all.
        """
        connection.hset("b", "tenant", "other")

        assert 2 == connection.eval(CLAIM, 2, "a", "b", "me")
        assert not connection.exists("a")
