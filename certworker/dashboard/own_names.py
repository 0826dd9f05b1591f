"""
What a tenant sees of certificates that tenants share: its own names only.

An event, a failure, and an entry of a history concern a certificate. The other names of this certificate may
belong to other tenants, and the texts may contain these names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from redis import Redis

from certworker.dashboard.sources import Sources
from certworker.errors import CertworkerError
from certworker.observability.history import HistoryEntry
from certworker.renewal.domain_status import DomainStatus
from certworker.state.recorded_states import RecordedStates

#: Replaces a name of another tenant in a text.
HIDDEN = "(a name of another tenant)"

WILDCARD = "*."

#: A part of a text that may be a name of another tenant, or a name below such a name.
_HOST = re.compile(r"[\w*.-]+")


@dataclass(frozen=True)
class _Names:
    own: frozenset[str]
    others: frozenset[str]

    @classmethod
    def of(cls, tenants: Mapping[str, object], tenant: str) -> _Names:
        own = frozenset(name for name, each in tenants.items() if each == tenant)
        others = tenants.keys() - own
        return cls(own, frozenset(others | ({name.removeprefix(WILDCARD) for name in others} - own)))

    def hide(self, value: Any) -> Any:
        """
        Return *value*, from JSON, without the names of others in its strings.
        """
        if isinstance(value, str):
            return _HOST.sub(self._hide_host, value) if self.others else value
        if isinstance(value, list):
            return [self.hide(each) for each in value]
        return {key: self.hide(each) for key, each in value.items()} if isinstance(value, dict) else value

    def _hide_host(self, found: re.Match[str]) -> str:
        labels = found[0].strip(".").lower().split(".")
        for first in range(len(labels)):
            name = ".".join(labels[first:])
            if name in self.own:
                break
            if name in self.others:
                return HIDDEN
        return found[0]


def own_statuses(sources: Sources, statuses: Iterable[DomainStatus], tenant: str) -> list[DomainStatus]:
    """
    Return *statuses*, which are of names of *tenant*, without the names of other tenants.

    Raises:
        redis.RedisError: Redis failed.
    """
    found = list(statuses)
    records = sources.records.read_many([one.name for one in found])
    together = [
        {*one.names, *(record.names if record else ())} for one, record in zip(found, records, strict=True)
    ]
    tenants = _tenants(sources.connection, sorted(set().union(*together) - {one.name for one in found}))
    shown = []
    for one, shared in zip(found, together, strict=True):
        names = _Names.of({**{name: tenants.get(name, tenant) for name in shared}, one.name: tenant}, tenant)
        shown.append(
            replace(
                one,
                names=tuple(name for name in one.names if name in names.own),
                message=names.hide(one.message),
                remedy=names.hide(one.remedy),
            )
        )
    return shown


def own_history(sources: Sources, name: str, tenant: str | None) -> list[HistoryEntry]:
    """
    Return the history of *name* without the names of other tenants than *tenant*.

    Args:
        sources: The histories, the records and the volume.
        name: The name, which belongs to *tenant*.
        tenant: The tenant that reads the history; None for an operator, who sees all names.

    Raises:
        redis.RedisError: Redis failed.
    """
    entries = sources.history.read(name)
    if tenant is None:
        return entries
    record, shared = sources.records.read(name), set[str]()
    with suppress(CertworkerError):
        facts, _ = sources.certificates.serving(name)
        shared.update(facts.names if facts else ())
    shared.update(record.names if record else ())
    names = _Names.of({**_tenants(sources.connection, sorted(shared)), name: tenant}, tenant)
    return [replace(entry, text=names.hide(entry.text)) for entry in entries]


def own_event(connection: Redis, event: Mapping[str, Any], tenant: str) -> dict[str, Any] | None:
    """
    Return what *tenant* sees of *event*; None if none of its names belongs to *tenant*.

    The event has the tenant that the first name had at the time of the event.

    Raises:
        redis.RedisError: Redis failed.
    """
    given, first = event.get("names"), event.get("name")
    names = [name for name in given if isinstance(name, str)] if isinstance(given, list) else []
    if len(names) < 2:
        return dict(event) if event.get("tenant") == tenant else None
    tenants = {**_tenants(connection, names), names[0]: event.get("tenant")}
    found = _Names.of(tenants, tenant)
    own = [name for name in names if name in found.own]
    if not own:
        return None
    logs = event.get("logs") if first in found.own else ""
    return {
        **found.hide({**event, "logs": logs}),
        "name": first if first in found.own else own[0],
        "names": own,
        "tenant": tenant,
    }


def _tenants(connection: Redis, names: Sequence[str]) -> dict[str, str]:
    return dict(zip(names, RecordedStates(connection).tenants(names), strict=True))
