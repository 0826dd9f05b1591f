"""
Tests of the state of names that is read together with their lock.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from redis import Redis

from bench.round_trips import counted
from certworker.issuance.known_state import KnownState
from certworker.issuance.pending_orders import PendingOrderStore
from certworker.redis.guard import sharing_trips
from certworker.state.domain_records import DomainRecords
from certworker.state.locks import DomainLocks
from certworker.state.sightings import Sighting, Sightings

NAMES = ("a.org", "b.org")
NOW = datetime.now(UTC).replace(microsecond=0)


class TestKnownState:
    def test_the_state_is_read_in_the_round_trip_of_the_lock(self, connection: Redis) -> None:
        """
        One round trip locks the names, and reads the record, the sightings and the pending order.
        """
        records, sightings = DomainRecords(connection), Sightings(connection)
        store = PendingOrderStore(connection, "pebble", lambda: NOW)
        records.start_attempt(NAMES, next_check=NOW, now=NOW)
        sightings.put("b.org", Sighting(1, NOW, NOW, "A 203.0.113.1"))
        store.save(NAMES, "https://ca.test/order/1", expires=None, reserved=True)
        ask = partial(KnownState.ask, NAMES, records, sightings, [store])
        locks = DomainLocks(connection, highest_token=lambda: 0)
        with sharing_trips(connection), counted() as trips, locks.hold_and_ask(NAMES, ask) as (_, known):
            record, order = known.record(), known.orders["pebble"]()

            # A thread renews the lease in its own round trips.
            assert all(
                key in trips[0] for key in (b"lock:a.org", b"name:a.org", b"elsewhere", b"order:pebble")
            )
            assert ["b.org"] == list(known.sightings())
            assert record is not None
            assert ("issuing", NAMES) == (record.state, record.names)
            assert order is not None
            assert "https://ca.test/order/1" == order.url

    def test_nothing_is_known_about_a_new_name(self, connection: Redis) -> None:
        """
        A new name has no record, no sighting and no order.
        """
        store = PendingOrderStore(connection, "pebble", lambda: NOW)
        known = KnownState.ask(NAMES, DomainRecords(connection), Sightings(connection), [store])

        assert (None, {}, None) == (known.record(), known.sightings(), known.orders["pebble"]())
