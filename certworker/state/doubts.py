"""
Which names the CA was asked about today although it would probably say no.

Without this memory a name that no longer leads here would use up the CA's failures hour by hour; with a
plain refusal a router that hides us from ourselves would keep a good name without a certificate for ever.
"""

from __future__ import annotations

from datetime import timedelta

from redis import Redis

from certworker.state.once_per import Once

DOUBTS = "certworker:doubt:"

ONCE_IN = timedelta(days=1)


class OncePerDay:
    """
    One key in Redis for each such name; it goes away by itself.
    """

    def __init__(self, connection: Redis) -> None:
        self._once = Once(connection, ONCE_IN)

    def may_ask(self, name: str) -> bool:
        """
        Whether the CA may be asked about *name* in spite of a doubt. A yes is given once a day.
        """
        return self._once.first(DOUBTS + name)
