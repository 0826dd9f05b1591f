"""
Does the answer to a challenge arrive? A nonce of our own, fetched over each address of the name.

::

    worker ──► Appwrite ──► Traefik ──► port 80 of each public address
      the stations of our side are asked only if the whole way does not work: then the first one that
      does not have the answer is where it breaks
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address

from certworker.challenges.challenge import CHALLENGE_PATH, Http01Challenge
from certworker.domains.address import Address, is_loopback_name, is_public
from certworker.errors import CertworkerError
from certworker.errors.dns import Ipv6Unreachable, Ipv6Untested, MixedAddresses
from certworker.errors.http import BehindCloudflare, HttpHairpin, HttpSluggish
from certworker.preflight.dns.records import DnsRecords
from certworker.preflight.dns.resolver import resolve_system
from certworker.preflight.port80.diagnosis import APPWRITE, TRAEFIK, HopResult, diagnosis, is_certain
from certworker.preflight.port80.fingerprint import CLOUDFLARE, intermediary
from certworker.preflight.port80.http_get import FetchError
from certworker.preflight.port80.probe import Fetch, Probe
from certworker.preflight.result import CheckContext, CheckResult
from certworker.preflight.target import points_elsewhere
from certworker.settings import Settings

#: Of each family; a name with more is not ours to knock through.
MAX_ADDRESSES = 4

#: Half of a CA's patience; whoever is slower today may be too slow tomorrow.
SLOW_SECONDS = 5.0

#: Where a public CA asks.
HTTP_PORT = 80

EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 (nothing is bound here)

#: Whoever has not answered by then is late enough to ask our own side meanwhile.
QUIET_SECONDS = 2.0

#: Our own side answers at once, or not at all.
INTERNAL_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class InternalHop:
    """
    A station on our side of the way.
    """

    title: str
    host: str
    port: int


@dataclass(frozen=True)
class Port80Check:
    """
    The check of port 80.
    """

    settings: Settings
    #: Lets an answer stand for a name while it is looked for.
    presented: Callable[[str], AbstractContextManager[Http01Challenge]]
    #: From the inside out.
    hops: Sequence[InternalHop]
    #: The public addresses of this server; none: unknown.
    ours: Sequence[str] = ()

    def __call__(self, question: CheckContext) -> CheckResult:
        """
        Whether a CA would find the answer for the name of *question*.

        Raises:
            CertworkerError: The answer cannot be laid where it would be looked for.
        """
        addresses = _addresses(self.settings, question.name, question.records)
        if not addresses:
            return CheckResult.skipped("port 80 not asked: no address")
        with self.presented(question.name) as answer, ThreadPoolExecutor(len(addresses)) as visitors:
            visits = [visitors.submit(self._fetch, answer, address) for address in addresses]
            wait(visits, QUIET_SECONDS)
            stations = []
            if any(not visit.done() or _is_bad(visit.result(), answer) for visit in visits):
                with ThreadPoolExecutor(len(self.hops) or 1) as insiders:
                    asked = insiders.map(partial(self._hop_result, answer), self.hops)
                    stations = [station for station in asked if station]
            journeys = [visit.result() for visit in visits]
        port = probe_for(self.settings, question.name).port
        return _verdict(answer, journeys, stations, self.ours, port)

    def _fetch(self, answer: Http01Challenge, address: Address) -> Fetch:
        probe = probe_for(self.settings, answer.name)
        return probe.fetch(answer.name, CHALLENGE_PATH + answer.token, address)

    def _hop_result(self, answer: Http01Challenge, door: InternalHop) -> HopResult | None:
        probe = replace(probe_for(self.settings, answer.name), patience_seconds=INTERNAL_TIMEOUT_SECONDS)
        for address in resolve_system(door.host):
            journey = probe.fetch_inside(answer.name, CHALLENGE_PATH + answer.token, address, door.port)
            return HopResult(door.title, journey, journey.matches(answer.key_authorization))
        return None


def internal_hops(settings: Settings) -> list[InternalHop]:
    """
    The stations on the side of a worker with *settings*.
    """
    doors = [InternalHop(APPWRITE, "appwrite", 80), InternalHop(TRAEFIK, "traefik", 80)]
    if at := settings.http_address:
        host = "localhost" if at.host in EVERY_ADDRESS else at.host
        doors.insert(0, InternalHop("the worker", host, at.port))
    return doors


def probe_for(settings: Settings, name: str) -> Probe:
    """
    What asks for *name* as the CA of *settings* would.
    """
    embedded = settings.authority.directory_url is None
    port = settings.http01_port
    if embedded and settings.http_address and is_loopback_name(name):
        # The embedded CA knows that nobody forwards port 80 of the loopback interface to us.
        port = settings.http_address.port
    return Probe(port, public_only=not settings.authority.private_names, resolve=resolve_system)


def answers(answer: Http01Challenge, settings: Settings, look_up: Callable[[str], DnsRecords]) -> bool:
    """
    Whether any address of its name gives *answer*: is the way open yet? Nothing is said of what is wrong.

    Args:
        look_up: What DNS says of a name, as the check of port 80 hears it.
    """
    probe = probe_for(settings, answer.name)
    return any(
        probe.fetch(answer.name, CHALLENGE_PATH + answer.token, address).matches(answer.key_authorization)
        for address in _addresses(settings, answer.name, look_up(answer.name))
    )


def _addresses(settings: Settings, name: str, records: DnsRecords) -> list[Address]:
    found = [ip_address(address) for address in records.addresses]
    if not found and settings.authority.private_names and is_loopback_name(name):
        found = list(resolve_system(name))
    chosen: list[Address] = []
    for version in (6, 4):  # as a CA tries them
        chosen += [address for address in found if address.version == version][:MAX_ADDRESSES]
    return chosen


def _is_bad(journey: Fetch, answer: Http01Challenge) -> bool:
    return journey.error is not FetchError.UNREACHABLE and not journey.matches(answer.key_authorization)


def _verdict(
    answer: Http01Challenge,
    journeys: Sequence[Fetch],
    stations: Sequence[HopResult],
    ours: Sequence[str],
    port: int,
) -> CheckResult:
    name = answer.name
    good = [journey for journey in journeys if journey.matches(answer.key_authorization)]
    bad = [journey for journey in journeys if _is_bad(journey, answer)]
    remarks = list(_remarks(name, journeys, good))
    if not bad:
        return (CheckResult.proven if good else CheckResult.skipped)(_seen(good, port), *remarks)
    worst = next((journey for journey in bad if is_certain(journey, stations)), bad[0])
    failure = diagnosis(name, worst, stations)
    if good:
        failure = _discrepancy(name, worst, good[0], failure)
    elif wrong := points_elsewhere(name, str(worst.hops[0].address), ours):
        failure = wrong
    elif isinstance(failure, HttpHairpin):
        return CheckResult.skipped(_seen(good, port), failure, *remarks)
    if port != HTTP_PORT:
        # The sentences are those of a public CA, which asks nowhere else.
        failure.message += f" The port that was checked is {port}."
    return (CheckResult.fail if is_certain(worst, stations) else CheckResult.warn)(failure, *remarks)


def _discrepancy(name: str, bad: Fetch, good: Fetch, failure: CertworkerError) -> CertworkerError:
    ours, other = good.hops[0].address, bad.hops[0].address
    if other.version == 6 and ours.version == 4:
        return Ipv6Unreachable(name=name, address=other)
    return MixedAddresses(name=name, good=ours, address=other, detail=failure.message)


def _remarks(name: str, journeys: Sequence[Fetch], good: Sequence[Fetch]) -> Iterator[CertworkerError]:
    for journey in journeys:
        address = journey.hops[0].address
        if journey.error is FetchError.UNREACHABLE and address.version == 6 and is_public(address):
            yield Ipv6Untested(name=name, address=address)
    for journey in good:
        if journey.seconds > SLOW_SECONDS:
            yield HttpSluggish(name=name, address=journey.hops[0].address, seconds=f"{journey.seconds:.0f}")
        if journey.reply and intermediary(journey.reply) == CLOUDFLARE:
            yield BehindCloudflare(name=name)


def _seen(good: Sequence[Fetch], port: int) -> str:
    if not good:
        return f"port {port} cannot be tested from here"
    slowest = max(journey.seconds for journey in good)
    passed = {intermediary(journey.reply) for journey in good if journey.reply} - {None}
    return f"port {port} answers in {slowest * 1000:.0f} ms" + (f" through {passed.pop()}" if passed else "")
