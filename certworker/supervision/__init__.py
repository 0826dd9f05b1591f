"""
Supervision of the worker's threads: no loop ends silently, and each loop shows its progress.

::

    step returns ──► heartbeat ──► pause ─────────────────────► next step
    step raises  ──► logged, each type once an hour ──► growing pause ──► next step

A loop that misses two beats, or that fails for as long, is stalled. `/healthz`, `certworker health`, the
metrics, and `certworker doctor` report it. A long step calls :func:`beat` when it makes progress.

In import order (★ to read first)::

    heartbeats    The heartbeats, by which loops show their progress
    faults        Logs a lasting type of error at most once an hour, and chooses growing pauses
    loops       ★ The loop, in its own thread or in the thread of its caller, and its duties
"""

from certworker.supervision.faults import Faults, log_unexpected, optional, unexplained
from certworker.supervision.heartbeats import BEAT_SECONDS, Heartbeat, Heartbeats, beat
from certworker.supervision.loops import Duties, Loop, Postponed, stop_all

__all__ = [
    "BEAT_SECONDS",
    "Duties",
    "Faults",
    "Heartbeat",
    "Heartbeats",
    "Loop",
    "Postponed",
    "beat",
    "log_unexpected",
    "optional",
    "stop_all",
    "unexplained",
]
