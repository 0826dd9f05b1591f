"""
The creation and deletion of records: one writer per zone, and no request while a provider is paused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from redis.exceptions import RedisError

from certworker.dns01.provider import Provider, TxtRecord
from certworker.dns01.provider_state import ProviderState
from certworker.dns01.txt_records import Entry, TxtRecords, identifier_of
from certworker.dns01.zone_lock import ZoneLocks
from certworker.errors import CertworkerError
from certworker.errors.dns01 import (
    ChangeForbidden,
    CredentialsRejected,
    LeftBehind,
    ProviderRateLimited,
    ZoneLockLost,
    ZoneMissing,
)
from certworker.minutes import not_before
from certworker.state.once_per import OncePer
from certworker.supervision import beat

logger = logging.getLogger(__name__)

#: How long the deletion of leftovers waits for other writers of a zone.
LEFTOVER_TIMEOUT_SECONDS = 5.0

#: After these failures, the provider has certainly not created the record.
REFUSALS = (ChangeForbidden, CredentialsRejected, ProviderRateLimited, ZoneMissing)


class RecordChanges:
    """
    Changes the records of all workers.

    Args:
        records: The list of created records.
        zones: The locks on zones.
        states: The state of the providers.
        once_a_day: Limits the log lines about a record.
    """

    def __init__(
        self, records: TxtRecords, zones: ZoneLocks, states: ProviderState, once_a_day: OncePer
    ) -> None:
        self._records = records
        self._zones = zones
        self._states = states
        self._once_a_day = once_a_day

    def create(self, records: Sequence[TxtRecord], provider: Provider, order: str) -> None:
        """
        Create *records* in one zone for *order*.

        After a failure, the records stay in the list, because they may exist. After one of
        :data:`REFUSALS`, this method removes those that the provider has certainly not created.

        Raises:
            ProviderRateLimited: The provider accepts no changes now. During a known pause, nothing is sent.
            ZoneBusy: Other writers had the zone for too long.
            ZoneLockLost: This worker lost its lock on the zone.
            CertworkerError: The provider or the volume failed.
            redis.RedisError: Redis failed.
        """
        zone = records[0].zone
        with self._zones.hold(zone) as lease:
            self.refuse_paused(provider.label)
            # A killed worker may have created the same records.
            new = [record for record in records if self._records.get(record) is None]
            self._records.add(records, order=order, provider=provider.label)
            for number, record in enumerate(records):
                if not lease.still_held():
                    raise ZoneLockLost(zone=zone, fqdn=record.fqdn)
                try:
                    with self._storing_pauses(provider.label):
                        provider.present(record)
                except REFUSALS:
                    for not_created in set(records[number:]) & set(new):
                        self._records.remove(not_created)
                    raise
                if self._records.get(record) is None:
                    # This worker was frozen in the meantime, and another one has deleted its leftovers.
                    self._records.add([record], order=order, provider=provider.label)
                beat()

    def delete(self, records: Sequence[TxtRecord], provider: Provider, order: str) -> None:
        """
        Delete those of *records*, in one zone, that *order* may have created.

        A failure is logged once a day for each record, and does not fail the order. A record that could not
        be deleted stays in the list.
        """
        left = list(records)
        reason: Exception | None = None
        try:
            left = [record for record in records if self._is_of(order, record)]
            if left:
                with self._zones.hold(left[0].zone):
                    for record in list(left):
                        try:
                            self._delete_of(order, record, provider)
                            left.remove(record)
                        except CertworkerError as failure:
                            reason = failure
        except (CertworkerError, RedisError) as failure:
            reason = failure
        for record in left:
            self.log_left_behind(record, reason)

    def is_listed(self, record: TxtRecord) -> bool:
        """
        Return whether *record* is in the list, and therefore may exist.

        Raises:
            redis.RedisError: Redis failed.
        """
        return self._records.get(record) is not None

    def delete_leftover(self, entry: Entry, provider: Provider) -> bool:
        """
        Delete the record of an *entry* whose order has ended; return whether this call has deleted it.

        Raises:
            ZoneBusy: Other writers had the zone for too long.
            CertworkerError: The provider or the volume failed, or the provider is paused.
            redis.RedisError: Redis failed.
        """
        with self._zones.hold(entry.record.zone, LEFTOVER_TIMEOUT_SECONDS):
            return self._delete_of(entry.order, entry.record, provider)

    def log_left_behind(self, record: TxtRecord, reason: Exception | None) -> None:
        """
        Log that *record* was not deleted because of *reason*, at most once a day for each code.
        """
        shown = reason.message if isinstance(reason, CertworkerError) else str(reason)
        failure = LeftBehind(fqdn=record.fqdn, value=record.value, zone=record.zone, reason=shown.rstrip("."))
        code = reason.code if isinstance(reason, CertworkerError) else ""
        try:
            is_new = self._once_a_day.first(f"{failure.code}:{code}:{identifier_of(record)}")
        except RedisError:
            # A failure of Redis may be the reason itself.
            is_new = True
        if is_new:
            logger.warning("%s", failure, extra={"code": failure.code, "domain": record.name or record.fqdn})

    def refuse_paused(self, label: str) -> None:
        """
        Raise a failure if the provider *label* is paused.

        Raises:
            ProviderRateLimited: The provider accepts no changes before the time in the failure.
            redis.RedisError: Redis failed.
        """
        if until := self._states.paused_until(label):
            raise ProviderRateLimited(provider=label, moment=not_before(until), until=until)

    def _delete_of(self, order: str, record: TxtRecord, provider: Provider) -> bool:
        if not self._is_of(order, record):
            return False
        self.refuse_paused(provider.label)
        with self._storing_pauses(provider.label):
            provider.withdraw(record)
        self._records.remove(record)
        beat()
        return True

    def _is_of(self, order: str, record: TxtRecord) -> bool:
        # Another worker may have deleted the record, or a new order may need it.
        entry = self._records.get(record)
        return entry is not None and entry.order == order

    @contextmanager
    def _storing_pauses(self, label: str) -> Iterator[None]:
        try:
            yield
        except ProviderRateLimited as limited:
            self._states.pause(label, limited.until)
            raise
