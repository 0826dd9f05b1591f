"""
The process of a worker: its signals, and its CPU.

The first SIGTERM or SIGINT asks for an orderly end, the second ends the process. SIGHUP is ignored and
logged: neither a closed terminal nor the habit of other servers ends a worker.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random
from threading import Event, Thread

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

logger = logging.getLogger(__name__)


def pin_to_one_cpu(random: Random) -> None:
    """
    Pin this thread, and all threads that it starts, to one of the CPUs that the process may use.

    Python runs one thread at a time. With several CPUs a waiting thread wakes up on another one, which takes
    a quarter of the time under load. The kernel moves other processes away, except those that are pinned as
    well. An operator with several workers gives each its own CPU (`cpuset` of Docker). Where the system has
    no affinity (macOS) or does not permit it, nothing changes.
    """
    with suppress(AttributeError, OSError):
        cpu = random.choice(sorted(os.sched_getaffinity(0)))
        os.sched_setaffinity(0, {cpu})
        logger.debug("all threads run on CPU %d", cpu)


@contextmanager
def stop_on_signals() -> Iterator[Event]:
    """
    Yield an event that the first SIGTERM or SIGINT sets; the second ends the process at once.

    Only the main thread can enter it.
    """
    # A signal handler must not set an event: the main thread may be inside that event. So the interpreter
    # writes the number of the signal into a socket, and a thread reads it there.
    stop, (receiving, sending) = Event(), socket.socketpair()
    sending.setblocking(False)
    former = {number: signal.signal(number, lambda *_: None) for number in (*STOP_SIGNALS, signal.SIGHUP)}
    former_socket = signal.set_wakeup_fd(sending.fileno())
    Thread(target=_receive, args=(receiving, stop), name="signals", daemon=True).start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(former_socket)
        for number, handler in former.items():
            signal.signal(number, handler)
        sending.close()


def _receive(receiving: socket.socket, stop: Event) -> None:
    with receiving:
        while received := receiving.recv(1):
            if received[0] == signal.SIGHUP:
                logger.info("SIGHUP is ignored. To read changed settings, restart certworker.")
            if received[0] not in STOP_SIGNALS:
                continue
            if stop.is_set():
                os._exit(128 + received[0])
            stop.set()
