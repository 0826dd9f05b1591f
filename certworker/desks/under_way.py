"""
Orders under way at one CA: kept before they are finalized, gone on with after a crash.

::

    placed ──► URL in Redis ──► validated ──► key on the volume ──► finalized ──► in service: forgotten

Whatever is lost of that costs one more order, and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from redis.exceptions import RedisError

from certworker.acme.authority import Authority
from certworker.acme.order import Order
from certworker.acme.order_keys import OrderKeys
from certworker.certificates import PrivateKey
from certworker.errors import CertworkerError, Retry
from certworker.errors.authority import (
    AuthorizationGone,
    BadCertificate,
    BadCsr,
    Malformed,
    NoHttp01,
)
from certworker.errors.naming import ForbiddenByPolicy
from certworker.ledger.orders import OrdersUnderWay, OrderUnderWay

logger = logging.getLogger(__name__)

#: After these the same order would only end in the same way.
HOPELESS = (AuthorizationGone, BadCertificate, BadCsr, ForbiddenByPolicy, Malformed, NoHttp01)


@dataclass(frozen=True)
class UnderWay:
    """
    The orders under way at one CA.
    """

    authority: Authority
    orders: OrdersUnderWay
    keys: OrderKeys
    clock: Callable[[], datetime]

    def find(self, names: tuple[str, ...]) -> OrderUnderWay | None:
        """
        What is known of the order for *names*, if one is under way. The CA is not asked.
        """
        return self.orders.find(names)

    def resume(self, names: tuple[str, ...]) -> tuple[Order | None, bool]:
        """
        The order that an earlier attempt began, as it stands at the CA, and whether its price is still
        reserved. There is none if nothing can become of it any more; then it is forgotten.

        Raises:
            CertworkerError: The CA is busy, or does not answer.
        """
        found = self.orders.find(names)
        if found is None:
            return None, False
        order = self.authority.resume(found.url, names)
        if order is None or (order.has_its_key and self.keys.find(order.url) is None):
            self.forget(names)
            return None, False
        logger.info(
            "going on with the order of an earlier attempt", extra={"domain": names[0], "event": "validate"}
        )
        return order, found.reserved

    def place(self, names: tuple[str, ...], replaces: str | None) -> Order:
        """
        A new order, which is kept from the moment the CA has taken it.

        Raises:
            CertworkerError: As :meth:`Authority.order`.
        """

        def keep(url: str, expires: datetime | None) -> None:
            self._keep(names, url, expires, reserved=True)

        return self.authority.order(names, replaces=replaces, placed=keep)

    def key(self, order: Order) -> PrivateKey:
        """
        The key for *order*, kept from an earlier attempt or made.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: It could not be kept.
        """
        return self.keys.find(order.url) or self.keys.make(order.url)

    @contextmanager
    def kept(self, names: tuple[str, ...]) -> Iterator[None]:
        """
        Forget the order when the block fails in a way that the next attempt at the same order would, too.
        """
        try:
            yield
        except CertworkerError as failure:
            if failure.retry is Retry.CA or isinstance(failure, HOPELESS):
                self.forget(names)
            elif found := self.orders.find(names):
                self._keep(names, found.url, found.expires, reserved=False)
            raise

    def forget(self, names: tuple[str, ...]) -> None:
        """
        Forget the order for *names* and its key.
        """
        # In this order: an address without its key would lead the next attempt to order anew.
        if found := self.orders.take_away(names):
            self.keys.forget(found.url)

    def remove_stale(self) -> None:
        """
        Remove the keys of orders that nobody can finish any more.
        """
        self.keys.remove_stale()

    def _keep(self, names: tuple[str, ...], url: str, expires: datetime | None, *, reserved: bool) -> None:
        try:
            self.orders.keep(names, url, expires=expires, reserved=reserved, now=self.clock())
        except RedisError as error:
            # It would have saved an order after a crash; there is none yet.
            logger.debug("the order was not kept: %s", error, extra={"domain": names[0]})
