"""
Builds the house from the settings: every room once, each with what it needs and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from random import Random, SystemRandom

from redis import Redis

from certworker.acme.authority import Authority
from certworker.acme.binding import ExternalAccount
from certworker.acme.renewal_info import Suggestion
from certworker.allowance import budget_of
from certworker.challenges.responder import Responder
from certworker.challenges.solver import Solver
from certworker.challenges.webroot import Webroot
from certworker.checks.eligibility import check_eligibility
from certworker.issuance import Issuer
from certworker.ledger.agenda import Agenda
from certworker.ledger.budget import Budget
from certworker.ledger.lanes import Lanes
from certworker.ledger.lock import NameLocks
from certworker.ledger.record import Records
from certworker.ledger.tokens import ChallengeTokens
from certworker.overview import standings
from certworker.removal import Removal
from certworker.reports.metrics import Metrics
from certworker.rounds import Rounds
from certworker.schedule import Schedule
from certworker.serving.generation import Facts
from certworker.serving.traefik import Traefik
from certworker.serving.volume import Volume
from certworker.settings import Settings, contact_problem


@dataclass(frozen=True)
class House:
    """
    The rooms, put together.
    """

    settings: Settings
    connection: Redis
    authority: Authority
    volume: Volume
    traefik: Traefik
    responder: Responder
    webroot: Webroot | None
    locks: NameLocks
    tokens: ChallengeTokens
    records: Records
    agenda: Agenda
    lanes: Lanes
    budget: Budget
    issuer: Issuer
    rounds: Rounds
    removal: Removal
    metrics: Metrics
    clock: Callable[[], datetime]
    random: Random


def build(
    settings: Settings,
    connection: Redis,
    *,
    directory_url: str,
    request: Callable[[tuple[str, ...]], object],
    wake: Callable[[datetime], None],
    waiting: Callable[[], int],
    lease_seconds: float = 90,
) -> House:
    """
    The house for *settings*.

    Args:
        directory_url: The CA's directory; the embedded one has its port only when it runs.
        request: Puts names on the queue.
        wake: Sees that a look takes place at a moment.
        waiting: How many jobs are on the queue.
        lease_seconds: How long a worker that died keeps its names.
    """
    clock, random = now_in_utc, SystemRandom()
    volume = Volume(settings.certificates_dir)
    traefik = Traefik(settings.config_dir)
    authority = authority_of(settings, directory_url)
    records, agenda, tokens = Records(connection), Agenda(connection, wake), ChallengeTokens(connection)
    lanes = Lanes(connection)
    locks = NameLocks(connection, lease_seconds, highest_token=volume.highest_token)
    responder = _responder(tokens, authority)
    webroot = Webroot(settings.webroot, lambda: authority.thumbprint) if settings.webroot else None
    solvers: list[Solver] = [responder, webroot] if webroot else [responder]
    budget = budget_of(settings, settings.authority, connection, volume)
    schedule = Schedule(partial(_advice, authority), random)
    issuer = Issuer(
        choice=settings.authority,
        authority=authority,
        checks=[lambda _names: check_eligibility(settings)],
        solvers=solvers,
        plan=schedule.plan,
        volume=volume,
        traefik=traefik,
        locks=locks,
        records=records,
        agenda=agenda,
        budget=budget,
        key_type=settings.key_type,
        clock=clock,
        random=random,
    )
    return House(
        settings=settings,
        connection=connection,
        authority=authority,
        volume=volume,
        traefik=traefik,
        responder=responder,
        webroot=webroot,
        locks=locks,
        tokens=tokens,
        records=records,
        agenda=agenda,
        lanes=lanes,
        budget=budget,
        issuer=issuer,
        removal=Removal(volume, traefik, locks, records, agenda, request),
        rounds=Rounds(volume, traefik, records, agenda, lanes, schedule.plan, clock, random),
        metrics=_metrics(agenda, records, volume, waiting),
        clock=clock,
        random=random,
    )


def _responder(tokens: ChallengeTokens, authority: Authority) -> Responder:
    return Responder(
        remember=partial(tokens.remember, authority=authority.label),
        forget=tokens.forget,
        authority_of=tokens.authority_of,
        thumbprints={authority.label: lambda: authority.thumbprint}.get,
    )


def _advice(authority: Authority, facts: Facts) -> Suggestion | None:
    # Another CA knows nothing of it.
    return (
        authority.suggestion(facts.renewal_id, facts.names[0]) if facts.authority == authority.label else None
    )


def _metrics(agenda: Agenda, records: Records, volume: Volume, waiting: Callable[[], int]) -> Metrics:
    metrics = Metrics()

    def certificates() -> Iterator[tuple[str, float | None]]:
        now = now_in_utc()
        for each in standings(agenda, records, volume, now):
            yield each.state, each.share_left(now)

    metrics.watch(queue_jobs=waiting, certificates=certificates)
    return metrics


def authority_of(settings: Settings, directory_url: str) -> Authority:
    """
    The CA of *settings*, whose directory is at *directory_url*; nothing is asked of it yet.
    """
    acceptable = settings.email and contact_problem(settings.email) is None
    return Authority(
        settings.authority.label,
        settings.authority.title,
        directory_url,
        state_directory=settings.state_dir,
        contact=settings.email if acceptable else None,
        ca_bundle=settings.ca_bundle,
        profile=settings.profile,
        preferred_chain=settings.preferred_chain,
        external_account=_external_account(settings),
        connections=settings.concurrency,
        clock=now_in_utc,
    )


def _external_account(settings: Settings) -> ExternalAccount | None:
    if settings.eab_kid is None or settings.eab_hmac_key is None:
        return None
    return ExternalAccount(settings.eab_kid, settings.eab_hmac_key.get_secret_value())


def now_in_utc() -> datetime:
    """
    The clock of production.
    """
    return datetime.now(UTC)
