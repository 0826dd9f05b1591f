"""
The composition root builds each component once, and passes it the components that it uses.

No component receives the whole :class:`App`. :mod:`certworker.runtime` adds the loops and the servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from random import Random, SystemRandom

from redis import Redis

from certworker.acme.renewal_info import RenewalSuggestion
from certworker.challenges.responder import Responder
from certworker.challenges.tokens import ChallengeTokens
from certworker.dns01.solver import Dns01Solver
from certworker.dns01.solver_factory import build_solver
from certworker.domains import normalize, requested_names
from certworker.errors import CertworkerError
from certworker.issuance.attempts import Attempts
from certworker.issuance.coverage import Coverage
from certworker.issuance.forced_requests import ForcedRequests
from certworker.issuance.issuer import Issuer
from certworker.issuance.issuer_factory import IssuerFactory
from certworker.issuance.moved_names import MovedNames
from certworker.issuance.ownership import Ownership
from certworker.issuance.removal import Removal
from certworker.issuance.service import CertificateIssuance
from certworker.issuance.unpublished import Unpublished
from certworker.job_slot import current_slot
from certworker.notify.notifier import Notifier
from certworker.observability.events import EventPublisher, EventStream
from certworker.observability.history import History
from certworker.observability.metrics.gauges import IssuerBudget
from certworker.observability.metrics.names import Counted
from certworker.observability.metrics.registry import Metrics
from certworker.preflight.checkers import build_preflight, build_proofs, build_target_check
from certworker.preflight.runner import PreflightRunner, Settling
from certworker.ratelimits.budget import Budget
from certworker.redis.failures import address_of
from certworker.renewal.agenda import Agenda
from certworker.renewal.domain_status import ADOPTED, STATES, DomainStatus, list_status
from certworker.renewal.due import DueNames
from certworker.renewal.expiry_alerts import ExpiryAlerts
from certworker.renewal.policy import RenewalPolicy
from certworker.renewal.reconciler import Reconciler
from certworker.renewal.repair import Repair
from certworker.replication.publisher import open_store
from certworker.settings import CaChoice, Settings
from certworker.state.domain_records import DomainRecords
from certworker.state.locks import LEASE_SECONDS, DomainLocks
from certworker.state.once_per import DOUBT_TTL, DOUBTS, OncePer
from certworker.state.priority_queues import PriorityQueues
from certworker.state.sightings import Sightings
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import IMPORTED, CertificateMetadata
from certworker.traefik.config import TraefikConfig
from certworker.validity import Validity, now_in_utc
from certworker.worker.producer import queue_length, request_certificate
from certworker.worker.queue_stats import head_age, scheduler_lag


@dataclass(frozen=True)
class App:
    """
    The components of certworker, for the composition root and the tests.
    """

    settings: Settings
    connection: Redis
    issuers: tuple[Issuer, ...]
    certificates: CertificateStore
    traefik: TraefikConfig
    responder: Responder
    locks: DomainLocks
    tokens: ChallengeTokens
    dns01: Dns01Solver
    records: DomainRecords
    agenda: Agenda
    priority_queues: PriorityQueues
    preflight: PreflightRunner
    issuance: CertificateIssuance
    due_names: DueNames
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
    wake: Callable[[datetime], None],
    lease_seconds: float = LEASE_SECONDS,
    settling: Settling | None = None,
    clock: Callable[[], datetime] = now_in_utc,
) -> App:
    """
    Build the components for *settings*.

    Args:
        settings: The settings from the environment.
        connection: The connection to Redis.
        directory_of: Returns the URL of a CA's directory. The development CA has a port only after its start.
        wake: Schedules a check for due names at a given time.
        lease_seconds: How long the names of a killed worker stay locked.
        settling: The period after the start in which port 80 may be unreachable; None if it has ended.
        clock: Returns the current time in UTC; tests may pass another clock.
    """
    random, metrics = SystemRandom(), Metrics()
    traefik, store = _build_traefik(settings, metrics), _build_store(settings, connection)
    records, tokens = DomainRecords(connection), ChallengeTokens(connection, clock)
    agenda, queues, history = Agenda(connection, wake), PriorityQueues(connection), History(connection)
    locks = _build_locks(connection, lease_seconds, store, metrics)
    dns01 = build_solver(settings, connection, locks, clock)
    shared = (settings, connection, store, tokens, dns01.presenting, directory_of, clock)
    issuers = IssuerFactory(*shared, observe=metrics.acme_request).build_issuers()
    policy = RenewalPolicy(partial(_renewal_suggestion, issuers), random)
    preflight = _build_preflight(settings, issuers, dns01, connection, clock, settling, metrics.check)
    attempts = Attempts(records, agenda, clock, random, address_of(connection), partial(_validities, store))
    coverage = _build_coverage(store, traefik, records, issuers, policy, clock)
    plan, check = (store, traefik, records, agenda), _request_check(settings)
    moved = _build_moved_names(settings, connection, issuers, plan, attempts, clock)
    parts = (issuers, preflight, policy.decide, store, traefik, locks, attempts, coverage, moved)
    rules = _build_ownership(settings, records, store, attempts), ForcedRequests(connection, records, clock)
    unpublished = Unpublished(store, attempts, issuers, clock)
    issuance = CertificateIssuance(*parts, *rules, unpublished, slot=current_slot, clock=clock)
    request, forget_orders = partial(_request, connection), partial(_forget_orders, issuers)
    removal = Removal(store, traefik, locks, records, agenda, moved.sightings, request, forget_orders, clock)
    statuses = partial(_statuses, agenda, records, store, clock)
    _watch(metrics, settings, issuers, statuses, connection, agenda, clock)
    notifier = Notifier.of(settings, connection, partial(validity_in_service, store))
    return App(
        settings=settings,
        connection=connection,
        issuers=issuers,
        certificates=store,
        traefik=traefik,
        responder=_build_responder(tokens, issuers),
        locks=locks,
        tokens=tokens,
        dns01=dns01,
        records=records,
        agenda=agenda,
        priority_queues=queues,
        preflight=preflight,
        issuance=issuance,
        due_names=DueNames(*plan, queues, policy.decide, coverage.recheck, moved.among, check, clock, random),
        reconciler=Reconciler(*plan, removal.remove, coverage.next_check, clock, random),
        repair=Repair(store, traefik, agenda, queues, locks.is_held, clock),
        removal=removal,
        expiry_alerts=ExpiryAlerts.of(connection, agenda, records, store, notifier.remind, clock),
        metrics=metrics,
        history=history,
        events=EventPublisher(EventStream(connection), records, history, store, clock, settings.docs_url),
        notifier=notifier,
        clock=clock,
        random=random,
    )


def validity_in_service(certificates: CertificateStore, domain: str) -> Validity | None:
    """
    Return the validity of the certificate in service for *domain*, or None if there is none.

    Args:
        certificates: The certificates on the volume.
        domain: A name, not necessarily normalized. An invalid name has no certificate.

    Raises:
        CertworkerError: The volume cannot be read.
    """
    # An earlier CA may have issued a certificate for a name that the current CA rejects.
    try:
        name = normalize(domain, private=True, wildcards=True)
    except CertworkerError:
        return None
    metadata, _ = certificates.serving(name)
    return metadata.validity if metadata else None


def _build_traefik(settings: Settings, metrics: Metrics) -> TraefikConfig:
    return TraefikConfig(settings.config_dir, layout=settings.traefik_layout, observe=metrics.publication)


def _build_store(settings: Settings, connection: Redis) -> CertificateStore:
    def is_renewable(name: str) -> bool:
        try:
            normalize(name, private=settings.authority.private_names, wildcards=settings.dns01.is_set)
        except CertworkerError:
            return False
        return True

    return open_store(settings.certificates_dir, settings.replication.keys, connection, is_renewable)


def _build_locks(
    connection: Redis, lease_seconds: float, store: CertificateStore, metrics: Metrics
) -> DomainLocks:
    return DomainLocks(
        connection,
        lease_seconds,
        highest_token=store.links.highest_token,
        on_conflict=metrics.lock_conflict,
    )


def _build_preflight(
    settings: Settings,
    issuers: Sequence[Issuer],
    dns01: Dns01Solver,
    connection: Redis,
    clock: Callable[[], datetime],
    settling: Settling | None,
    observe: Callable[[str, str, float], object],
) -> PreflightRunner:
    return build_preflight(
        settings,
        [issuer.client for issuer in issuers],
        issuers[0].solvers,
        dns01.plan,
        may_order_anyway=OncePer(connection, DOUBTS, DOUBT_TTL).first,
        clock=clock,
        settling=settling or Settling.over(),
        observe=observe,
    )


def _build_coverage(
    store: CertificateStore,
    traefik: TraefikConfig,
    records: DomainRecords,
    issuers: Sequence[Issuer],
    policy: RenewalPolicy,
    clock: Callable[[], datetime],
) -> Coverage:
    def was_interrupted(names: tuple[str, ...]) -> bool:
        orders = (issuer.pending_orders.find(names) for issuer in issuers)
        return any(order is not None and order.reserved for order in orders)

    return Coverage(
        store,
        traefik,
        records,
        kinds=frozenset(issuer.ca.kind for issuer in issuers),
        decide=policy.decide,
        was_interrupted=was_interrupted,
        clock=clock,
        random=policy.random,
    )


def _build_moved_names(
    settings: Settings,
    connection: Redis,
    issuers: Sequence[Issuer],
    plan: tuple[CertificateStore, TraefikConfig, DomainRecords, Agenda],
    attempts: Attempts,
    clock: Callable[[], datetime],
) -> MovedNames:
    check_target = build_target_check(settings, issuers[0].client, issuers[0].solvers)
    return MovedNames(Sightings(connection), check_target, *plan, attempts, clock)


def _build_ownership(
    settings: Settings, records: DomainRecords, store: CertificateStore, attempts: Attempts
) -> Ownership:
    is_required = settings.customers.ownership != "off"
    return Ownership(is_required, records, store, attempts, build_proofs(settings).check)


def _request_check(settings: Settings) -> Callable[[tuple[str, ...]], object]:
    private, wildcards = settings.authority.private_names, settings.dns01.is_set
    return partial(requested_names, None, private=private, wildcards=wildcards)


def _build_responder(tokens: ChallengeTokens, issuers: Iterable[Issuer]) -> Responder:
    """
    Return the responder, with which the HTTP server responds to the challenges from all CAs.
    """
    by_label = {
        issuer.ca.label: issuer for each in issuers for issuer in (each, each.staging) if issuer is not None
    }

    def thumbprints(label: str) -> Callable[[], str] | None:
        issuer = by_label.get(label)
        return (lambda: issuer.client.thumbprint) if issuer else None

    return Responder(
        remember=tokens.remember,
        forget=tokens.forget,
        authority_of=tokens.authority_of,
        thumbprints=thumbprints,
    )


def _watch(
    metrics: Metrics,
    settings: Settings,
    issuers: Sequence[Issuer],
    statuses: Callable[[], Iterable[DomainStatus]],
    connection: Redis,
    agenda: Agenda,
    clock: Callable[[], datetime],
) -> None:
    """
    Pass *metrics* the functions that the scrapes call, and the labels of the CAs.
    """

    def certificates() -> Iterator[Counted]:
        for status in statuses():
            if status.state == "moved":
                # No renewal follows, so the times of its certificate must not raise an alert.
                yield Counted(status.state, None)
                continue
            yield Counted(
                status.state,
                status.watched_share_left(clock()),
                status.not_after,
                status.name,
                status.authority,
                status.code,
                status.not_before,
                status.renewal,
            )

    labels = [issuer.ca.label for issuer in issuers]
    metrics.watch_names(
        certificates, STATES, issuers=(*labels, ADOPTED, IMPORTED), per_name=settings.metrics_per_name
    )
    metrics.watch_queue(
        jobs=partial(queue_length, connection),
        head_age=lambda: head_age(connection, clock()),
        scheduler_lag=lambda: scheduler_lag(connection, agenda, clock()),
    )
    metrics.watch_budgets(partial(_budgets, issuers))
    for label in labels:
        metrics.expect_requests(label)


def _budgets(issuers: Sequence[Issuer]) -> list[IssuerBudget]:
    return [_budget(issuer.ca.label, issuer.budget) for issuer in issuers]


def _budget(issuer: str, budget: Budget) -> IssuerBudget:
    # A series for each registered domain would be a series for each customer. The domain with the smallest
    # share left is enough.
    limits: dict[str, tuple[int, int]] = {}
    for each in sorted(budget.remaining(), key=lambda each: each.left / each.of):
        limits.setdefault(each.kind, (each.left, each.of))
    return IssuerBudget(issuer, limits, budget.next_order().timestamp())


def _statuses(
    agenda: Agenda, records: DomainRecords, certificates: CertificateStore, clock: Callable[[], datetime]
) -> Iterable[DomainStatus]:
    return list_status(agenda, records, certificates, clock())


def _validities(certificates: CertificateStore, names: Iterable[str]) -> Iterator[Validity]:
    return (metadata.validity for metadata, _ in map(certificates.serving, names) if metadata)


def _renewal_suggestion(issuers: Iterable[Issuer], metadata: CertificateMetadata) -> RenewalSuggestion | None:
    # Only the CA that issued the certificate can suggest when to renew it.
    for issuer in issuers:
        if issuer.ca.label == metadata.authority:
            names, validity = metadata.names, metadata.validity
            return issuer.client.renewal_suggestion(metadata.renewal_id, names, validity)
    return None


def _forget_orders(issuers: Iterable[Issuer], names: tuple[str, ...]) -> None:
    for issuer in issuers:
        issuer.pending_orders.forget(names)


def _request(connection: Redis, names: tuple[str, ...]) -> None:
    request_certificate(names, connection=connection)
