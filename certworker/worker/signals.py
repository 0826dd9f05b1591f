"""
SIGTERM and SIGINT as an event: the first asks for an end in good order, the second ends the process.

SIGHUP is ignored with a line in the log: a terminal that closes, or a habit of other servers, ends no worker.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

SIGNALS = (signal.SIGTERM, signal.SIGINT)

logger = logging.getLogger(__name__)


@contextmanager
def stop_on_signals() -> Iterator[Event]:
    """
    Return an event that the first SIGTERM or SIGINT sets; the second ends the process at once.

    It has to be entered in the main thread.
    """
    # An event must not be set in a signal handler: the main thread may be inside that very event. So the
    # interpreter writes the number of the signal into a socket, and a thread of ours reads it there.
    stop, (reading, writing) = Event(), socket.socketpair()
    writing.setblocking(False)
    former = {number: signal.signal(number, lambda *_: None) for number in (*SIGNALS, signal.SIGHUP)}
    former_socket = signal.set_wakeup_fd(writing.fileno())
    Thread(target=_watch, args=(reading, stop), name="signals", daemon=True).start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(former_socket)
        for number, handler in former.items():
            signal.signal(number, handler)
        writing.close()


def _watch(reading: socket.socket, stop: Event) -> None:
    with reading:
        while received := reading.recv(1):
            if received[0] == signal.SIGHUP:
                logger.info("SIGHUP is ignored. To read changed settings, restart certworker.")
            if received[0] not in SIGNALS:
                continue
            if stop.is_set():
                os._exit(128 + received[0])
            stop.set()
