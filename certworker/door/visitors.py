"""
The connections to the door: whoever asks for what is not there is heard again a little later.

Python runs one thread at a time, and a request costs some hundred microseconds of it: a flood would take the
time that jobs need. What is asked in good faith, by a CA or a proxy, is there, and comes at once.
"""

from __future__ import annotations

import time

from waitress.channel import HTTPChannel
from waitress.task import WSGITask

#: At least so long; the loop of the server looks at quiet connections once a second.
PAUSE_SECONDS = 2.0


class Visit(WSGITask):
    """
    One request and its answer.
    """

    close_on_finish: bool

    def service(self) -> None:
        """
        Answer, and note whether there was something to answer.
        """
        super().service()
        if self.status.startswith("4"):  # what fails on our side, without Redis, is nobody's garbage
            self.channel.heard_again = time.monotonic() + PAUSE_SECONDS
            # Requests that were sent without waiting for the answers need no pause to be heard.
            self.close_on_finish |= len(self.channel.requests) > 1


class Visitor(HTTPChannel):
    """
    A connection.
    """

    task_class = Visit

    #: On the monotonic clock.
    heard_again = 0.0

    def readable(self) -> bool:
        """
        Whether to listen to it.
        """
        return time.monotonic() >= self.heard_again and bool(super().readable())

    def writable(self) -> bool:
        """
        Whether it waits for an answer that is complete; for half of one the loop of the server would spin.
        """
        return not self.requests and bool(super().writable())
