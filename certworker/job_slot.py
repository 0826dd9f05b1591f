"""
The slot of the running job, which the job releases early when it only has to wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class JobSlot:
    """
    The slot of a job.
    """

    #: Frees the slot for the next job. The rest of the job waits, and then takes little time.
    release_early: Callable[[], None]
    #: Returns whether other jobs of this worker run or wait.
    has_contention: Callable[[], bool]


#: Commands and loops have no slot, and compete with no job.
NO_SLOT = JobSlot(release_early=lambda: None, has_contention=lambda: False)

#: Jobs that have released their slot and still run. With more of them a job holds its slot to the end.
MAX_RELEASED = 64

_current: ContextVar[JobSlot] = ContextVar("slot", default=NO_SLOT)


def current_slot() -> JobSlot:
    """
    Return the slot of the job that runs in this thread.
    """
    return _current.get()


@contextmanager
def running_in(slot: JobSlot) -> Iterator[None]:
    """
    Make *slot* the current one for the length of the block.
    """
    token = _current.set(slot)
    try:
        yield
    finally:
        _current.reset(token)
