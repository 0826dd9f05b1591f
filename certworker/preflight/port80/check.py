"""
The check of port 80: fetch a test response over each address of the name.

::

    worker ──► Appwrite ──► Traefik ──► port 80 of each public address
      After a failure, or if a server is slow, the check also requests the response from the internal hops.
      The first hop without the response is the broken hop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_address

from certworker.challenges.challenge import CHALLENGE_PATH, Http01Challenge
from certworker.dns.records import DnsRecords
from certworker.dns.resolver import resolve_system
from certworker.domains.address import Address, is_loopback_name, is_public
from certworker.errors import CertworkerError
from certworker.errors.dns import Ipv6Unreachable, Ipv6Untested, MixedAddresses
from certworker.errors.http import BehindCloudflare, HttpHairpin, HttpSluggish
from certworker.preflight.port80.diagnosis import (
    APPWRITE,
    CLOUDFLARE,
    TRAEFIK,
    HopResult,
    diagnosis,
    intermediary,
    is_certain,
)
from certworker.preflight.port80.http_get import FetchError
from certworker.preflight.port80.probe import Fetch, Probe
from certworker.preflight.result import CheckContext, CheckResult
from certworker.preflight.target import points_elsewhere
from certworker.settings import Settings

#: The maximum number of addresses of each IP version that the check connects to.
MAX_ADDRESSES = 4

#: Half of the timeout of a CA. A slower response causes a warning.
SLOW_SECONDS = 5.0

#: The maximum number of requests of all checks at the same time.
MAX_REQUESTS = 256

#: The port that a public CA connects to.
HTTP_PORT = 80

ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 (nothing is bound here)

#: If a server has not responded after this time, the check requests the response from the internal hops.
HOP_DELAY_SECONDS = 2.0

#: The timeout of internal hops, which respond immediately or not at all.
INTERNAL_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class InternalHop:
    """
    The worker, or a server between the public address and the worker.
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
    #: Publishes a test response for a name within the block.
    published: Callable[[str], AbstractContextManager[Http01Challenge]]
    #: The internal hops, in order from the worker to the public address.
    hops: Sequence[InternalHop]
    #: The public addresses of this server; empty if unknown.
    own_addresses: Sequence[str] = ()
    #: The threads of the requests, which later checks reuse.
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(MAX_REQUESTS, thread_name_prefix="port 80")
    )

    def __call__(self, context: CheckContext) -> CheckResult:
        """
        Check whether a CA could fetch the response for the name in *context*.

        Raises:
            CertworkerError: A solver could not publish the test response.
            redis.RedisError: Redis failed.
        """
        addresses = _addresses(self.settings, context.name, context.records)
        if not addresses:
            return CheckResult.skipped("port 80 not checked: no address")
        with self.published(context.name) as challenge:
            pending = [self.threads.submit(self._fetch, challenge, address) for address in addresses]
            wait(pending, HOP_DELAY_SECONDS)
            hop_results = []
            if any(not fetch.done() or _is_bad(fetch.result(), challenge) for fetch in pending):
                results = self.threads.map(partial(self._hop_result, challenge), self.hops)
                hop_results = [hop_result for hop_result in results if hop_result]
            fetches = [fetch.result() for fetch in pending]
        port = probe_for(self.settings, context.name).port
        return _result(challenge, fetches, hop_results, self.own_addresses, port)

    def _fetch(self, challenge: Http01Challenge, address: Address) -> Fetch:
        probe = probe_for(self.settings, challenge.name)
        return probe.fetch(challenge.name, CHALLENGE_PATH + challenge.token, address)

    def _hop_result(self, challenge: Http01Challenge, hop: InternalHop) -> HopResult | None:
        probe = replace(probe_for(self.settings, challenge.name), timeout_seconds=INTERNAL_TIMEOUT_SECONDS)
        for address in resolve_system(hop.host):
            fetch = probe.fetch_inside(challenge.name, CHALLENGE_PATH + challenge.token, address, hop.port)
            return HopResult(hop.title, fetch, fetch.matches(challenge.key_authorization))
        return None


def internal_hops(settings: Settings) -> list[InternalHop]:
    """
    Return the hops to a worker with *settings*: the worker if it has an HTTP port, Appwrite and Traefik.
    """
    hops = [InternalHop(APPWRITE, "appwrite", 80), InternalHop(TRAEFIK, "traefik", 80)]
    if address := settings.http_address:
        host = "localhost" if address.host in ANY_ADDRESS else address.host
        hops.insert(0, InternalHop("the worker", host, address.port))
    return hops


def probe_for(settings: Settings, name: str) -> Probe:
    """
    Return a probe that sends requests for *name* like the CA of *settings*.
    """
    embedded = settings.authority.directory_url is None
    port = settings.http01_port
    if embedded and settings.http_address and is_loopback_name(name):
        # The development CA connects directly to the worker, because no proxy forwards port 80 of the
        # loopback interface.
        port = settings.http_address.port
    return Probe(port, public_only=not settings.authority.private_names, resolve=resolve_system)


def is_served(challenge: Http01Challenge, settings: Settings, look_up: Callable[[str], DnsRecords]) -> bool:
    """
    Return whether any address of the challenge's name serves the response, without a diagnosis.

    Args:
        look_up: Returns the DNS records of a name.
    """
    probe = probe_for(settings, challenge.name)
    return any(
        probe.fetch(challenge.name, CHALLENGE_PATH + challenge.token, address).matches(
            challenge.key_authorization
        )
        for address in _addresses(settings, challenge.name, look_up(challenge.name))
    )


def _addresses(settings: Settings, name: str, records: DnsRecords) -> list[Address]:
    found = [ip_address(address) for address in records.addresses]
    if not found and settings.authority.private_names and is_loopback_name(name):
        found = list(resolve_system(name))
    chosen: list[Address] = []
    for version in (6, 4):  # the order of CAs
        chosen += [address for address in found if address.version == version][:MAX_ADDRESSES]
    return chosen


def _is_bad(fetch: Fetch, challenge: Http01Challenge) -> bool:
    return fetch.error is not FetchError.UNREACHABLE and not fetch.matches(challenge.key_authorization)


def _result(
    challenge: Http01Challenge,
    fetches: Sequence[Fetch],
    hop_results: Sequence[HopResult],
    own_addresses: Sequence[str],
    port: int,
) -> CheckResult:
    name = challenge.name
    good = [fetch for fetch in fetches if fetch.matches(challenge.key_authorization)]
    bad = [fetch for fetch in fetches if _is_bad(fetch, challenge)]
    warnings = list(_warnings(name, fetches, good))
    if not bad:
        return (CheckResult.proven if good else CheckResult.skipped)(_evidence(good, port), *warnings)
    worst = next((fetch for fetch in bad if is_certain(fetch, hop_results)), bad[0])
    failure = diagnosis(name, worst, hop_results)
    if good:
        failure = _discrepancy(name, worst, good[0], failure)
    elif elsewhere := points_elsewhere(name, str(worst.hops[0].address), own_addresses):
        failure = elsewhere
    elif isinstance(failure, HttpHairpin):
        return CheckResult.skipped(_evidence(good, port), failure, *warnings)
    if port != HTTP_PORT:
        # The message mentions port 80, the only port that a public CA connects to.
        failure.message += f" The checked port is {port}."
    return (CheckResult.fail if is_certain(worst, hop_results) else CheckResult.warn)(failure, *warnings)


def _discrepancy(name: str, bad: Fetch, good: Fetch, failure: CertworkerError) -> CertworkerError:
    working, failing = good.hops[0].address, bad.hops[0].address
    if failing.version == 6 and working.version == 4:
        return Ipv6Unreachable(name=name, address=failing)
    return MixedAddresses(name=name, good=working, address=failing, detail=failure.message)


def _warnings(name: str, fetches: Sequence[Fetch], good: Sequence[Fetch]) -> Iterator[CertworkerError]:
    for fetch in fetches:
        address = fetch.hops[0].address
        if fetch.error is FetchError.UNREACHABLE and address.version == 6 and is_public(address):
            yield Ipv6Untested(name=name, address=address)
    for fetch in good:
        if fetch.seconds > SLOW_SECONDS:
            yield HttpSluggish(name=name, address=fetch.hops[0].address, seconds=f"{fetch.seconds:.0f}")
        if fetch.reply and intermediary(fetch.reply) == CLOUDFLARE:
            yield BehindCloudflare(name=name)


def _evidence(good: Sequence[Fetch], port: int) -> str:
    if not good:
        return f"port {port} cannot be tested from here"
    slowest = max(fetch.seconds for fetch in good)
    passed = {intermediary(fetch.reply) for fetch in good if fetch.reply} - {None}
    return f"port {port} answers in {slowest * 1000:.0f} ms" + (f" through {passed.pop()}" if passed else "")
