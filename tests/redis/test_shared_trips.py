"""
Tests of the commands of a job that share a round trip to Redis.
"""

from __future__ import annotations

import threading
from contextvars import copy_context

import pytest
from redis import Redis
from redis.exceptions import ResponseError, WatchError

from bench.round_trips import counted
from certworker.redis.guard import sharing_trips
from certworker.redis.shared_trips import send_with_next


class TestSharedTrips:
    def test_commands_wait_for_the_next_one_and_arrive_in_order(self, connection: Redis) -> None:
        """
        Three commands of a job are one round trip, and Redis runs them in their order.
        """
        with sharing_trips(connection), counted() as trips:
            send_with_next(connection, "RPUSH", "list", "first")
            length = send_with_next(connection, "RPUSH", "list", "second")
            assert 0 == len(trips)
            lines = connection.lrange("list", 0, -1)

            assert ([b"first", b"second"], 2, 1) == (lines, length.value(), len(trips))

    def test_a_reply_sends_its_command(self, connection: Redis) -> None:
        """
        A job that asks for a reply sends the waiting commands.
        """
        with sharing_trips(connection):
            send_with_next(connection, "SET", "key", "1")
            assert 2 == send_with_next(connection, "INCR", "key").value()

    @pytest.mark.parametrize("transaction", [True, False])
    def test_a_pipeline_takes_the_waiting_commands_along(self, connection: Redis, transaction: bool) -> None:
        """
        The waiting commands are the first of a pipeline, and their replies are not among its replies.
        """
        with sharing_trips(connection), counted() as trips:
            send_with_next(connection, "SET", "key", "1")
            with connection.pipeline(transaction=transaction) as pipe:
                pipe.incr("key")

                assert ([2], 1) == (pipe.execute(), len(trips))

    def test_the_last_commands_are_sent_at_the_end_of_the_job(self, connection: Redis) -> None:
        """
        The end of a job sends its waiting commands. A thread that continues sends its own immediately.
        """
        with sharing_trips(connection):
            send_with_next(connection, "RPUSH", "list", "waiting")
            context = copy_context()
        context.run(send_with_next, connection, "RPUSH", "list", "late")

        assert [b"waiting", b"late"] == connection.lrange("list", 0, -1)

    def test_threads_of_a_job_share_its_round_trips(self, connection: Redis) -> None:
        """
        A command that waits in a thread of a job is sent with the next command of the job.
        """
        with sharing_trips(connection):
            arguments = (send_with_next, connection, "RPUSH", "list", "x")
            thread = threading.Thread(target=copy_context().run, args=arguments)
            thread.start()
            thread.join()
            assert 1 == connection.llen("list")

    def test_outside_a_job_a_command_is_sent_at_once(self, connection: Redis) -> None:
        """
        Without a job, no command waits.
        """
        send_with_next(connection, "SET", "key", "1")

        assert b"1" == connection.get("key")

    def test_the_error_of_a_waiting_command_does_not_concern_the_next_one(self, connection: Redis) -> None:
        """
        The next command returns its own reply. Only the reply of the waiting command raises its error.
        """
        connection.set("text", "x")
        with sharing_trips(connection):
            failing = send_with_next(connection, "RPUSH", "text", "y")
            assert b"x" == connection.get("text")
            with pytest.raises(ResponseError, match="WRONGTYPE"):
                failing.value()

    def test_the_error_of_a_command_is_its_own(self, connection: Redis) -> None:
        """
        A command that fails raises its error as without waiting commands, and those are run.
        """
        connection.set("text", "x")
        with sharing_trips(connection):
            send_with_next(connection, "SET", "key", "1")
            with pytest.raises(ResponseError, match=r"^WRONGTYPE"):
                connection.llen("text")

        assert b"1" == connection.get("key")

    def test_a_rejected_transaction_does_not_drop_waiting_commands(self, connection: Redis) -> None:
        """
        If Redis rejects a transaction, the waiting commands are sent alone.
        """
        with sharing_trips(connection):
            waiting = send_with_next(connection, "INCR", "key")
            pipe = connection.pipeline()
            pipe.execute_command("LLEN")
            with pytest.raises(ResponseError, match="wrong number"):
                pipe.execute()

            assert 1 == waiting.value()

    def test_a_changed_key_does_not_drop_waiting_commands(self, connection: Redis) -> None:
        """
        A transaction that is canceled by a change of its key does not cancel the waiting commands.
        """
        with sharing_trips(connection):
            with connection.pipeline() as pipe:
                pipe.watch("key")
                connection.set("key", "1")
                pipe.multi()
                pipe.incr("key")
                send_with_next(connection, "SET", "other", "1")
                with pytest.raises(WatchError):
                    pipe.execute()

            assert b"1" == connection.get("other")

    def test_a_command_of_a_watched_transaction_comes_after_the_waiting_ones(self, connection: Redis) -> None:
        """
        A transaction that reads its key sees the effects of the waiting commands.
        """
        with sharing_trips(connection):
            send_with_next(connection, "SET", "key", "1")
            with connection.pipeline() as pipe:
                pipe.watch("key")
                assert b"1" == pipe.get("key")
