"""
Tests of the consumer, with messages from PHP.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from typing import Any, cast

import pytest
from redis import Redis

from certworker.errors import CertworkerError
from certworker.errors.name import NoPublicSuffix, NotRegistered, Wildcard
from certworker.integrations.appwrite.consumer import Translator
from certworker.integrations.appwrite.messages import Message
from tests.integrations.appwrite.core import (
    NAME,
    RESQUE,
    UTOPIA,
    consumer,
    consumer_process,
    payload,
    php,
    produce,
    requested,
    stats,
)
from tests.servers.redis import RedisServer
from tests.worker.sample_tasks import eventually

MESSAGES = 2_000


def translator(**more: Any) -> Translator:
    """
    Return a translator without effects.
    """
    nothing: dict[str, Any] = {"request": print, "verify": print, "unverified": print}
    return Translator(**{**nothing, "private_names": False, "wildcards": False, **more})


class TestTranslator:
    def test_the_name_is_normalized_before_any_use(self) -> None:
        """
        The name is normalized, and an invalid name raises its failure.
        """
        assert "xn--mller-kva.de" == translator().name_of(Message(" Müller.de. "))
        with pytest.raises(Wildcard):
            translator().name_of(Message("*.example.org"))
        with pytest.raises(NoPublicSuffix):
            translator().name_of(Message("shop.test"))
        assert "shop.test" == translator(private_names=True).name_of(Message("shop.test"))

    def test_a_wildcard_is_accepted_with_a_provider(self) -> None:
        """
        With a DNS provider, the name can be a wildcard, as of the rules for functions and sites.
        """
        assert "*.example.org" == translator(wildcards=True).name_of(Message("*.Example.org"))

    @pytest.mark.parametrize(
        ("message", "needs"),
        [
            (Message("a.org"), False),
            (Message("a.org", "verification"), True),
            (Message("a.org", "verification", force=True), False),
            (Message("a.org", "verification", validation_domain="a.org"), False),
            (Message("a.org", "verification", validation_domain="b.org"), True),
        ],
    )
    def test_the_message_determines_the_verification(self, message: Message, needs: bool) -> None:
        """
        Forced requests and Appwrite's own domain need no verification.
        """
        assert needs == translator().needs_verification(message)

    def test_a_successful_verification_leads_to_a_request(self) -> None:
        """
        A successful verification leads to a request that is not forced.
        """
        requests: list[tuple[object, ...]] = []

        translator(request=lambda *request: requests.append(request)).verify_and_generate(Message("a.org"))

        assert [("a.org", False)] == requests


class TestGeneration:
    def test_a_message_becomes_a_request(self, redis_server: RedisServer, connection: Redis) -> None:
        """
        Each message becomes a request, and the counters of Appwrite are correct.
        """
        produce(redis_server, payload("A.localhost"), payload("b.localhost", skipRenewCheck=True))

        with consumer(connection):
            assert eventually(lambda: stats(connection)["success"] == 2)

        assert [("a.localhost", False), ("b.localhost", True)] == requested(connection)
        assert stats(connection) == {
            "total": 2,
            "processing": 0,
            "success": 2,
            "failed": 0,
            "processing list": 0,
            "failed list": 0,
        }
        assert [] == connection.keys(f"utopia-queue.jobs.{NAME}.*")

    def test_an_urgent_message_comes_first(self, redis_server: RedisServer, connection: Redis) -> None:
        """
        A message that Appwrite pushes to the other end of the list comes first.
        """
        produce(redis_server, payload("later.localhost"))
        (later,) = cast("list[bytes]", connection.lrange(UTOPIA, 0, -1))
        connection.rpush(UTOPIA, later.replace(b"later", b"first"))

        with consumer(connection):
            assert eventually(lambda: stats(connection)["success"] == 2)

        assert ["first.localhost", "later.localhost"] == [name for name, _ in requested(connection)]

    def test_jobs_of_php_resque_become_requests(self, redis_server: RedisServer, connection: Redis) -> None:
        """
        The jobs of Appwrite 0.x and 1.0 become requests.
        """
        php("resque", redis_server, "a.localhost")
        php("resque", redis_server, "b.localhost")

        with consumer(connection):
            assert eventually(lambda: connection.get("resque:stat:processed") == b"2")

        assert [("a.localhost", False), ("b.localhost", False)] == requested(connection)
        assert None is connection.get("resque:stat:failed")

    def test_delayed_jobs_become_requests_when_they_are_due(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        A delayed job becomes a request when it is due, and the jobs of other queues remain.
        """
        now, later = int(time.time()), int(time.time()) + 3600
        php("resque", redis_server, "due.localhost", str(now - 5))
        php("resque", redis_server, "later.localhost", str(later))
        others = json.dumps({"queue": "v1-deletes", "class": "DeletesV1", "args": []})
        connection.rpush(f"resque:delayed:{now - 5}", others)

        with consumer(connection):
            assert eventually(lambda: connection.get("resque:stat:processed") == b"1")

        assert [("due.localhost", False)] == requested(connection)
        assert [others.encode()] == connection.lrange(f"resque:delayed:{now - 5}", 0, -1)
        assert 1 == connection.llen(f"resque:delayed:{later}")
        assert 2 == connection.zcard("resque:delayed_queue_schedule")


class TestRefusal:
    def test_an_invalid_message_is_on_the_list_of_failures(
        self, redis_server: RedisServer, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A refused message causes one warning, and is on the list that Appwrite's health endpoint counts.
        """
        produce(redis_server, payload("a.localhost", action="genrate"), payload("../../etc"))
        connection.lpush(UTOPIA, b"\x80\x04no message", b'{"pid": "1.2", "payload": "a text"}', b"x" * 70_000)

        with caplog.at_level(logging.INFO, "certworker"), consumer(connection):
            assert eventually(lambda: stats(connection)["failed"] == 5)

        assert [] == requested(connection)
        assert stats(connection) == {
            "total": 5,
            "processing": 0,
            "success": 0,
            "failed": 5,
            "processing list": 0,
            "failed list": 5,
        }
        warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert 5 == len(warnings)
        assert "[payload.action]" in warnings[0]

    def test_the_retry_command_of_appwrite_reads_all_failures(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        Appwrite's retry command reads each failed message, including the invalid ones.
        """
        produce(redis_server, payload("a.localhost", action="genrate"))
        connection.lpush(UTOPIA, b"no message", b'{"pid": "1.2", "payload": 7}', b"[[]", b'{"pid": "no"}')
        with consumer(connection):
            assert eventually(lambda: stats(connection)["failed"] == 5)

        php("retry", redis_server)

        assert (5, 0) == (connection.llen(UTOPIA), stats(connection)["failed list"])

    def test_an_invalid_job_of_php_resque_is_on_its_list(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        A refused job is on the list of failures, in the format of php-resque.
        """
        php("resque", redis_server, "*.a.localhost")

        with consumer(connection):
            assert eventually(lambda: connection.llen("resque:failed") == 1)

        entry = json.loads(cast("bytes", connection.lindex("resque:failed", 0)))
        assert ("name.wildcard", "v1-certificates") == (entry["exception"], entry["queue"])
        assert "*.a.localhost" == entry["payload"]["args"][0]["domain"]

    def test_a_key_of_another_type_is_logged_once(
        self, redis_server: RedisServer, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A key of another type is logged once and remains. The consumer continues after its removal.
        """
        connection.set(UTOPIA, "a text")

        with consumer(connection):
            assert eventually(lambda: f"The key {UTOPIA} in Redis" in caplog.text)
            time.sleep(1.2)
            connection.delete(UTOPIA)
            produce(redis_server, payload("a.localhost"))
            assert eventually(lambda: requested(connection))

        assert 1 == caplog.text.count("redis.wrong_type")


class TestVerification:
    def test_a_verified_name_is_requested(self, redis_server: RedisServer, connection: Redis) -> None:
        """
        A name is requested after a successful verification.
        """
        verified: list[str] = []
        produce(redis_server, payload("a.localhost", action="verification"))

        with consumer(connection, verify=verified.append):
            assert eventually(lambda: stats(connection)["success"] == 1)

        assert (["a.localhost"], [("a.localhost", False)]) == (verified, requested(connection))

    def test_an_unverified_name_is_reported_and_not_requested(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        A failed verification is published, and the name is not requested.
        """
        published: list[tuple[str, str]] = []

        def verify(name: str) -> None:
            raise NotRegistered(domain=name, name=name)

        def unverified(name: str, failure: CertworkerError) -> None:
            published.append((name, failure.code))

        produce(redis_server, payload("a.localhost", action="verification"))

        with consumer(connection, verify=verify, unverified=unverified):
            assert eventually(lambda: stats(connection)["success"] == 1)

        assert ([("a.localhost", NotRegistered.code)], []) == (published, requested(connection))

    @pytest.mark.parametrize("more", [{"skipRenewCheck": True}, {"validationDomain": "a.localhost"}])
    def test_forced_requests_and_own_domains_are_not_verified(
        self, redis_server: RedisServer, connection: Redis, more: dict[str, object]
    ) -> None:
        """
        A forced request, or one for Appwrite's own domain, is requested without a verification.
        """
        verified: list[str] = []
        produce(redis_server, payload("a.localhost", action="verification", **more))

        with consumer(connection, verify=verified.append):
            assert eventually(lambda: requested(connection))

        assert [] == verified

    def test_a_slow_verification_delays_no_other_message(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        A slow verification counts as processing, and delays no other message.
        """
        answer = threading.Event()
        produce(redis_server, payload("slow.localhost", action="verification"), payload("quick.localhost"))

        with consumer(connection, verify=lambda _: answer.wait(60)):
            assert eventually(lambda: requested(connection) == [("quick.localhost", False)])
            # The consumer settles the fast verification a moment after its request.
            expected = {"success": 1, "processing": 1, "processing list": 1}
            assert eventually(lambda: expected.items() <= stats(connection).items())
            answer.set()
            assert eventually(lambda: len(requested(connection)) == 2)


class TestMode:
    def test_auto_waits_for_appwrite(self, redis_server: RedisServer, connection: Redis) -> None:
        """
        With `auto`, the consumer writes no key of Appwrite before Appwrite does.
        """
        with consumer(connection, "auto"):
            time.sleep(0.5)
            assert [] == connection.keys("utopia*") + connection.keys("resque*")
            produce(redis_server, payload("a.localhost"))
            assert eventually(lambda: requested(connection))

    def test_off_leaves_the_messages(self, redis_server: RedisServer, connection: Redis) -> None:
        """
        With `off`, the consumer takes no message.
        """
        produce(redis_server, payload("a.localhost"))

        with consumer(connection, "off"):
            time.sleep(0.6)

        assert (1, 0) == (connection.llen(UTOPIA), connection.llen(RESQUE))


class TestOtherConsumers:
    def test_another_consumer_is_reported_with_the_remedy(
        self, redis_server: RedisServer, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A second consumer is reported once with the remedy, because both order certificates.
        """
        with consumer(connection, seconds_between_counts=0):
            produce(redis_server, payload("a.localhost"))
            assert eventually(lambda: requested(connection))
            time.sleep(0.6)
            assert "lock.held" not in caplog.text
            # Appwrite's worker increments this counter for each message.
            connection.incr(f"utopia-queue.stats.{NAME}.total")
            assert eventually(lambda: "lock.held" in caplog.text)
            time.sleep(0.6)

        assert 1 == caplog.text.count("lock.held")
        assert "docker compose up -d" in caplog.text


class TestManyMessages:
    def test_three_kills_lose_and_repeat_no_message(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        After three kills of the consumer, each message has led to exactly one request.
        """
        php("utopia", redis_server, str(MESSAGES))
        for killed_after in (MESSAGES // 5, MESSAGES // 5 * 2, MESSAGES // 5 * 3):
            with consumer_process(redis_server):
                while stats(connection)["success"] < killed_after:
                    time.sleep(0.01)
        with consumer_process(redis_server):
            assert eventually(lambda: stats(connection)["success"] == MESSAGES)

        assert {f"site-{number}.localhost": 1 for number in range(1, MESSAGES + 1)} == Counter(
            name for name, _ in requested(connection)
        )
        assert (MESSAGES, 0, 0) == tuple(
            stats(connection)[kind] for kind in ("total", "processing", "processing list")
        )
        assert [] == connection.keys("certworker:appwrite:*:claims:*")
