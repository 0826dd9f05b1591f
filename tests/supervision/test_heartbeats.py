"""
Tests of heartbeats, the signs of progress of loops.
"""

from __future__ import annotations

import threading

from certworker.supervision import Heartbeat, Heartbeats
from tests.supervision.clock import Clock


class TestHeartbeat:
    def test_no_heartbeat_is_expected_before_the_first_and_after_the_end(self) -> None:
        """
        A loop that never started, or has ended, is not stalled.
        """
        clock = Clock()
        heartbeat = Heartbeat("labels", 10, clock=clock)
        clock.now += 1000
        assert (None, False) == (heartbeat.silence(), heartbeat.is_stalled())

        heartbeat.beat()
        clock.now += 1000
        assert heartbeat.is_stalled()

        heartbeat.end()
        assert (None, False) == (heartbeat.silence(), heartbeat.is_stalled())

    def test_two_missing_heartbeats_are_a_stall(self) -> None:
        """
        A loop is stalled after two missing heartbeats, and the next one ends the stall.
        """
        clock = Clock()
        heartbeat = Heartbeat("scheduler", 10, clock=clock)
        heartbeat.beat()
        clock.now += 20
        assert not heartbeat.is_stalled()

        clock.now += 0.1
        assert heartbeat.is_stalled()

        heartbeat.beat()
        assert not heartbeat.is_stalled()

    def test_the_stack_shows_where_its_thread_waits(self) -> None:
        """
        The stack of a loop has the call that does not return.
        """
        heartbeat, waits, end = Heartbeat("jobs"), threading.Event(), threading.Event()

        def hang_here() -> None:
            heartbeat.beat()
            waits.set()
            end.wait(30)

        thread = threading.Thread(target=hang_here)
        thread.start()
        assert waits.wait(30)
        stack = heartbeat.stack()
        end.set()
        thread.join()

        assert any(line.startswith("test_heartbeats.py:") and line.endswith(" hang_here") for line in stack)
        assert [] == Heartbeat("never began").stack()


class TestHeartbeats:
    def test_stalled_loops_are_named(self) -> None:
        """
        The list has only the stalled loops, and neither healthy nor disabled ones.
        """
        clock, heartbeats = Clock(), Heartbeats()
        slow, quick, off = (Heartbeat(name, 10, clock=clock) for name in ("slow", "quick", "off"))
        heartbeats.add(slow, quick)
        heartbeats.add(off)
        slow.beat()
        clock.now += 21
        quick.beat()

        assert ["slow"] == [each.name for each in heartbeats.stalled()]
        assert {"slow": 21.0, "quick": 0.0} == {each.name: silence for each, silence in heartbeats.expected()}
