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

from certworker.answer import CHALLENGE_PATH, Answer
from certworker.checks.addresses import Address, addresses_of, is_public, of_the_loopback
from certworker.checks.diagnosis import APPWRITE, TRAEFIK, Station, diagnosis, is_certain
from certworker.checks.exchange import Trouble
from certworker.checks.probe import Journey, Probe
from certworker.checks.records import Records
from certworker.checks.stranger import CLOUDFLARE, intermediary
from certworker.checks.target import elsewhere
from certworker.checks.verdict import Question, Verdict
from certworker.errors import CertworkerError
from certworker.errors.checks import BehindCloudflare, HttpHairpin, HttpSluggish, Ipv6Untested, MixedAddresses
from certworker.errors.reach import Ipv6Unreachable
from certworker.settings import Settings

#: Of each family; a name with more is not ours to knock through.
MOST_ADDRESSES = 4

#: Half of a CA's patience; whoever is slower today may be too slow tomorrow.
SLOW_SECONDS = 5.0

EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 (nothing is bound here)

#: Whoever has not answered by then is late enough to ask our own side meanwhile.
QUIET_SECONDS = 2.0

#: Our own side answers at once, or not at all.
PATIENCE_INSIDE_SECONDS = 3.0


@dataclass(frozen=True)
class Door:
    """
    A station on our side of the way.
    """

    title: str
    host: str
    port: int


@dataclass(frozen=True)
class Port80:
    """
    The check of port 80.
    """

    settings: Settings
    #: Lets an answer stand for a name while it is looked for.
    standing: Callable[[str], AbstractContextManager[Answer]]
    #: From the inside out.
    doors: Sequence[Door]
    #: The public addresses of this server; none: unknown.
    ours: Sequence[str] = ()

    def __call__(self, question: Question) -> Verdict:
        """
        Whether a CA would find the answer for the name of *question*.

        Raises:
            CertworkerError: The answer cannot be laid where it would be looked for.
        """
        addresses = _addresses(self.settings, question.name, question.records)
        if not addresses:
            return Verdict.yes("port 80 not asked: no address")
        with self.standing(question.name) as answer, ThreadPoolExecutor(len(addresses)) as visitors:
            visits = [visitors.submit(self._visit, answer, address) for address in addresses]
            wait(visits, QUIET_SECONDS)
            stations = []
            if any(not visit.done() or _is_bad(visit.result(), answer) for visit in visits):
                with ThreadPoolExecutor(len(self.doors) or 1) as insiders:
                    asked = insiders.map(partial(self._station, answer), self.doors)
                    stations = [station for station in asked if station]
            journeys = [visit.result() for visit in visits]
        return _verdict(answer, journeys, stations, self.ours)

    def _visit(self, answer: Answer, address: Address) -> Journey:
        probe = probe_for(self.settings, answer.name)
        return probe.fetch(answer.name, CHALLENGE_PATH + answer.token, address)

    def _station(self, answer: Answer, door: Door) -> Station | None:
        probe = replace(probe_for(self.settings, answer.name), patience_seconds=PATIENCE_INSIDE_SECONDS)
        for address in addresses_of(door.host):
            journey = probe.fetch_inside(answer.name, CHALLENGE_PATH + answer.token, address, door.port)
            return Station(door.title, journey, journey.brings(answer.key_authorization))
        return None


def doors_of(settings: Settings) -> list[Door]:
    """
    The stations on the side of a worker with *settings*.
    """
    doors = [Door(APPWRITE, "appwrite", 80), Door(TRAEFIK, "traefik", 80)]
    if at := settings.http_address:
        host = "localhost" if at.host in EVERY_ADDRESS else at.host
        doors.insert(0, Door("the worker", host, at.port))
    return doors


def probe_for(settings: Settings, name: str) -> Probe:
    """
    What asks for *name* as the CA of *settings* would.
    """
    embedded = settings.authority.directory_url is None
    port = settings.http01_port
    if embedded and settings.http_address and of_the_loopback(name):
        # The embedded CA knows that nobody forwards port 80 of the loopback interface to us.
        port = settings.http_address.port
    return Probe(port, public_only=not settings.authority.private_names, resolve=addresses_of)


def answers(answer: Answer, settings: Settings, look_up: Callable[[str], Records]) -> bool:
    """
    Whether any address of its name gives *answer*: is the way open yet? Nothing is said of what is wrong.

    Args:
        look_up: What DNS says of a name, as the check of port 80 hears it.
    """
    probe = probe_for(settings, answer.name)
    return any(
        probe.fetch(answer.name, CHALLENGE_PATH + answer.token, address).brings(answer.key_authorization)
        for address in _addresses(settings, answer.name, look_up(answer.name))
    )


def _addresses(settings: Settings, name: str, records: Records) -> list[Address]:
    found = [ip_address(address) for address in records.addresses]
    if not found and settings.authority.private_names and of_the_loopback(name):
        found = list(addresses_of(name))
    chosen: list[Address] = []
    for version in (6, 4):  # as a CA tries them
        chosen += [address for address in found if address.version == version][:MOST_ADDRESSES]
    return chosen


def _is_bad(journey: Journey, answer: Answer) -> bool:
    return journey.trouble is not Trouble.NO_WAY and not journey.brings(answer.key_authorization)


def _verdict(
    answer: Answer, journeys: Sequence[Journey], stations: Sequence[Station], ours: Sequence[str]
) -> Verdict:
    name = answer.name
    good = [journey for journey in journeys if journey.brings(answer.key_authorization)]
    bad = [journey for journey in journeys if _is_bad(journey, answer)]
    remarks = list(_remarks(name, journeys, good))
    if not bad:
        return (Verdict.proof if good else Verdict.yes)(_seen(good), *remarks)
    worst = next((journey for journey in bad if is_certain(journey, stations)), bad[0])
    failure = diagnosis(name, worst, stations)
    if good:
        failure = _discrepancy(name, worst, good[0], failure)
    elif wrong := elsewhere(name, str(worst.stops[0].address), ours):
        failure = wrong
    elif isinstance(failure, HttpHairpin):
        return Verdict.yes(_seen(good), failure, *remarks)
    return (Verdict.no if is_certain(worst, stations) else Verdict.likely_no)(failure, *remarks)


def _discrepancy(name: str, bad: Journey, good: Journey, failure: CertworkerError) -> CertworkerError:
    ours, other = good.stops[0].address, bad.stops[0].address
    if other.version == 6 and ours.version == 4:
        return Ipv6Unreachable(name=name, address=other)
    return MixedAddresses(name=name, good=ours, address=other, detail=failure.message)


def _remarks(name: str, journeys: Sequence[Journey], good: Sequence[Journey]) -> Iterator[CertworkerError]:
    for journey in journeys:
        address = journey.stops[0].address
        if journey.trouble is Trouble.NO_WAY and address.version == 6 and is_public(address):
            yield Ipv6Untested(name=name, address=address)
    for journey in good:
        if journey.seconds > SLOW_SECONDS:
            yield HttpSluggish(name=name, address=journey.stops[0].address, seconds=f"{journey.seconds:.0f}")
        if journey.reply and intermediary(journey.reply) == CLOUDFLARE:
            yield BehindCloudflare(name=name)


def _seen(good: Sequence[Journey]) -> str:
    if not good:
        return "port 80 cannot be tested from here"
    slowest = max(journey.seconds for journey in good)
    passed = {intermediary(journey.reply) for journey in good if journey.reply} - {None}
    return f"port 80 answers in {slowest * 1000:.0f} ms" + (f" through {passed.pop()}" if passed else "")
