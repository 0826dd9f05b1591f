"""
Signals as an event.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys

import pytest

from certworker.worker.signals import stop_on_signals
from tests.servers.worker import wait_until

WAITS_TWICE = """
import threading
from certworker.worker.signals import stop_on_signals
with stop_on_signals() as stop:
    print("waiting", flush=True)
    stop.wait()
    print("stopping", flush=True)
    threading.Event().wait()
"""


class TestStopOnSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_the_first_sets_the_event(self, number: signal.Signals) -> None:
        """
        SIGTERM is Docker's word for it, SIGINT a person's.
        """
        with stop_on_signals() as stop:
            os.kill(os.getpid(), number)

            assert stop.wait(5)

    def test_the_second_ends_the_process(self) -> None:
        """
        At once, even while the main thread waits for something that will not come.
        """
        with subprocess.Popen(
            [sys.executable, "-c", WAITS_TWICE], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in ("waiting\n", "stopping\n"):
                assert line == process.stdout.readline()
                process.send_signal(signal.SIGTERM)

            assert 128 + signal.SIGTERM == process.wait(5)

    def test_afterwards_everything_is_as_before(self) -> None:
        """
        A program that has a worker in it for a while gets its own handlers back.
        """
        before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        with stop_on_signals():
            pass

        assert before == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        assert -1 == signal.set_wakeup_fd(-1)

    def test_sighup_is_ignored_with_a_line(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        A closed terminal does not end a worker, and who expects a reload reads what to do instead.
        """
        caplog.set_level(logging.INFO)
        before = signal.getsignal(signal.SIGHUP)
        with stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            wait_until(lambda: caplog.records or None, lambda: "no line")

            assert not stop.is_set()

        assert "SIGHUP is ignored" in caplog.text
        assert before == signal.getsignal(signal.SIGHUP)

    def test_other_signals_do_not_stop_it(self) -> None:
        """
        A child that ends, or a terminal that is resized, is no reason to end.
        """
        former = signal.signal(signal.SIGUSR1, lambda *_: None)
        try:
            with stop_on_signals() as stop:
                os.kill(os.getpid(), signal.SIGUSR1)

                assert not stop.wait(0.2)
        finally:
            signal.signal(signal.SIGUSR1, former)
