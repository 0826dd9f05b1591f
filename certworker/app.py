"""
Builds the house from the settings: every room once, each with what it needs and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from random import Random, SystemRandom

from redis import Redis

from certworker.acme.renewal_info import RenewalSuggestion
from certworker.challenges.responder import Responder
from certworker.challenges.tokens import ChallengeTokens
from certworker.domains import normalize, requested_names
from certworker.errors import CertworkerError
from certworker.issuance.attempts import Attempts
from certworker.issuance.issuer import Issuer
from certworker.issuance.issuer_factory import IssuerFactory
from certworker.issuance.removal import Removal
from certworker.issuance.service import CertificateIssuance
from certworker.job_slot import JobSlot
from certworker.notify.notifier import Notifier
from certworker.observability.event_publisher import EventPublisher
from certworker.observability.metrics import Counted, Metrics
from certworker.preflight.checkers import build_preflight
from certworker.preflight.runner import PreflightRunner
from certworker.preflight.settling import Settling
from certworker.redis.failures import address_of
from certworker.renewal.agenda import Agenda
from certworker.renewal.domain_status import STATES, list_status
from certworker.renewal.expiry_alerts import ExpiryAlerts
from certworker.renewal.policy import RenewalPolicy
from certworker.renewal.reconciler import Reconciler
from certworker.renewal.repair import Repair
from certworker.settings import CaChoice, Settings
from certworker.state.domain_records import DomainRecords
from certworker.state.doubts import OncePerDay
from certworker.state.events import EventStream
from certworker.state.history import History
from certworker.state.locks import LEASE_SECONDS, DomainLocks
from certworker.state.once_a_day import Daily
from certworker.state.priority_queues import PriorityQueues
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import CertificateMetadata
from certworker.traefik.config import TraefikConfig
from certworker.validity import Validity


@dataclass(frozen=True)
class App:
    """
    The rooms, put together.
    """

    settings: Settings
    connection: Redis
    issuers: tuple[Issuer, ...]
    certificates: CertificateStore
    traefik: TraefikConfig
    responder: Responder
    locks: DomainLocks
    tokens: ChallengeTokens
    records: DomainRecords
    agenda: Agenda
    priority_queues: PriorityQueues
    preflight: PreflightRunner
    issuance: CertificateIssuance
    reconciler: Reconciler
    repair: Repair
    removal: Removal
    expiry_alerts: ExpiryAlerts
    metrics: Metrics
    history: History
    events: EventPublisher
    notifier: Notifier
    clock: Callable[[], datetime]
    random: Random


def build_app(
    settings: Settings,
    connection: Redis,
    *,
    directory_of: Callable[[CaChoice], str],
    request: Callable[[tuple[str, ...]], object],
    wake: Callable[[datetime], None],
    waiting: Callable[[], int],
    slot: Callable[[], JobSlot],
    lease_seconds: float = LEASE_SECONDS,
    settling: Settling | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> App:
    """
    The house for *settings*.

    Args:
        directory_of: Where the directory of a CA is; the embedded one has its port only when it runs.
        request: Puts names on the queue.
        wake: Sees that a look takes place at a moment.
        waiting: How many jobs are on the queue.
        slot: Returns the slot of the job that runs.
        lease_seconds: How long a worker that died keeps its names.
        settling: The first moments of a worker; None: what leads to it is there.
        clock: The time; a year may be over in a minute.
    """
    random, volume, traefik = SystemRandom(), _volume(settings), TraefikConfig(settings.config_dir)
    records, tokens = DomainRecords(connection), ChallengeTokens(connection, clock)
    agenda, queues, history = Agenda(connection, wake), PriorityQueues(connection), History(connection)
    locks = DomainLocks(connection, lease_seconds, highest_token=volume.highest_token)
    issuers = IssuerFactory(settings, connection, volume, tokens, directory_of, clock).build_issuers()
    schedule = RenewalPolicy(partial(_suggested_renewal, issuers), random)
    preflight = _build_preflight(settings, issuers, connection, clock, settling or Settling.over())
    issuance = CertificateIssuance(
        issuers=issuers,
        preflight=preflight,
        decide=schedule.decide,
        certificates=volume,
        traefik=traefik,
        locks=locks,
        attempts=Attempts(records, agenda, clock, random, address_of(connection), partial(_lives, volume)),
        slot=slot,
        clock=clock,
    )
    removal = Removal(volume, traefik, locks, records, agenda, request, partial(_forget_orders, issuers))
    check_request = partial(requested_names, None, private=settings.authority.private_names)
    reconciler = Reconciler(
        *(volume, traefik, records, agenda, queues, schedule.decide, removal.remove),
        check_request=check_request,
        clock=clock,
        random=random,
    )
    return App(
        *(settings, connection, issuers, volume, traefik),
        responder=_build_responder(tokens, issuers),
        locks=locks,
        tokens=tokens,
        records=records,
        agenda=agenda,
        priority_queues=queues,
        preflight=preflight,
        issuance=issuance,
        expiry_alerts=_build_expiry_alerts(agenda, records, volume, connection, clock),
        removal=removal,
        reconciler=reconciler,
        repair=Repair(volume, traefik, agenda, queues, locks.is_held, clock),
        metrics=_build_metrics(agenda, records, volume, waiting),
        history=history,
        events=EventPublisher(EventStream(connection), records, history, volume, clock, settings.docs_url),
        notifier=Notifier.of(settings, connection, partial(life_in_service, volume)),
        clock=clock,
        random=random,
    )


def _volume(settings: Settings) -> CertificateStore:
    def is_renewable(name: str) -> bool:
        try:
            normalize(name, private=settings.authority.private_names)
        except CertworkerError:
            return False
        return True

    return CertificateStore(settings.certificates_dir, renewable=is_renewable)


def _build_preflight(
    settings: Settings,
    issuers: Sequence[Issuer],
    connection: Redis,
    clock: Callable[[], datetime],
    settling: Settling,
) -> PreflightRunner:
    authorities = [issuer.client for issuer in issuers]
    may_ask = OncePerDay(connection).may_ask
    return build_preflight(
        settings, authorities, issuers[0].solvers, may_ask=may_ask, clock=clock, settling=settling
    )


def _build_responder(tokens: ChallengeTokens, issuers: Iterable[Issuer]) -> Responder:
    """
    The one that answers at the door: for whichever CA asks.
    """
    every = {each.ca.label: each for issuer in issuers for each in (issuer, issuer.staging) if each}

    def thumbprints(label: str) -> Callable[[], str] | None:
        issuer = every.get(label)
        return (lambda: issuer.client.thumbprint) if issuer else None

    return Responder(
        remember=tokens.remember,
        forget=tokens.forget,
        authority_of=tokens.authority_of,
        thumbprints=thumbprints,
    )


def life_in_service(volume: CertificateStore, given: str) -> Validity | None:
    """
    Return the life of the certificate in service for *given*, a name as a person wrote it; None without one.

    Raises:
        CertworkerError: The volume cannot be read.
    """
    # A name that today's CA does not certify may still have a certificate of an earlier one.
    try:
        name = normalize(given, private=True)
    except CertworkerError:
        return None
    facts = volume.metadata(name)
    return facts.validity if facts else None


def _build_expiry_alerts(
    agenda: Agenda,
    records: DomainRecords,
    volume: CertificateStore,
    connection: Redis,
    clock: Callable[[], datetime],
) -> ExpiryAlerts:
    return ExpiryAlerts(lambda: list_status(agenda, records, volume, clock()), Daily(connection).first, clock)


def _lives(volume: CertificateStore, names: Iterable[str]) -> Iterator[Validity]:
    return (facts.validity for facts in map(volume.metadata, names) if facts)


def _suggested_renewal(issuers: Iterable[Issuer], facts: CertificateMetadata) -> RenewalSuggestion | None:
    # Another CA knows nothing of it.
    own = next((issuer for issuer in issuers if issuer.ca.label == facts.authority), None)
    return own.client.renewal_suggestion(facts.renewal_id, facts.names[0], facts.validity) if own else None


def _forget_orders(issuers: Iterable[Issuer], names: tuple[str, ...]) -> None:
    for issuer in issuers:
        issuer.pending_orders.forget(names)


def _build_metrics(
    agenda: Agenda, records: DomainRecords, volume: CertificateStore, waiting: Callable[[], int]
) -> Metrics:
    metrics = Metrics()

    def certificates() -> Iterator[Counted]:
        now = now_in_utc()
        for each in list_status(agenda, records, volume, now):
            yield Counted(each.state, each.share_left(now), each.not_after)

    metrics.watch(queue_jobs=waiting, certificates=certificates, states=STATES)
    return metrics


def now_in_utc() -> datetime:
    """
    The clock of production.
    """
    return datetime.now(UTC)
