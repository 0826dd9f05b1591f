"""
The processor that the worker keeps to.

Python runs one thread at a time. On several processors those that wait for their turn are woken on another,
and a quarter of the time of a burst goes into that; on one they just take turns.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from random import Random

logger = logging.getLogger(__name__)


def pin_to_one_cpu(random: Random) -> None:
    """
    Keep this thread, and all that it starts, to one of the processors that the process may use, any of them.

    The kernel moves what else runs there, unless that keeps to it, too, as a second worker on the machine may
    do; whoever minds gives each its own (`cpuset` of Docker). Where the system does not know how (macOS), or
    does not allow it, nothing changes.
    """
    with suppress(AttributeError, OSError):
        processor = random.choice(sorted(os.sched_getaffinity(0)))
        os.sched_setaffinity(0, {processor})
        logger.debug("all threads keep to processor %d", processor)
