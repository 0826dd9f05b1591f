"""
What Redis knows about the names of a request, read in the round trip that locks them.

Other code may record tenants, sightings, deferred requests and covered names while the lock is held, so Redis
may have a newer state of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from certworker.issuance.pending_orders import PendingOrder, PendingOrderStore
from certworker.state.domain_records import DomainRecord, DomainRecords
from certworker.state.sightings import Sighting, Sightings


@dataclass(frozen=True)
class KnownState:
    """
    The state of some names. Each function reads the reply when it is called.
    """

    #: Returns the record of the first name; None: there is none.
    record: Callable[[], DomainRecord | None]
    #: Returns the sightings of the names that the daily checks found at another server.
    sightings: Callable[[], Mapping[str, Sighting]]
    #: For each CA, by its label, returns the pending order for exactly these names; None: there is none.
    orders: Mapping[str, Callable[[], PendingOrder | None]]

    def without_orders(self) -> KnownState:
        """
        Return this state without the pending orders, which the attempt has removed.
        """
        return replace(self, orders=dict.fromkeys(self.orders, lambda: None))

    @classmethod
    def ask(
        cls,
        names: Sequence[str],
        records: DomainRecords,
        sightings: Sightings,
        orders: Sequence[PendingOrderStore],
    ) -> KnownState:
        """
        Ask for the state of *names*. The commands are sent with the next command of the job.
        """
        return cls(
            record=records.ask(names[0]),
            sightings=sightings.ask(names),
            orders={store.authority: store.ask(names) for store in orders},
        )
