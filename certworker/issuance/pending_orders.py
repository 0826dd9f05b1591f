"""
Pending orders with one CA: stored before they are finalized, resumed after a crash or a temporary failure.

::

    placed ──► URL in Redis ──► key on the volume ──► finalized ──► in service ──► removed

The key is stored just before the signing request is sent: after the validation, or before its end at a CA
that is usually prompt. If the URL is lost, or the key of a finalized order, the next attempt places a new
order. A failed order is never resumed. After a failure of a resumed order, the next attempt also places a new
one. It resumes the order again only if the failure does not concern the order, or if the CA is still signing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from redis import Redis
from redis.client import Pipeline
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
from certworker.redis.shared_trips import send_with_next
from certworker.tracing.steps import step

logger = logging.getLogger(__name__)

ORDERS = "certworker:order:"

#: A valid URL has fewer characters.
LONGEST_URL = 2_000

#: Let's Encrypt keeps an order for 7 days. certworker assumes the same if a CA states no expiry, or a later
#: one.
LONGEST = timedelta(days=7)

#: After these failures, the same order would fail again.
FINAL_FAILURES = (AuthorizationGone, BadCertificate, Malformed)

#: These failures do not concern the order: the CA did not respond, or did not process the request.
UNRELATED_FAILURES = (
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

#: After these temporary failures, the same order may still succeed.
TEMPORARY = (Retry.SOON, Retry.UNTIL)

#: How often an order may be resumed. A CA may never finish an order, and an order may crash each worker.
MOST_RESUMPTIONS = 6


@dataclass(frozen=True)
class PendingOrder:
    """
    An order that has no certificate yet, as stored in Redis.
    """

    #: The URL of the order, from the CA.
    url: str
    names: tuple[str, ...]
    #: The label of the CA.
    authority: str
    #: The time until which the CA keeps the order.
    expires: datetime
    #: Whether the charges of the order are still reserved: its attempt is running, or a worker crashed.
    reserved: bool
    #: The number of attempts that have resumed the order.
    resumed: int = 0


class PendingOrderStore:
    """
    Stores the pending orders with one CA in Redis, one for each set of names.

    Attributes:
        authority: The label of the CA.

    Args:
        clock: Returns the time in UTC. No order counts as pending for longer than 7 days.
    """

    def __init__(self, connection: Redis, authority: str, clock: Callable[[], datetime]) -> None:
        self._connection = connection
        self.authority = authority
        self._clock = clock

    def save(
        self,
        names: Sequence[str],
        url: str,
        *,
        expires: datetime | None,
        reserved: bool,
        resumed: int = 0,
    ) -> None:
        """
        Store the order at *url* for *names* until it expires, but for at most 7 days.
        """
        now = self._clock()
        until = min(expires or now + LONGEST, now + LONGEST)
        fields = {
            "url": url,
            "names": list(names),
            "expires": encode_time(until),
            "reserved": reserved,
            "resumed": resumed,
        }
        self._connection.set(
            self._key(names), json.dumps(fields), exat=max(until, now + timedelta(seconds=1))
        )

    def find(self, names: Sequence[str]) -> PendingOrder | None:
        """
        Return the order for exactly *names*, in any sequence; None if there is none.
        """
        return self.read(names, self._connection.getrange(self._key(names), 0, LARGEST_JSON))

    def ask(self, names: Sequence[str]) -> Callable[[], PendingOrder | None]:
        """
        Ask for the order for *names* together with the next command; return a function that returns it.
        """
        reply = send_with_next(self._connection, "GETRANGE", self._key(names), 0, LARGEST_JSON)
        return lambda: self.read(names, reply.value())

    def add_removal(self, names: Sequence[str], pipe: Pipeline) -> None:
        """
        Add a command to *pipe* that removes the order for *names*. :meth:`read` reads the reply.
        """
        pipe.getdel(self._key(names))

    def delete(self, names: Sequence[str]) -> PendingOrder | None:
        """
        Remove the order for *names* and return it; None if there is none.
        """
        return self.read(names, self._connection.getdel(self._key(names)))

    def read(self, names: Sequence[str], text: bytes | str | None) -> PendingOrder | None:
        """
        Return the order for *names* in *text*; None if there is no valid one.
        """
        stored = fields_in(text)
        url, expires = shown_in(stored.get("url"), LONGEST_URL), decode_time(stored.get("expires"))
        known = names_in(stored.get("names"))
        if known is None or set(known) != set(names) or expires is None or not _is_url(url):
            return None
        reserved, resumed = stored.get("reserved") is True, count_in(stored.get("resumed"))
        expires = min(expires, self._clock() + LONGEST)
        return PendingOrder(url, tuple(names), self.authority, expires, reserved, resumed)

    def _key(self, names: Sequence[str]) -> str:
        return f"{ORDERS}{self.authority}:{set_of(names)}"


@dataclass(frozen=True)
class PendingOrders:
    """
    Places, stores and resumes the orders with one CA.
    """

    client: AcmeClient
    orders: PendingOrderStore
    keys: OrderKeys

    def find(self, names: tuple[str, ...]) -> PendingOrder | None:
        """
        Return the stored order for *names*; None if there is none. No request is sent to the CA.
        """
        return self.orders.find(names)

    def resume(self, names: tuple[str, ...], found: PendingOrder | None) -> tuple[Order | None, bool]:
        """
        Return the order that an earlier attempt placed, and whether its charges are still reserved.

        An order is removed if it cannot be resumed, was resumed too often, or was finalized with a lost key.
        Without an order, the result is (None, False).

        Args:
            names: The names.
            found: The order that is stored for them; None: there is none.

        Raises:
            CertworkerError: The CA has an internal error, is busy, or does not respond; or the account or the
                volume is not usable.
            redis.RedisError: Redis failed.
        """
        if found is None:
            return None, False
        order = None if found.resumed >= MOST_RESUMPTIONS else self._fetch(names, found)
        if order is None or (order.is_finalized and self.keys.find(order.url) is None):
            self.forget(names)
            return None, False
        logger.info("resuming the pending order of an earlier attempt", extra=_log_fields(names))
        return order, found.reserved

    @step("order")
    def place(self, names: tuple[str, ...], replaces: str | None) -> Order:
        """
        Place a new order for *names*, and store it as soon as the CA has accepted it.

        Args:
            replaces: The renewal id of the certificate that the new one replaces (RFC 9773, section 5);
                None: it replaces none.

        Raises:
            CertworkerError: As for :meth:`AcmeClient.order`.
        """

        def save(url: str, expires: datetime | None) -> None:
            self._save(names, url, expires, reserved=True, resumed=0)

        return self.client.order(names, replaces=replaces, placed=save)

    def signing(self, order: Order) -> tuple[Callable[[], PrivateKey], Callable[[], bytes]]:
        """
        Return two functions, which return the key for *order* and its signing request.

        The first call of either function stores a new key unless an earlier attempt stored one. Therefore,
        the CA never has a request without a stored key. The functions raise VolumeLocked, VolumeReadOnly,
        VolumeFull or VolumeFault.
        """
        key = cache(lambda: self.keys.find(order.url) or self.keys.make(order.url))
        return key, cache(lambda: key().sign_request(order.names))

    @contextmanager
    def dropping_failed(self, names: tuple[str, ...], resumed: Order | None) -> Iterator[None]:
        """
        Remove the order for *names* if the block raises a failure that ends the order.

        After any other failure, the next attempt resumes the order.

        Args:
            resumed: The order, if an earlier attempt placed it; otherwise None.
        """
        try:
            yield
        except CertworkerError as failure:
            if _is_over(failure, resumed):
                self.forget(names)
            elif found := self.orders.find(names):
                self._save(names, found.url, found.expires, reserved=False, resumed=found.resumed)
            raise

    def forget(self, names: tuple[str, ...]) -> None:
        """
        Remove the order for *names* and its key.
        """
        # The order is removed before its key: the next attempt could not finish an order without a key.
        if found := self.orders.delete(names):
            self.keys.forget(found.url)

    def forget_removed(self, names: tuple[str, ...], reply: Any) -> None:
        """
        Remove the key of the order for *names*.

        Args:
            names: The names.
            reply: The reply to the removal of the order by :func:`add_removals`. If it is an error, this
                method also removes the order.
        """
        if isinstance(reply, Exception):
            self.forget(names)
        elif found := self.orders.read(names, reply):
            self.keys.forget(found.url)

    def remove_stale(self) -> None:
        """
        Remove the keys of orders that can no longer be finished.
        """
        self.keys.remove_stale()

    @step("order")
    def _fetch(self, names: tuple[str, ...], found: PendingOrder) -> Order | None:
        """
        Fetch the order *found* from the CA. Remove it and return None if it cannot be resumed.
        """
        # The resumption is counted before the request, so that an order that crashes each worker counts, too.
        self._save(names, found.url, found.expires, reserved=found.reserved, resumed=found.resumed + 1)
        try:
            return self.client.resume(found.url, names)
        except CertworkerError as failure:
            if _is_unrelated(failure):
                raise
            self.forget(names)
            if isinstance(failure, ServerInternal):
                raise
            logger.info("could not resume the pending order: %s", failure.message, extra=_log_fields(names))
            return None

    def _save(
        self, names: tuple[str, ...], url: str, expires: datetime | None, *, reserved: bool, resumed: int
    ) -> None:
        try:
            self.orders.save(names, url, expires=expires, reserved=reserved, resumed=resumed)
        except RedisError as error:
            # Only an attempt after a crash or a temporary failure needs the stored order.
            logger.debug("could not store the order: %s", error, extra=_log_fields(names))


def add_removals(orders: Sequence[PendingOrders], names: Sequence[str], pipe: Pipeline) -> None:
    """
    Add a command to *pipe* for each of *orders* that removes the order for *names*.
    """
    for each in orders:
        each.orders.add_removal(names, pipe)


def _is_over(failure: CertworkerError, resumed: Order | None) -> bool:
    """
    Return whether *failure* ends the order.
    """
    if _is_unrelated(failure):
        return False
    if resumed is not None:
        return not (isinstance(failure, PendingTimeout) and resumed.is_finalized)
    return failure.retry not in TEMPORARY or isinstance(failure, FINAL_FAILURES)


def _is_unrelated(failure: CertworkerError) -> bool:
    # Failures of the volume have the codes fs.*. The CA does not notice a failure before a validation by
    # DNS-01.
    before_validation = failure.code.startswith("dns01.") and failure.retry is not Retry.CA
    return isinstance(failure, UNRELATED_FAILURES) or failure.code.startswith("fs.") or before_validation


def _log_fields(names: tuple[str, ...]) -> dict[str, object]:
    return {"domain": names[0], "event": "validate"}


def _is_url(text: str) -> bool:
    return len(text) < LONGEST_URL and text.startswith(("https://", "http://"))
