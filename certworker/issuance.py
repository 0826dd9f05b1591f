"""
The issuance of one certificate, from the request to the padlock.

Start reading here. Each step is one call into the room of the same name, and none of those rooms
calls another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Literal

from certworker.attempts import Attempts
from certworker.certificates import Certificate
from certworker.challenges.solver import present
from certworker.desks.desk import Desk
from certworker.desks.turns import first_that_can
from certworker.errors import CertworkerError
from certworker.ledger.lock import Lease, NameLocks
from certworker.renewal import after_issuance
from certworker.schedule import Plan
from certworker.serving.generation import Facts
from certworker.serving.pair import Stored
from certworker.serving.traefik import Traefik
from certworker.serving.volume import Volume

logger = logging.getLogger(__name__)


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
    Orders certificates, from the first CA that can, and puts them into service.
    """

    desks: Sequence[Desk]
    #: Called with the names and `renewing`, it raises why the CA would say no.
    checks: Callable[..., None]
    #: When a certificate is renewed, and looked at next.
    plan: Callable[[Facts, datetime], Plan]
    volume: Volume
    traefik: Traefik
    locks: NameLocks
    attempts: Attempts
    clock: Callable[[], datetime]

    def issue(self, names: tuple[str, ...], *, force: bool = False, insisting: bool = False) -> Outcome:
        """
        Put a certificate for *names* into service.

        The one that is in service stays if it is not due, unless *force* is given; with *insisting* as often
        as the CA allows. One that is for more names is renewed for all of them; *force* orders *names* only.

        Raises:
            AlreadyUnderWay: Another worker is at it.
            CertworkerError: What went wrong, with its remedy. The ledger has it, too, with the moment
                of the next attempt; Traefik serves what it served before.
        """
        beside = () if force else self._beside(names)
        names += beside
        with self.locks.hold(names) as lease:
            unpublished = self._unpublished(names)
            with self.attempts.began(names, lease, force=force or unpublished is not None):
                if unpublished:
                    # An earlier attempt got it: whatever failed then, nothing has to be ordered for it.
                    self.volume.link(unpublished)
                    return self._done("issued", unpublished, lease)
                return self._issue(names, beside, lease, force=force, insisting=insisting)

    def _issue(
        self, names: tuple[str, ...], beside: tuple[str, ...], lease: Lease, *, force: bool, insisting: bool
    ) -> Outcome:
        standing = self.volume.standing(names)
        current = _for_all(names, standing)
        if current and not force and not self._is_due(current, standing):
            return self._done("kept", current, lease)

        if beside:
            others = ", ".join(beside)
            _tell(names, "validate", f"its certificate is also for {others}: they are renewed together")
        self.checks(names, renewing=current is not None)

        order = partial(self._ordered, names, standing, force=force, insisting=insisting)
        life = current.facts.life if current else None
        certificate, desk = first_that_can(self.desks, names, order, self.clock(), life)
        stored = self.volume.store(
            certificate, authority=desk.choice.label, kind=desk.choice.kind, token=lease.token
        )
        return self._done("issued", stored, lease)

    def _beside(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """
        Return the other names that the valid certificate for all of *names* still serves.
        """
        leads_to = self.volume.links.leads_to
        with suppress(CertworkerError):  # the attempt meets the same fault, and records it
            # The files of another program may be for more names, too.
            self.volume.adopt(names[0])
            directory, facts = leads_to(names[0]), self.volume.facts(names[0])
            if facts and self.clock() < facts.not_after and set(names) < set(facts.names):
                served = {name for name in facts.names if leads_to(name) == directory}
                if served.issuperset(names):
                    return tuple(name for name in facts.names if name in served and name not in names)
        return ()

    def _unpublished(self, names: tuple[str, ...]) -> Stored | None:
        """
        Return the certificate for *names* that an earlier attempt stored, but did not put into service or did
        not record.
        """
        try:
            stored = self.volume.unpublished(names)
        except CertworkerError:
            return None  # the attempt meets the same fault, and records it
        if stored and self.attempts.has_succeeded(stored.facts):
            self.attempts.tidy(partial(self._forget, stored))
            return None
        return stored if stored and self.clock() < stored.facts.not_after else None

    def _forget(self, stored: Stored) -> None:
        # In this order: an order that is still known leads to the certificate that is already there.
        for each in self.desks:
            each.under_way.forget(stored.facts.names)
        self.volume.published(stored)

    def _ordered(
        self,
        names: tuple[str, ...],
        standing: Sequence[Stored | None],
        desk: Desk,
        *,
        force: bool,
        insisting: bool,
    ) -> Certificate:
        desk.check(standing)
        if not force:
            self.attempts.rehearse(names, desk.rehearse)
        current = _for_all(names, standing)
        replaces = desk.predecessor(current)
        # Outside the suggested window the CA counts an order that replaces a certificate like any renewal.
        exempt = current is not None and bool(replaces) and self.plan(current.facts, self.clock()).window_open
        resumed, reserved = desk.under_way.resume(names, force=force)
        with (
            desk.budget.spend(
                names,
                exempt=exempt,
                renewal=desk.renews(current),
                insisting=insisting,
                reserved=reserved,
            ) as spending,
            desk.under_way.kept(names, resumed),
        ):
            _tell(names, "validate", f"asking {desk.choice.title} (HTTP-01)")
            order = resumed or desk.under_way.place(names, replaces)
            spending.placed(replaces=order.replaces)
            with present(order.answers, desk.solvers):
                order.validate()
            spending.validated()
            _tell(names, "validate", "ownership confirmed by the CA")

            key = desk.under_way.key(order)
            certificate = Certificate.from_pem(order.finalize(key.sign_request(names)), key)
            certificate.check(names, self.clock(), private=desk.choice.kind == "private")
        _tell(
            names, "finalize", f"certificate received from {certificate.issuer}, serial {certificate.serial}"
        )
        return certificate

    def _is_due(self, current: Stored, standing: Sequence[Stored | None]) -> bool:
        # A name that was removed is not to come back with the next renewal of the others.
        named = standing[0].facts.names if standing[0] else ()
        if any(self.volume.links.leads_to(name) is None for name in named):
            return True
        # An order that somebody insisted on and a crash interrupted is still wanted.
        names = current.facts.names
        return self.plan(current.facts, self.clock()).due or any(
            desk.under_way.find(names) for desk in self.desks
        )

    def _done(self, state: Literal["issued", "kept"], stored: Stored, lease: Lease) -> Outcome:
        facts = stored.facts
        if self.traefik.serve(stored):
            _tell(facts.names, "installed", f"in service: {stored.directory}")
        now = self.clock()
        next_look = self.plan(facts, now).next_look
        if state == "issued":
            next_look = after_issuance(facts.life, next_look, now)
        if self.attempts.succeeded(facts, lease, next_look) and state == "issued":
            self.attempts.tidy(partial(self._forget, stored))
        return Outcome(state, facts, next_look)


def _tell(names: tuple[str, ...], event: str, text: str) -> None:
    logger.info("%s", text, extra={"domain": names[0], "event": event})


def _for_all(names: tuple[str, ...], standing: Sequence[Stored | None]) -> Stored | None:
    """
    Return the certificate that serves all of *names*, as if it were for no others; None if there is none.
    """
    # A name that joined the set, or lost its files, makes the certificate incomplete.
    first = standing[0]
    if first is None or not set(names) <= set(first.facts.names):
        return None
    if not all(other and other.directory == first.directory for other in standing):
        return None
    return replace(first, facts=replace(first.facts, names=names))
