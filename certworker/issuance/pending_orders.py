"""
Pending orders at one CA: stored before they are finalized, resumed after a crash.

::

    placed ──► URL in Redis ──► validated ──► key on the volume ──► finalized ──► in service: forgotten

Whatever is lost of that costs one more order, and nothing else. An order that has failed is never resumed.
A resumed one that fails in any way is replaced by a new one at the next attempt, with two exceptions: the CA
was not heard, or it is still signing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis import Redis
from redis.exceptions import RedisError

from certworker.acme.client import AcmeClient
from certworker.acme.order import Order
from certworker.acme.order_keys import OrderKeys
from certworker.certificates import PrivateKey
from certworker.errors import CertworkerError, Retry
from certworker.errors.acct import AccountDeactivated, AccountGone
from certworker.errors.acme import (
    AuthorizationGone,
    BadCertificate,
    BadNonce,
    Malformed,
    PendingTimeout,
)
from certworker.errors.ca import CaUnreachable, Maintenance, ServerInternal, TlsIntercepted
from certworker.errors.config import WrongCaUrl
from certworker.errors.dns import ContainerResolver
from certworker.errors.rate import CaBusy
from certworker.ratelimits.charges import set_of
from certworker.redis.codec import (
    LARGEST_JSON,
    count_in,
    decode_time,
    encode_time,
    fields_in,
    names_in,
    shown_in,
)

logger = logging.getLogger(__name__)

ORDERS = "certworker:order:"

#: Characters.
LONGEST_URL = 2_000

#: Let's Encrypt keeps an order for 7 days; of a CA that does not say, or says more, the same is assumed.
LONGEST = timedelta(days=7)

#: After these the same order would only end in the same way.
FINAL_FAILURES = (AuthorizationGone, BadCertificate, Malformed)

#: These say nothing about the order: the CA was not heard, or did not come to it.
NOT_HEARD = (
    AccountDeactivated,
    AccountGone,
    CaBusy,
    CaUnreachable,
    BadNonce,
    ContainerResolver,
    Maintenance,
    TlsIntercepted,
    WrongCaUrl,
)

#: After the passing faults the same order may still succeed.
PASSING = (Retry.SOON, Retry.UNTIL)

#: An order is resumed so many times: one that a CA signs for ever, or that ends every worker, must not keep a
#: name from its certificate.
MOST_RESUMPTIONS = 6


@dataclass(frozen=True)
class PendingOrder:
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


class PendingOrderStore:
    """
    The orders under way at one CA, one for each set of names.
    """

    def __init__(self, connection: Redis, authority: str) -> None:
        self._connection = connection
        self._authority = authority

    def save(
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
            "expires": encode_time(until),
            "reserved": reserved,
            "resumed": resumed,
        }
        self._connection.set(self._key(names), json.dumps(kept), exat=max(until, now + timedelta(seconds=1)))

    def find(self, names: Sequence[str]) -> PendingOrder | None:
        """
        The order for the very same *names*, in any order of them; None if there is none.
        """
        return self._read(names, self._connection.getrange(self._key(names), 0, LARGEST_JSON))

    def delete(self, names: Sequence[str]) -> PendingOrder | None:
        """
        Forget the order for *names*, and return what was known of it; forgetting it twice is no mistake.
        """
        return self._read(names, self._connection.getdel(self._key(names)))

    def _read(self, names: Sequence[str], text: bytes | str | None) -> PendingOrder | None:
        stored = fields_in(text)
        url, expires = shown_in(stored.get("url"), LONGEST_URL), decode_time(stored.get("expires"))
        known = names_in(stored.get("names"))
        if known is None or set(known) != set(names) or expires is None or not _is_url(url):
            return None
        reserved, resumed = stored.get("reserved") is True, count_in(stored.get("resumed"))
        return PendingOrder(url, tuple(names), self._authority, expires, reserved, resumed)

    def _key(self, names: Sequence[str]) -> str:
        return f"{ORDERS}{self._authority}:{set_of(names)}"


@dataclass(frozen=True)
class PendingOrders:
    """
    The orders under way at one CA.
    """

    authority: AcmeClient
    orders: PendingOrderStore
    keys: OrderKeys
    clock: Callable[[], datetime]

    def find(self, names: tuple[str, ...]) -> PendingOrder | None:
        """
        What is known of the order for *names*, if one is under way. The CA is not asked.
        """
        return self.orders.find(names)

    def resume(self, names: tuple[str, ...], *, force: bool) -> tuple[Order | None, bool]:
        """
        Return the order that an earlier attempt placed, and whether the budget still reserves its price.

        There is none if it has failed, or was resumed too often; then it is forgotten.

        Args:
            force: A person insists on a new order. Only one whose attempt was cut off is still resumed: the
                same request may have placed it.

        Raises:
            CertworkerError: The CA has an internal problem, is busy, or does not answer.
        """
        found = self.orders.find(names)
        if found is None:
            return None, False
        given_up = found.resumed >= MOST_RESUMPTIONS or (force and not found.reserved)
        order = None if given_up else self._resumed(names, found)
        if order is None or (order.is_finalized and self.keys.find(order.url) is None):
            self.forget(names)
            return None, False
        logger.info("resuming the pending order of an earlier attempt", extra=_about(names))
        return order, found.reserved

    def place(self, names: tuple[str, ...], replaces: str | None) -> Order:
        """
        A new order, which is kept from the moment the CA has taken it.

        Raises:
            CertworkerError: As :meth:`AcmeClient.order`.
        """

        def keep(url: str, expires: datetime | None) -> None:
            self._keep(names, url, expires, reserved=True, resumed=0)

        return self.authority.order(names, replaces=replaces, placed=keep)

    def key(self, order: Order) -> PrivateKey:
        """
        The key for *order*, kept from an earlier attempt or made.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: It could not be kept.
        """
        return self.keys.find(order.url) or self.keys.make(order.url)

    @contextmanager
    def keeping(self, names: tuple[str, ...], resumed: Order | None) -> Iterator[None]:
        """
        Forget the order for *names* if the block fails in a way that ends it.

        After any other failure the next attempt resumes it.

        Args:
            resumed: The order, if an earlier attempt had placed it.
        """
        try:
            yield
        except CertworkerError as failure:
            if _is_over(failure, resumed):
                self.forget(names)
            elif found := self.orders.find(names):
                self._keep(names, found.url, found.expires, reserved=False, resumed=found.resumed)
            raise

    def forget(self, names: tuple[str, ...]) -> None:
        """
        Forget the order for *names* and its key.
        """
        # In this order: an address without its key would lead the next attempt to order anew.
        if found := self.orders.delete(names):
            self.keys.forget(found.url)

    def remove_stale(self) -> None:
        """
        Remove the keys of orders that nobody can finish any more.
        """
        self.keys.remove_stale()

    def _resumed(self, names: tuple[str, ...], found: PendingOrder) -> Order | None:
        """
        Return the order *found* as the CA has it now; None if it has failed.
        """
        # Before the CA is asked: an order that ends every worker is counted, too.
        self._keep(names, found.url, found.expires, reserved=found.reserved, resumed=found.resumed + 1)
        try:
            return self.authority.resume(found.url, names)
        except CertworkerError as failure:
            if _says_nothing(failure):
                raise
            self.forget(names)
            if isinstance(failure, ServerInternal):
                raise
            logger.info("the pending order has failed: %s", failure.message, extra=_about(names))
            return None

    def _keep(
        self, names: tuple[str, ...], url: str, expires: datetime | None, *, reserved: bool, resumed: int
    ) -> None:
        try:
            self.orders.save(
                names, url, expires=expires, reserved=reserved, now=self.clock(), resumed=resumed
            )
        except RedisError as error:
            # It would have saved an order after a crash; there is none yet.
            logger.debug("the order was not kept: %s", error, extra=_about(names))


def _is_over(failure: CertworkerError, resumed: Order | None) -> bool:
    """
    Return whether nothing more can be expected of the order in which *failure* occurred.
    """
    if _says_nothing(failure):
        return False
    if resumed is not None:
        return not (isinstance(failure, PendingTimeout) and resumed.is_finalized)
    return failure.retry not in PASSING or isinstance(failure, FINAL_FAILURES)


def _says_nothing(failure: CertworkerError) -> bool:
    # Faults of this machine's volume have the codes fs.*.
    return isinstance(failure, NOT_HEARD) or failure.code.startswith("fs.")


def _about(names: tuple[str, ...]) -> dict[str, object]:
    return {"domain": names[0], "event": "validate"}


def _is_url(text: str) -> bool:
    return len(text) < LONGEST_URL and text.startswith(("https://", "http://"))
