"""
Run a worker of the tests of DNS-01: `python -m tests.dns01.worker ARGUMENTS STEP NAME...`.

It presents the challenges of its names, each in an order of its own, concurrently. ARGUMENTS is JSON
with Redis, resolver, name server and directory. At STEP it kills itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.tsig
import dns.update
from redis import Redis

from certworker.challenges.challenge import Dns01Challenge
from certworker.dns01.provider import ANY_ZONE, Provider, Providers, TxtRecord
from certworker.dns01.rfc2136 import Rfc2136, TsigKey
from certworker.dns01.solver import Dns01Solver
from certworker.state.locks import DomainLocks
from tests.servers.bind import KEY, Bind

#: A short lease, so that tests need not wait long after they kill a worker.
LEASE_SECONDS = 2.0
TIMEOUT_SECONDS = 60.0

STEPS = ("stored", "created", "visible", "deleting", "deleted")


def challenge(name: str, number: int = 0) -> Dns01Challenge:
    """
    Return a challenge for *name*. Each *number* has another token.
    """
    token = f"{number:043d}"
    return Dns01Challenge(name, token, f"{token}.{'k' * 43}")


def provider_of(address: tuple[str, int]) -> Rfc2136:
    """
    Return the provider that updates the name server at *address*.
    """
    host, port = address
    return Rfc2136(host, port, TsigKey(KEY.name, KEY.secret, KEY.algorithm))


def solver_of(
    connection: Redis,
    directory: Path,
    resolver: tuple[str, int],
    providers: Provider | Mapping[str, Provider],
    *,
    lease_seconds: float = LEASE_SECONDS,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Dns01Solver:
    """
    Return the solver of a worker.
    """
    return Dns01Solver.for_worker(
        Providers(providers if isinstance(providers, Mapping) else {ANY_ZONE: providers}),
        resolvers=[resolver],
        private=True,
        timeout_seconds=timeout_seconds,
        directory=directory,
        connection=connection,
        locks=DomainLocks(connection, lease_seconds, highest_token=lambda: 0),
        clock=lambda: datetime.now(UTC),
    )


def arguments_of(redis_url: str, directory: Path, resolver: tuple[str, int], server: Bind) -> str:
    """
    Return ARGUMENTS.
    """
    arguments = {
        "redis": redis_url,
        "directory": str(directory),
        "resolver": resolver,
        "server": server.address,
    }
    return json.dumps(arguments)


@dataclass(frozen=True)
class KilledProvider:
    """
    Kill the process at a step.
    """

    real: Rfc2136
    last_step: str
    label: str = "rfc2136"

    def present(self, record: TxtRecord) -> None:
        """
        Create *record*.
        """
        self.kill_at("stored")
        self.real.present(record)
        self.kill_at("created")

    def withdraw(self, record: TxtRecord) -> None:
        """
        Delete *record*.
        """
        self.kill_at("deleting")
        self.real.withdraw(record)
        self.kill_at("deleted")

    def kill_at(self, step: str) -> None:
        """
        Kill the process if *step* is its last one.
        """
        if step == self.last_step:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class WholeName:
    """
    Replace all values of a name at once, as many APIs do.
    """

    address: tuple[str, int]
    label: str = "whole"

    def present(self, record: TxtRecord) -> None:
        """
        Create *record*.
        """
        self._replace(record, self._values(record) | {record.value})

    def withdraw(self, record: TxtRecord) -> None:
        """
        Delete *record*.
        """
        self._replace(record, self._values(record) - {record.value})

    def _values(self, record: TxtRecord) -> set[str]:
        host, port = self.address
        answer = dns.query.tcp(dns.message.make_query(record.fqdn, "TXT"), host, port=port, timeout=30)
        return {b"".join(each.strings).decode() for records in answer.answer for each in records}

    def _replace(self, record: TxtRecord, values: set[str]) -> None:
        host, port = self.address
        key = dns.tsig.Key(KEY.name, KEY.secret, KEY.algorithm)
        update = dns.update.UpdateMessage(record.zone, keyring=key)
        update.delete(f"{record.fqdn}.", "TXT")
        for value in values:
            update.add(f"{record.fqdn}.", 60, "TXT", f'"{value}"')
        answer = dns.query.tcp(update, host, port=port, timeout=30)
        assert answer.rcode() == 0, answer


def main(arguments: dict[str, Any], last_step: str, names: list[str]) -> None:
    """
    Present the challenges of *names*, and print their number.
    """
    address = (arguments["server"][0], arguments["server"][1])
    killed = KilledProvider(provider_of(address), last_step)
    provider: Provider = killed if last_step else WholeName(address)
    connection = Redis.from_url(arguments["redis"])
    resolver = (arguments["resolver"][0], arguments["resolver"][1])
    solver = solver_of(
        connection,
        Path(arguments["directory"]),
        resolver,
        provider,
        lease_seconds=LEASE_SECONDS if last_step else 20,
    )

    def order(name: str) -> None:
        with solver.presenting([challenge(name, sum(name.encode()))]):
            killed.kill_at("visible")

    with ThreadPoolExecutor(len(names)) as orders:
        sys.stdout.write(f"{len(list(orders.map(order, names)))}\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:])
