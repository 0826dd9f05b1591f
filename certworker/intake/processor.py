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


def keep_to_one_processor(random: Random) -> None:
    """
    Keep all threads of this process to one of the processors that it may use, and leave it the others' work.

    Which one does not matter, for the kernel moves whatever else runs there; but several workers should not
    choose the same. Where the system does not know how (macOS), or does not allow it, nothing changes.

    Threads have this from the one that starts them, so it is called before there is another.
    """
    with suppress(AttributeError, OSError):
        processor = random.choice(sorted(os.sched_getaffinity(0)))
        os.sched_setaffinity(0, {processor})
        logger.debug("all threads keep to processor %d", processor)
