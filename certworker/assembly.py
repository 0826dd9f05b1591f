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

from certworker.acme.renewal_info import Suggestion
from certworker.attempts import Attempts
from certworker.challenges.responder import Responder
from certworker.checks.preflight import Preflight
from certworker.checks.settling import Settling
from certworker.desks.desk import Desk
from certworker.desks.opening import Opening
from certworker.errors import CertworkerError
from certworker.issuance import Issuer
from certworker.ledger.agenda import Agenda
from certworker.ledger.daily import Daily
from certworker.ledger.doubts import Doubts
from certworker.ledger.events import Events
from certworker.ledger.faults import address_of
from certworker.ledger.lanes import Lanes
from certworker.ledger.lock import LEASE_SECONDS, NameLocks
from certworker.ledger.record import Records
from certworker.ledger.story import Stories
from certworker.ledger.tokens import ChallengeTokens
from certworker.names import domain_name, requested_names
from certworker.overdue import Overdue
from certworker.overview import standings
from certworker.postoffice import PostOffice
from certworker.questions import preflight_of
from certworker.removal import Removal
from certworker.renewal import Life
from certworker.repair import Repair
from certworker.reports.metrics import Metrics
from certworker.results import Results
from certworker.rounds import Rounds
from certworker.schedule import Schedule
from certworker.serving.generation import Facts
from certworker.serving.traefik import Traefik
from certworker.serving.volume import Volume
from certworker.settings import AuthorityChoice, Settings


@dataclass(frozen=True)
class House:
    """
    The rooms, put together.
    """

    settings: Settings
    connection: Redis
    desks: tuple[Desk, ...]
    volume: Volume
    traefik: Traefik
    responder: Responder
    locks: NameLocks
    tokens: ChallengeTokens
    records: Records
    agenda: Agenda
    lanes: Lanes
    preflight: Preflight
    issuer: Issuer
    rounds: Rounds
    repair: Repair
    removal: Removal
    overdue: Overdue
    metrics: Metrics
    stories: Stories
    results: Results
    post_office: PostOffice
    clock: Callable[[], datetime]
    random: Random


def build(
    settings: Settings,
    connection: Redis,
    *,
    directory_of: Callable[[AuthorityChoice], str],
    request: Callable[[tuple[str, ...]], object],
    wake: Callable[[datetime], None],
    waiting: Callable[[], int],
    lease_seconds: float = LEASE_SECONDS,
    settling: Settling | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> House:
    """
    The house for *settings*.

    Args:
        directory_of: Where the directory of a CA is; the embedded one has its port only when it runs.
        request: Puts names on the queue.
        wake: Sees that a look takes place at a moment.
        waiting: How many jobs are on the queue.
        lease_seconds: How long a worker that died keeps its names.
        settling: The first moments of a worker; None: what leads to it is there.
        clock: The time; a year may be over in a minute.
    """
    random, volume, traefik = SystemRandom(), _volume(settings), Traefik(settings.config_dir)
    records, tokens = Records(connection), ChallengeTokens(connection, clock)
    agenda, lanes, stories = Agenda(connection, wake), Lanes(connection), Stories(connection)
    locks = NameLocks(connection, lease_seconds, highest_token=volume.highest_token)
    desks = Opening(settings, connection, volume, tokens, directory_of, clock).desks()
    schedule = Schedule(partial(_advice, desks), random)
    preflight = _preflight(settings, desks, connection, clock, settling or Settling.over())
    issuer = Issuer(
        desks=desks,
        checks=preflight,
        plan=schedule.plan,
        volume=volume,
        traefik=traefik,
        locks=locks,
        attempts=Attempts(records, agenda, clock, random, address_of(connection), partial(_lives, volume)),
        clock=clock,
    )
    removal = Removal(volume, traefik, locks, records, agenda, request, partial(_forget_orders, desks))
    return House(
        settings=settings,
        connection=connection,
        desks=desks,
        volume=volume,
        traefik=traefik,
        responder=_responder(tokens, desks),
        locks=locks,
        tokens=tokens,
        records=records,
        agenda=agenda,
        lanes=lanes,
        preflight=preflight,
        issuer=issuer,
        overdue=Overdue(lambda: standings(agenda, records, volume, clock()), Daily(connection).first, clock),
        removal=removal,
        rounds=Rounds(
            *(volume, traefik, records, agenda, lanes, schedule.plan, removal.remove),
            check_request=partial(requested_names, None, private=settings.authority.private_names),
            clock=clock,
            random=random,
        ),
        repair=Repair(volume, traefik, agenda, lanes, locks.is_held, clock),
        metrics=_metrics(agenda, records, volume, waiting),
        stories=stories,
        results=Results(Events(connection), records, stories, volume, clock),
        post_office=PostOffice.of(settings, connection, partial(life_in_service, volume)),
        clock=clock,
        random=random,
    )


def _volume(settings: Settings) -> Volume:
    def is_renewable(name: str) -> bool:
        try:
            domain_name(name, private=settings.authority.private_names)
        except CertworkerError:
            return False
        return True

    return Volume(settings.certificates_dir, renewable=is_renewable)


def _preflight(
    settings: Settings,
    desks: Sequence[Desk],
    connection: Redis,
    clock: Callable[[], datetime],
    settling: Settling,
) -> Preflight:
    authorities = [desk.authority for desk in desks]
    may_ask = Doubts(connection).may_ask
    return preflight_of(
        settings, authorities, desks[0].solvers, may_ask=may_ask, clock=clock, settling=settling
    )


def _responder(tokens: ChallengeTokens, desks: Iterable[Desk]) -> Responder:
    """
    The one that answers at the door: for whichever CA asks.
    """
    every = {each.choice.label: each for desk in desks for each in (desk, desk.staging) if each}

    def thumbprints(label: str) -> Callable[[], str] | None:
        desk = every.get(label)
        return (lambda: desk.authority.thumbprint) if desk else None

    return Responder(
        remember=tokens.remember,
        forget=tokens.forget,
        authority_of=tokens.authority_of,
        thumbprints=thumbprints,
    )


def life_in_service(volume: Volume, given: str) -> Life | None:
    """
    Return the life of the certificate in service for *given*, a name as a person wrote it; None without one.

    Raises:
        CertworkerError: The volume cannot be read.
    """
    # A name that today's CA does not certify may still have a certificate of an earlier one.
    try:
        name = domain_name(given, private=True)
    except CertworkerError:
        return None
    facts = volume.facts(name)
    return facts.life if facts else None


def _lives(volume: Volume, names: Iterable[str]) -> Iterator[Life]:
    return (facts.life for facts in map(volume.facts, names) if facts)


def _advice(desks: Iterable[Desk], facts: Facts) -> Suggestion | None:
    # Another CA knows nothing of it.
    own = next((desk for desk in desks if desk.choice.label == facts.authority), None)
    return own.authority.suggestion(facts.renewal_id, facts.names[0], facts.life) if own else None


def _forget_orders(desks: Iterable[Desk], names: tuple[str, ...]) -> None:
    for desk in desks:
        desk.under_way.forget(names)


def _metrics(agenda: Agenda, records: Records, volume: Volume, waiting: Callable[[], int]) -> Metrics:
    metrics = Metrics()

    def certificates() -> Iterator[tuple[str, float | None]]:
        now = now_in_utc()
        for each in standings(agenda, records, volume, now):
            yield each.state, each.share_left(now)

    metrics.watch(queue_jobs=waiting, certificates=certificates)
    return metrics


def now_in_utc() -> datetime:
    """
    The clock of production.
    """
    return datetime.now(UTC)
