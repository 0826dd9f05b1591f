"""
Where the orders under way are, so that a crash does not cost another one.

Only the URL stands in Redis. Whoever can write there can make us ask our own CA for it, and nothing else;
the key of an order never leaves the state directory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis import Redis

from certworker.ledger.prices import set_of
from certworker.ledger.text import (
    LARGEST_JSON,
    count_in,
    fields_in,
    moment_in,
    names_in,
    shown_in,
    written,
)

ORDERS = "certworker:order:"

#: Characters.
LONGEST_URL = 2_000

#: Let's Encrypt keeps an order for 7 days; of a CA that does not say, or says more, the same is assumed.
LONGEST = timedelta(days=7)


@dataclass(frozen=True)
class OrderUnderWay:
    """
    An order that has no certificate yet.
    """

    #: At the CA.
    url: str
    names: tuple[str, ...]
    #: The label of the CA.
    authority: str
    #: Until when the CA keeps it.
    expires: datetime
    #: Whether what it costs is still reserved in the budget: nobody settled it, because a worker died.
    reserved: bool
    #: How many attempts have resumed it.
    resumed: int = 0


class OrdersUnderWay:
    """
    The orders under way at one CA, one for each set of names.
    """

    def __init__(self, connection: Redis, authority: str) -> None:
        self._connection = connection
        self._authority = authority

    def keep(
        self,
        names: Sequence[str],
        url: str,
        *,
        expires: datetime | None,
        reserved: bool,
        now: datetime,
        resumed: int = 0,
    ) -> None:
        """
        Remember the order at *url* for *names*, until it expires.
        """
        until = min(expires or now + LONGEST, now + LONGEST)
        kept = {
            "url": url,
            "names": list(names),
            "expires": written(until),
            "reserved": reserved,
            "resumed": resumed,
        }
        self._connection.set(self._key(names), json.dumps(kept), exat=max(until, now + timedelta(seconds=1)))

    def find(self, names: Sequence[str]) -> OrderUnderWay | None:
        """
        The order for the very same *names*, in any order of them; None if there is none.
        """
        return self._read(names, self._connection.getrange(self._key(names), 0, LARGEST_JSON))

    def take_away(self, names: Sequence[str]) -> OrderUnderWay | None:
        """
        Forget the order for *names*, and return what was known of it; forgetting it twice is no mistake.
        """
        return self._read(names, self._connection.getdel(self._key(names)))

    def _read(self, names: Sequence[str], text: bytes | str | None) -> OrderUnderWay | None:
        stored = fields_in(text)
        url, expires = shown_in(stored.get("url"), LONGEST_URL), moment_in(stored.get("expires"))
        known = names_in(stored.get("names"))
        if known is None or set(known) != set(names) or expires is None or not _is_url(url):
            return None
        reserved, resumed = stored.get("reserved") is True, count_in(stored.get("resumed"))
        return OrderUnderWay(url, tuple(names), self._authority, expires, reserved, resumed)

    def _key(self, names: Sequence[str]) -> str:
        return f"{ORDERS}{self._authority}:{set_of(names)}"


def _is_url(text: str) -> bool:
    return len(text) < LONGEST_URL and text.startswith(("https://", "http://"))
