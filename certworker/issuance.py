"""
The issuance of one certificate, from the request to the padlock.

Start reading here. Each step is one call into the room of the same name, and none of those rooms
calls another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Literal

from certworker.acme.authority import Authority
from certworker.certificates import Certificate, KeyType, PrivateKey
from certworker.challenges.solver import Solver, present
from certworker.errors import CertworkerError
from certworker.errors.configuration import WouldReplacePublic
from certworker.errors.machine import Unexpected
from certworker.ledger.agenda import Agenda
from certworker.ledger.budget import Budget
from certworker.ledger.lock import Lease, NameLocks
from certworker.ledger.record import Records
from certworker.renewal import next_attempt
from certworker.schedule import Plan
from certworker.serving.generation import Facts
from certworker.serving.traefik import Traefik
from certworker.serving.volume import Stored, Volume
from certworker.settings import AuthorityChoice

logger = logging.getLogger(__name__)

#: An issuance that nobody finished is looked at again this long after its lease has ended.
AFTER_THE_LEASE = timedelta(seconds=5)


@dataclass(frozen=True)
class Outcome:
    """
    What is in service after a request, and when it is looked at again.
    """

    state: Literal["issued", "kept"]
    facts: Facts
    next_look: datetime


@dataclass(frozen=True)
class Issuer:
    """
    Orders certificates from one authority and puts them into service.
    """

    choice: AuthorityChoice
    authority: Authority
    checks: Sequence[Callable[[tuple[str, ...]], None]]
    solvers: Sequence[Solver]
    #: When a certificate is renewed, and looked at next.
    plan: Callable[[Facts, datetime], Plan]
    volume: Volume
    traefik: Traefik
    locks: NameLocks
    records: Records
    agenda: Agenda
    budget: Budget
    key_type: KeyType
    clock: Callable[[], datetime]
    random: Random

    def issue(self, names: tuple[str, ...], *, force: bool = False, insisting: bool = False) -> Outcome:
        """
        Put a certificate for *names* into service.

        The one that is in service stays if it is not due, unless *force* is given; with *insisting* as often
        as the CA allows.

        Raises:
            AlreadyUnderWay: Another worker is at it.
            CertworkerError: What went wrong, with its remedy. The ledger has it, too, with the moment
                of the next attempt; Traefik serves what it served before.
        """
        with self.locks.hold(names) as lease, self._recorded(names, lease):
            standing = [self.volume.current(name) for name in names]
            current = _for_all(names, standing)
            if current and not force and not self.plan(current.facts, self.clock()).due:
                return self._done("kept", current)

            self._protect_public(standing)
            for check in self.checks:
                check(names)

            replaces = self._predecessor(current)
            with self.budget.spend(
                names, replaces=bool(replaces) and not force, renewal=bool(replaces), insisting=insisting
            ) as spending:
                _tell(names, "validate", f"asking {self.choice.title} (HTTP-01)")
                order = self.authority.order(names, replaces=replaces)
                spending.placed(replaces=order.replaces)
                with present(order.answers, self.solvers):
                    order.validate()
                spending.validated()
                _tell(names, "validate", "ownership confirmed by the CA")

                key = PrivateKey.generate(self.key_type)
                certificate = Certificate.from_pem(order.finalize(key.sign_request(names)), key)
                certificate.check(names, self.clock())
            _tell(
                names,
                "finalize",
                f"certificate received from {certificate.issuer}, serial {certificate.serial}",
            )

            stored = self.volume.store(
                certificate, authority=self.choice.label, kind=self.choice.kind, token=lease.token
            )
            return self._done("issued", stored)

    def _predecessor(self, current: Stored | None) -> str | None:
        # Only the CA that issued it may be told (RFC 9773, section 5).
        return current.facts.renewal_id if current and current.facts.authority == self.choice.label else None

    def _protect_public(self, standing: Sequence[Stored | None]) -> None:
        if self.choice.kind not in ("staging", "development"):
            return
        for facts in (stored.facts for stored in standing if stored):
            if facts.kind == "public" and facts.not_after > self.clock():
                raise WouldReplacePublic(
                    name=facts.names[0], current=facts.issuer, authority=self.choice.title
                )

    def _done(self, state: Literal["issued", "kept"], stored: Stored) -> Outcome:
        facts = stored.facts
        if self.traefik.serve(stored):
            _tell(facts.names, "installed", f"in service: {stored.directory}")
        next_look = self.plan(facts, self.clock()).next_look
        self.records.issued(
            facts.names,
            not_before=facts.not_before,
            not_after=facts.not_after,
            serial=facts.serial,
            authority=facts.authority,
            next_look=next_look,
            now=self.clock(),
        )
        self.agenda.put_many(dict.fromkeys(facts.names, next_look))
        return Outcome(state, facts, next_look)

    @contextmanager
    def _recorded(self, names: tuple[str, ...], lease: Lease) -> Iterator[None]:
        self.records.began(names, self.clock())
        self.agenda.put_many(dict.fromkeys(names, self.clock() + lease.duration + AFTER_THE_LEASE))
        try:
            yield
        except Exception as fault:
            # A fault of our own waits like a refusal of the CA, lest it asks the CA again and again.
            failure = fault if isinstance(fault, CertworkerError) else Unexpected(fault=repr(fault))
            attempts = self.records.attempts(names[0]) + 1
            again = next_attempt(failure, attempts, self.clock(), self.random)
            self.records.failed(names, failure, next_look=again, now=self.clock())
            self.agenda.put_many(dict.fromkeys(names, again))
            raise


def _tell(names: tuple[str, ...], event: str, text: str) -> None:
    logger.info("%s", text, extra={"domain": names[0], "event": event})


def _for_all(names: tuple[str, ...], standing: Sequence[Stored | None]) -> Stored | None:
    # A name that joined the set, or lost its files, makes the certificate incomplete.
    first = standing[0]
    if first is None or set(first.facts.names) != set(names):
        return None
    return first if all(other and other.directory == first.directory for other in standing) else None
