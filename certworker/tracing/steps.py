"""
The steps of a job and their durations.

A step contains the steps that begin within its block::

    issue ──┬── lock
            ├── preflight ──┬── DNS
            │               └── port 80
            ├── order
            └── …

A thread belongs to the step of another thread if it runs in a copy of that thread's context.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from certworker.errors import CertworkerError, Interrupted

#: The steps of a job that issues a certificate, in their order. A job has a dry run only after a failed
#: validation.
JOB_STEPS = ("lock", "preflight", "dry_run", "order", "validate", "finalize", "store", "publish", "record")


@dataclass
class Step:
    """
    One step of a job, or the job.

    Attributes:
        name: The name, which is the same for all jobs of a type.
        attributes: Values that describe the step, without secrets.
        began_ns: When the step began, in nanoseconds of Unix time.
        duration_ns: How long the step took, independent of changes to the clock.
        code: The code of the failure that ended the step, or the type of an unexpected exception; else empty.
        steps: The steps within the step that have ended.
    """

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    began_ns: int = field(default_factory=time.time_ns)
    duration_ns: int = 0
    code: str = ""
    steps: list[Step] = field(default_factory=list)

    def durations(self) -> dict[str, float]:
        """
        Return the durations in seconds of the steps directly within this step, added up by name.
        """
        sums: dict[str, int] = {}
        for each in tuple(self.steps):
            sums[each.name] = sums.get(each.name, 0) + each.duration_ns
        return {name: duration / 1e9 for name, duration in sums.items()}

    def timings_ms(self) -> dict[str, float]:
        """
        Return the same durations in milliseconds, rounded to one decimal.
        """
        return {name: round(seconds * 1000, 1) for name, seconds in self.durations().items()}


_current: ContextVar[Step | None] = ContextVar("step", default=None)
_trace_id: ContextVar[str] = ContextVar("trace_id", default="")


def current_step() -> Step:
    """
    Return the step whose block this thread is running. Without one, return a new step that nothing reads.
    """
    return _current.get() or Step("")


@contextmanager
def step(name: str, **attributes: str) -> Iterator[Step]:
    """
    Measure the block, or the decorated function, as a step of the current step.
    """
    parent, this, began = _current.get(), Step(name, attributes), time.monotonic_ns()
    token = _current.set(this)
    try:
        yield this
    except BaseException as error:
        this.code = _code_of(error)
        raise
    finally:
        this.duration_ns = time.monotonic_ns() - began
        _current.reset(token)
        if parent is not None:
            parent.steps.append(this)


def current_trace_id() -> str:
    """
    Return the id of the job's trace, 32 hexadecimal digits; empty without a trace.
    """
    return _trace_id.get()


@contextmanager
def in_trace(trace_id: str) -> Iterator[None]:
    """
    Make *trace_id* the id of the current trace within the block.
    """
    token = _trace_id.set(trace_id)
    try:
        yield
    finally:
        _trace_id.reset(token)


def _code_of(error: BaseException) -> str:
    failure = error.failure if isinstance(error, Interrupted) else error
    return failure.code if isinstance(failure, CertworkerError) else type(failure).__name__
