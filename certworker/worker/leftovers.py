"""
Removes what killed workers left behind: tokens, orders, and unfinished files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from certworker.challenges.tokens import LIFETIME, ChallengeTokens
from certworker.issuance.issuer import Issuer
from certworker.state.locks import DomainLocks
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.shared_directory import LEAST_AGE_SECONDS
from certworker.traefik.config import TraefikConfig


@dataclass(frozen=True)
class Leftovers:
    """
    The components in which a killed worker may leave something.
    """

    issuers: Sequence[Issuer]
    tokens: ChallengeTokens
    locks: DomainLocks
    certificates: CertificateStore
    traefik: TraefikConfig
    clock: Callable[[], datetime]

    def removals(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """
        Yield the duties that remove leftovers, each with its name in the log.
        """
        yield "the removal of old tokens", self._remove_tokens
        for issuer in self.issuers:
            label = issuer.ca.label
            yield f"the removal of old orders at {label}", issuer.pending_orders.remove_stale
            yield f"the removal of unfinished files of {label}", issuer.client.remove_leftovers
            if issuer.webroot:
                remove = partial(issuer.webroot.remove_leftovers, self.tokens.all)
                yield f"the removal of old answers to {label}", remove
        yield "the removal of unfinished certificates", self.certificates.remove_leftovers
        yield "the removal of unfinished files of Traefik", self.traefik.remove_leftovers

    def _remove_tokens(self) -> None:
        # A check of port 80 has a token for some seconds without the lock of its name.
        before = self.clock() - timedelta(seconds=LEAST_AGE_SECONDS)
        old = {
            token: stored.name
            for token, stored in self.tokens.all().items()
            if stored.expires - LIFETIME <= before
        }
        locked = {name for name in set(old.values()) if self.locks.is_held(name)}
        self.tokens.forget(*(token for token, name in old.items() if name not in locked))
