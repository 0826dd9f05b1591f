"""
The deletion of records that killed workers left behind, or whose deletion failed earlier.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from certworker.dns01.delegation import Delegations
from certworker.dns01.propagation import Propagation
from certworker.dns01.provider import Providers, TxtRecord
from certworker.dns01.record_changes import RecordChanges
from certworker.dns01.txt_records import Entry, TxtRecords, identifier_of
from certworker.errors import CertworkerError
from certworker.errors.dns01 import NotConfigured, ZoneBusy
from certworker.state.locks import DomainLocks
from certworker.supervision import beat
from certworker.ttl_cache import TtlCache

logger = logging.getLogger(__name__)

#: An order holds a lock with this prefix for as long as it needs its records.
LEASE_PREFIX = "dns01-order:"

#: From this age on, a record counts as deleted if all name servers answer without it.
SETTLED = timedelta(minutes=10)

#: The delay before a failed deletion is retried. Each failure doubles it, up to the longest delay.
FIRST_DELAY = timedelta(minutes=1)
LONGEST_DELAY = timedelta(hours=6)

#: The longest pause of a provider. A next attempt that is further away has an invalid time.
LONGEST_POSTPONEMENT = timedelta(days=1)

#: After this time, certworker stops trying to delete a record: its zone may no longer exist.
LONGEST_TRIED = timedelta(days=30)

#: The seconds between two checks of a record whose zone no provider of this worker serves.
UNSERVED_SECONDS = 3_600.0

#: After this time, a pass begins no further deletion, because providers may be slow. The next pass continues.
PASS = timedelta(minutes=1)


class Leftovers:
    """
    Finds the records in the list that no order needs, and deletes them.

    Args:
        providers: The providers of this worker.
        delegations: Finds the servers of a zone.
        propagation: Queries these servers.
        records: The list of created records.
        changes: Deletes records.
        locks: The leases of orders.
        clock: Returns the time in UTC.
    """

    def __init__(
        self,
        *,
        providers: Providers,
        delegations: Delegations,
        propagation: Propagation,
        records: TxtRecords,
        changes: RecordChanges,
        locks: DomainLocks,
        clock: Callable[[], datetime],
    ) -> None:
        self._providers = providers
        self._delegations = delegations
        self._propagation = propagation
        self._records = records
        self._changes = changes
        self._locks = locks
        self._clock = clock
        self._unserved: TtlCache[str, bool] = TtlCache()

    def delete_all(self) -> None:
        """
        Delete the records that are due; begin no deletion after :data:`PASS`.

        Also remove unfinished files of the list.

        Raises:
            CertworkerError: The list cannot be read or written.
            redis.RedisError: Redis failed.
        """
        self._records.remove_leftovers()
        until = self._clock() + PASS
        for entry in self._records.all().values():
            if self._clock() > until:
                break
            if self._is_due(entry):
                beat()
                self.delete(entry)

    def delete(self, entry: Entry) -> None:
        """
        Delete the record of *entry*. After a failure, store the time of the next attempt.

        If the zone is busy, or no provider of this worker serves it, the next attempt is not postponed.

        Raises:
            CertworkerError: The list cannot be written.
            redis.RedisError: Redis failed.
        """
        record = entry.record
        provider = self._providers.serving(record.zone)
        if provider is None:
            self._check_unserved(entry)
            return
        try:
            if self._changes.delete_leftover(entry, provider):
                logger.info("deleted a TXT record of an earlier order: %s", record.fqdn)
        except ZoneBusy:
            return
        except CertworkerError as failure:
            self._postpone(entry, failure)

    def _is_due(self, entry: Entry) -> bool:
        now = self._clock()
        # A record that is younger than a lease may belong to an order whose lease was lost with Redis. The
        # clock of another worker may be ahead, but a much later time is invalid.
        if abs(now - entry.created) < self._locks.duration:
            return False
        if entry.again and now < entry.again <= now + LONGEST_POSTPONEMENT:
            return False
        return not self._locks.is_held(LEASE_PREFIX + entry.order)

    def _check_unserved(self, entry: Entry) -> None:
        """
        Remove the *entry* if it is obsolete. Otherwise, log that the record remains: only a worker with the
        provider can delete it.
        """
        # The entry is not postponed: a worker without the provider must not delay the worker that has it.
        identifier = identifier_of(entry.record)
        if self._unserved.get(identifier):
            return
        self._unserved.put(identifier, True, UNSERVED_SECONDS)
        if not self._forget_obsolete(entry):
            record = entry.record
            self._changes.log_left_behind(
                record, NotConfigured(name=record.name or record.fqdn, zone=record.zone)
            )

    def _postpone(self, entry: Entry, failure: CertworkerError) -> None:
        if self._forget_obsolete(entry):
            return
        now = self._clock()
        delay = min(FIRST_DELAY * 2 ** min(entry.failures, 20), LONGEST_DELAY)
        self._records.postpone(entry, max(now + delay, failure.until or now))
        self._changes.log_left_behind(entry.record, failure)

    def _forget_obsolete(self, entry: Entry) -> bool:
        """
        Remove the *entry* if its record is gone, or too old for a retry; return whether it was removed.
        """
        record, age = entry.record, self._clock() - entry.created
        if age > LONGEST_TRIED:
            days = LONGEST_TRIED // timedelta(days=1)
            logger.warning(
                "gave up deleting the TXT record %s of %s after %d days", record.value, record.fqdn, days
            )
        elif age <= SETTLED or not self._is_gone(record):
            return False
        self._records.remove(record)
        return True

    def _is_gone(self, record: TxtRecord) -> bool:
        try:
            servers = self._delegations.servers_of(record.zone)
        except CertworkerError:
            return False
        return self._propagation.is_gone(record.fqdn, record.value, servers)
