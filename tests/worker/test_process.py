"""
The signals and the CPU of a worker.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys

import pytest

from certworker.worker.process import stop_on_signals
from tests.servers.worker import wait_until

PIN = """
import os, random, threading
from certworker.worker.process import pin_to_one_cpu

pin_to_one_cpu(random.Random({seed}))
thread = threading.Thread(target=lambda: print(*os.sched_getaffinity(0)))
thread.start()
thread.join()
"""

WAITS_TWICE = """
import threading
from certworker.worker.process import stop_on_signals
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
        Docker sends SIGTERM, and a terminal SIGINT.
        """
        with stop_on_signals() as stop:
            os.kill(os.getpid(), number)

            assert stop.wait(5)

    def test_the_second_ends_the_process(self) -> None:
        """
        Even a main thread that waits forever does not delay it.
        """
        with subprocess.Popen(
            [sys.executable, "-c", WAITS_TWICE], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in ("waiting\n", "stopping\n"):
                assert line == process.stdout.readline()
                process.send_signal(signal.SIGTERM)

            assert 128 + signal.SIGTERM == process.wait(5)

    def test_the_former_handlers_return(self) -> None:
        """
        A program that runs a worker for a while has its own handlers afterwards.
        """
        before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        with stop_on_signals():
            pass

        assert before == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        assert -1 == signal.set_wakeup_fd(-1)

    def test_sighup_is_ignored_with_a_line(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        The line names the way to reload the settings.
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
        For example, a child process that ends.
        """
        former = signal.signal(signal.SIGUSR1, lambda *_: None)
        try:
            with stop_on_signals() as stop:
                os.kill(os.getpid(), signal.SIGUSR1)

                assert not stop.wait(0.2)
        finally:
            signal.signal(signal.SIGUSR1, former)


def cpus_after_pinning(seed: int) -> set[int]:
    """
    Return the CPUs of a thread in a process that is pinned to one.
    """
    command = [sys.executable, "-c", PIN.format(seed=seed)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {int(cpu) for cpu in output.split()}


class TestPinToOneCpu:
    def test_all_threads_run_on_one_permitted_cpu(self) -> None:
        """
        A container may have some of the CPUs of the machine.
        """
        (cpu,) = cpus_after_pinning(seed=1)

        assert cpu in os.sched_getaffinity(0)

    def test_several_workers_use_several_cpus(self) -> None:
        """
        Otherwise all of them would share one CPU.
        """
        chosen = set().union(*(cpus_after_pinning(seed) for seed in range(8)))

        assert min(2, len(os.sched_getaffinity(0))) <= len(chosen)
