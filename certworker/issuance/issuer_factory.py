"""
Builds the issuers from the settings. No request is sent to a CA.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from redis import Redis

from certworker.acme.client import AcmeClient
from certworker.acme.order_keys import OrderKeys
from certworker.acme.registration import ExternalAccountBinding
from certworker.acme.request_kinds import Kind, ObserveRequest, unobserved
from certworker.challenges.challenge import DNS01, HTTP01, PresentInDns
from certworker.challenges.responder import Responder
from certworker.challenges.tokens import ChallengeTokens
from certworker.challenges.webroot import Webroot
from certworker.issuance.issuer import Issuer
from certworker.issuance.pending_orders import PendingOrders, PendingOrderStore
from certworker.job_slot import MAX_RELEASED
from certworker.preflight.machine import check_eligibility
from certworker.ratelimits.budget import Budget
from certworker.settings import CaChoice, Settings, contact_problem
from certworker.storage.certificate_store import CertificateStore
from certworker.validity import now_in_utc


@dataclass(frozen=True)
class IssuerFactory:
    """
    Builds issuers from the components that they share.
    """

    settings: Settings
    connection: Redis
    store: CertificateStore
    tokens: ChallengeTokens
    #: Publishes TXT records within its block.
    present_in_dns: PresentInDns
    #: Returns the URL of the directory of a CA.
    directory_of: Callable[[CaChoice], str]
    clock: Callable[[], datetime]
    #: Called after each request with the label of the CA and the arguments of :data:`ObserveRequest`.
    observe: Callable[[str, Kind, int, float], object]

    def build_issuers(self) -> tuple[Issuer, ...]:
        """
        Return an issuer for each CA in the settings, in the same order. Each has the issuer of its staging
        environment, if there is one.
        """
        return tuple(
            self._issuer(choice, self._issuer(choice.staging, None) if choice.staging else None)
            for choice in self.settings.authorities
        )

    def _issuer(self, choice: CaChoice, staging: Issuer | None) -> Issuer:
        observe = partial(self.observe, choice.label)
        client = acme_client_for(self.settings, choice, self.directory_of(choice), self.clock, observe)
        responder = Responder(
            remember=partial(self.tokens.remember, authority=choice.label),
            forget=self.tokens.forget,
            authority_of=self.tokens.authority_of,
            thumbprints={choice.label: lambda: client.thumbprint}.get,
        )
        files = self.settings.webroot
        keys = _keys_of(self.settings, choice)
        orders = PendingOrderStore(self.connection, choice.label, self.clock)
        return Issuer(
            ca=choice,
            client=client,
            check_eligible=partial(check_eligibility, self.settings, choice),
            budget=Budget.for_issuer(self.settings, choice, self.connection, self.store),
            responder=responder,
            webroot=Webroot(files, lambda: client.thumbprint) if files else None,
            present_in_dns=self.present_in_dns,
            await_fetches=self.tokens.fetches.wait,
            pending_orders=PendingOrders(client, orders, keys),
            staging=staging,
            clock=self.clock,
        )


def resume_orders(
    settings: Settings, connection: Redis, store: CertificateStore, names: tuple[str, ...]
) -> bool:
    """
    Allow orders for *names* again from each CA that has paused one of them. Return whether any CA had.

    The next request places a new order with such a CA. The pending orders with the other CAs remain.

    Raises:
        InvalidSettings: The file in CERTWORKER_LIMITS_FILE is invalid.
        VolumeReadOnly, VolumeFault: The key of a pending order cannot be removed.
        redis.RedisError: Redis failed.
    """
    was_paused = False
    for choice in settings.authorities:
        if Budget.for_issuer(settings, choice, connection, store).resume(names):
            was_paused = True
            if found := PendingOrderStore(connection, choice.label, now_in_utc).delete(names):
                _keys_of(settings, choice).forget(found.url)
    return was_paused


def acme_client_for(
    settings: Settings,
    choice: CaChoice,
    directory_url: str,
    clock: Callable[[], datetime],
    observe: ObserveRequest = unobserved,
) -> AcmeClient:
    """
    Return the ACME client for the CA *choice*, whose directory is at *directory_url*.

    Args:
        observe: Called after each request.
    """
    acceptable = settings.email and contact_problem(settings.email) is None
    return AcmeClient(
        choice.label,
        choice.title,
        directory_url,
        state_directory=settings.state_dir,
        contact=settings.email if acceptable else None,
        ca_bundle=settings.ca_bundle,
        profile=settings.profile,
        preferred_chain=settings.preferred_chain,
        external_account=_external_account(settings),
        challenge_type=lambda name: DNS01 if settings.dns01.uses_dns01(name) else HTTP01,
        connections=settings.concurrency + MAX_RELEASED,
        clock=clock,
        observe=observe,
    )


def _keys_of(settings: Settings, choice: CaChoice) -> OrderKeys:
    return OrderKeys(settings.state_dir / "orders" / choice.label, settings.key_type)


def _external_account(settings: Settings) -> ExternalAccountBinding | None:
    if settings.eab_kid is None or settings.eab_hmac_key is None:
        return None
    return ExternalAccountBinding(settings.eab_kid, settings.eab_hmac_key.get_secret_value())
