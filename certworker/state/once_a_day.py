"""
What has been said today already, by any worker.
"""

from __future__ import annotations

from datetime import timedelta

from redis import Redis

from certworker.state.once_per import Once

SAID = "certworker:said:"

#: A little less than a day, or what is looked for every hour would be said an hour later each day.
DAY = timedelta(hours=23)


class Daily:
    """
    Lets each thing be said once a day. Where Redis forgets, it is said again.
    """

    def __init__(self, connection: Redis) -> None:
        self._once = Once(connection, DAY)

    def first(self, what: str) -> bool:
        """
        Whether *what* was not said within the last day; it counts as said from here on.
        """
        return self._once.first(SAID + what)
