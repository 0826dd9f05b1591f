"""
Which questions of our own are asked before a CA is: the list of all checks, cheapest first.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from certworker.acme.client import AcmeClient
from certworker.challenges.challenge import CHALLENGE_PATH, Http01Challenge, Solver, present
from certworker.domains.address import is_public
from certworker.errors import CertworkerError
from certworker.errors.dns import InvalidTarget
from certworker.preflight.caa import CaaIssuer, check_caa
from certworker.preflight.dns.resolver import Resolver, system_name_servers
from certworker.preflight.machine import check_clock, check_eligibility, check_volumes
from certworker.preflight.port80.check import Port80Check, internal_hops
from certworker.preflight.resolution import check_resolution
from certworker.preflight.result import Check, CheckResult, MachineCheck
from certworker.preflight.runner import PreflightRunner
from certworker.preflight.settling import Settling
from certworker.preflight.target import CAA, check_target, target_of
from certworker.settings import Settings
from certworker.storage import durable
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.shared_directory import SharedDirectory
from certworker.traefik.config import TraefikConfig

#: The checks whose answers stand in DNS.
IN_DNS = frozenset({"DNS", "CAA", "target"})


def build_preflight(
    settings: Settings,
    authorities: Sequence[AcmeClient],
    solvers: Sequence[Solver],
    *,
    may_ask: Callable[[str], bool],
    clock: Callable[[], datetime],
    settling: Settling,
) -> PreflightRunner:
    """
    All checks of a worker with *settings*.

    Args:
        authorities: The CAs, the preferred one first.
        solvers: Where the preferred one finds answers to its challenges.
        may_ask: Whether the CA may be asked about a name although it would probably say no.
        clock: That of this machine, which is compared with the CA's.
        settling: Of the worker that runs them.
    """
    preferred = authorities[0]
    _, wrong = target_of(settings.targets, private=settings.authority.private_names)
    resolver = build_resolver(settings)
    volumes, directories = volume_checks(settings), [settings.certificates_dir, settings.config_dir]
    return PreflightRunner(
        [
            MachineCheck("settings", "the environment", partial(_settings, settings), 1),
            MachineCheck("targets", "the environment", partial(_targets, settings, preferred, wrong), 3),
            MachineCheck("volumes", "a file written there", partial(check_volumes, volumes, directories), 10),
            MachineCheck(
                "clock", "the Date in the CA's answers", partial(check_clock, preferred.check, clock), 3
            ),
        ],
        domain_checks(settings, authorities, solvers, resolver),
        resolver.look_up,
        may_ask,
        settling,
    )


def volume_checks(settings: Settings) -> list[Callable[[], None]]:
    """
    Return a check for each directory of *settings*: it raises a CertworkerError where nothing can be written.
    """
    checks: list[Callable[[], None]] = [
        CertificateStore(settings.certificates_dir).check_writable,
        TraefikConfig(settings.config_dir).check_writable,
        partial(_check_directory, settings.state_dir),
    ]
    if settings.webroot and settings.webroot != settings.certificates_dir:
        challenges = settings.webroot / CHALLENGE_PATH.strip("/")
        # The deepest one that is there: the others may belong to the core.
        places = (challenges, challenges.parent, settings.webroot)
        checks.append(partial(_check_directory, next(filter(Path.is_dir, places), settings.webroot)))
    return checks


def domain_checks(
    settings: Settings, authorities: Sequence[AcmeClient], solvers: Sequence[Solver], resolver: Resolver
) -> list[Check]:
    """
    What is asked about a name, cheapest first.

    Args:
        authorities: The CAs, the preferred one first.
        solvers: Where the preferred one finds answers to its challenges.
    """
    private = settings.authority.private_names
    target, _ = target_of(settings.targets, private=private)
    main_domains = [domain.lower().rstrip(".") for domain in settings.domains]
    return [
        Check(
            "DNS",
            "the domain's own name servers, and those of _APP_DNS",
            partial(check_resolution, ours=target.addresses, private=private),
            1,
        ),
        Check(
            "CAA",
            "the same, and the identities in the CA's directory",
            partial(check_caa, issuers=lambda: [_issuer(each) for each in authorities]),
            3,
        ),
        Check(
            "target",
            "the same, and _APP_DOMAIN_TARGET",
            partial(check_target, target=target, main_domains=main_domains, look_up=resolver.look_up),
            10,
        ),
        Check(
            "port 80",
            "a nonce of our own, fetched as the CA fetches its own",
            Port80Check(
                settings,
                partial(_presented, authorities[0], solvers),
                internal_hops(settings),
                target.addresses,
            ),
            12,
            settles=True,
        ),
    ]


def verify(preflight: PreflightRunner, name: str) -> None:
    """
    Make sure that DNS says of *name* what it has to say.

    Raises:
        CertworkerError: It does not, or probably not.
    """
    (found,) = preflight.examine([name])
    for each in found:
        if each.check in IN_DNS and each.verdict.failure:
            raise copy(each.verdict.failure)  # the verdict is cached


def build_resolver(settings: Settings) -> Resolver:
    """
    Who looks names up for a worker with *settings*.
    """
    if settings.authority.private_names:
        # Public resolvers know nothing of a private network.
        return Resolver(
            [server for server in settings.name_servers if not is_public(ip_address(server[0]))], private=True
        )
    # A resolver on the loopback interface is the machine's own; the world may be as small as that.
    apart = not any(ip_address(address).is_loopback for address, _ in settings.name_servers)
    return Resolver(settings.name_servers, own=system_name_servers() if apart else ())


def _check_directory(directory: Path) -> None:
    # An order whose key could not be stored would be lost.
    durable.make_directory(directory)
    shared = SharedDirectory(directory, directory / "lock")
    with shared.writing():
        durable.check_writable(directory)
    shared.remove_leftovers()


def _issuer(authority: AcmeClient) -> CaaIssuer:
    return CaaIssuer(authority.title, authority.caa_identities, authority.account_url)


def _settings(settings: Settings) -> CheckResult:
    reasons = []
    for choice in settings.authorities:
        try:
            check_eligibility(settings, choice)
        except CertworkerError as failure:
            reasons.append(failure)
        else:
            return CheckResult.passed("")
    return CheckResult.fail(reasons[0])


def _targets(settings: Settings, authority: AcmeClient, wrong: Sequence[InvalidTarget]) -> CheckResult:
    remarks = list(wrong)
    wanted, known = settings.targets.get(CAA), authority.caa_identities if CAA in settings.targets else ()
    if wanted and known and not any(identity in wanted for identity in known):
        remarks.append(
            InvalidTarget(
                variable=CAA,
                reason=f"{authority.title} is called {' or '.join(known)} in CAA records",
                wanted="the CA that is used",
                example=known[0],
            )
        )
    return CheckResult.passed("", *remarks)


@contextmanager
def _presented(authority: AcmeClient, solvers: Sequence[Solver], name: str) -> Iterator[Http01Challenge]:
    """
    An answer for *name* that nobody asked for, in all places where a CA would look.
    """
    token = secrets.token_urlsafe(24)
    answer = Http01Challenge(name, token, f"{token}.{authority.thumbprint}")
    with present([answer], solvers):
        yield answer
