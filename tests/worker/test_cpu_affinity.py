"""
The processor that the worker keeps to.
"""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import os, random, threading
from certworker.worker.cpu_affinity import keep_to_one_processor

keep_to_one_processor(random.Random({seed}))
thread = threading.Thread(target=lambda: print(*os.sched_getaffinity(0)))
thread.start()
thread.join()
"""


def kept_to(seed: int) -> set[int]:
    """
    The processors that a thread of a process may use which has kept to one.
    """
    command = [sys.executable, "-c", PROGRAM.format(seed=seed)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {int(each) for each in output.split()}


class TestOneProcessor:
    def test_each_thread_keeps_to_the_same_one_of_those_that_are_allowed(self) -> None:
        """
        A container may have but some of the machine's.
        """
        (processor,) = kept_to(seed=1)

        assert processor in os.sched_getaffinity(0)

    def test_several_workers_of_a_machine_do_not_all_choose_the_same(self) -> None:
        """
        Each would get a share of one, and the others would idle.
        """
        chosen = set().union(*(kept_to(seed) for seed in range(8)))

        assert min(2, len(os.sched_getaffinity(0))) <= len(chosen)
