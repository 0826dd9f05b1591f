"""
The slot of the job that runs, which a job releases early when the rest of it is waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class JobSlot:
    """
    What a job can do with its slot.
    """

    #: Frees the slot for the next job. The rest of the job is waiting and a moment's work.
    release_early: Callable[[], None]
    #: Whether other jobs of this worker run or wait.
    has_contention: Callable[[], bool]


#: A command and a loop have no slot, and no job beside them.
NO_SLOT = JobSlot(release_early=lambda: None, has_contention=lambda: False)

#: Jobs that released their slot and have not ended. With more than these, a job holds its slot to the end.
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
