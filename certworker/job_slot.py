"""
The slot of the running job. The job releases it early when it only needs to wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class JobSlot:
    """
    The slot of one job.
    """

    #: Frees the slot for the next job. The remaining work of this job is mostly waiting.
    release_early: Callable[[], None]
    #: Returns whether other jobs hold slots of this worker or are waiting.
    has_contention: Callable[[], bool]
    #: When the job was requested, according to the requester; None if unknown.
    requested_at: datetime | None = None
    #: The id of this run of the job. Empty: unknown.
    run: str = ""
    #: The run of a killed worker that this run repeats, and whose locks it takes over. Empty: none.
    abandoned_run: str = ""
    #: Whether the request of this job waited in a priority queue.
    was_deferred: bool = False


#: The slot of commands and loops, which do not compete with jobs.
NO_SLOT = JobSlot(release_early=lambda: None, has_contention=lambda: False)

#: The maximum number of running jobs that have released their slots. Further jobs hold their slots until they
#: end. Under load, jobs end in bursts, every two seconds or less often, when Traefik's files are written. So
#: this number also limits how many jobs end each second.
MAX_RELEASED = 128

_current: ContextVar[JobSlot] = ContextVar("slot", default=NO_SLOT)


def current_slot() -> JobSlot:
    """
    Return the slot of the job that is running in this thread, or :data:`NO_SLOT` if there is none.
    """
    return _current.get()


@contextmanager
def running_in(slot: JobSlot) -> Iterator[None]:
    """
    Make *slot* the current slot within the block.
    """
    token = _current.set(slot)
    try:
        yield
    finally:
        _current.reset(token)
