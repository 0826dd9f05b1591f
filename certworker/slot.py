"""
The slot in which a job runs. A job that has only to wait gives it back before it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

#: Jobs that gave their slot back and have not ended; with more than these a slot is kept to the end.
MOST_WITHOUT_A_SLOT = 64


@dataclass(frozen=True)
class Slot:
    """
    What a job may know of its slot.
    """

    #: Lets the next job begin; what the job still does is waiting and a moment's work.
    give_back: Callable[[], None]
    #: Whether other jobs of this worker are under way, or wait.
    others_at_work: Callable[[], bool]


_NONE = Slot(give_back=lambda: None, others_at_work=lambda: False)
_current: ContextVar[Slot] = ContextVar("slot", default=_NONE)


def current() -> Slot:
    """
    The slot of the job that asks; where no job runs, one that nobody else wants.
    """
    return _current.get()


@contextmanager
def occupied(slot: Slot) -> Iterator[None]:
    """
    Let *slot* be the current one for the length of a `with` block.
    """
    token = _current.set(slot)
    try:
        yield
    finally:
        _current.reset(token)
