"""
The lists of all checks before an order, and the checks of moved names and of ownership.
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
from certworker.challenges.challenge import (
    CHALLENGE_PATH,
    DNS01,
    HTTP01,
    Http01Challenge,
    Solver,
    present,
)
from certworker.dns.resolver import Resolver, system_name_servers
from certworker.dns01.delegation import Delegations
from certworker.dns01.solver_factory import resolvers_of
from certworker.domains.address import is_public
from certworker.errors import CertworkerError
from certworker.errors.dns import InvalidTarget
from certworker.preflight.caa import CaaIssuer, check_caa, compares_only
from certworker.preflight.dns01 import PlanRecord, check_dns01
from certworker.preflight.machine import check_clock, check_eligibility, check_volumes
from certworker.preflight.moved import TargetCheck
from certworker.preflight.ownership import Proofs
from certworker.preflight.port80.check import Port80Check, internal_hops
from certworker.preflight.resolution import check_resolution
from certworker.preflight.result import Check, CheckResult, MachineCheck
from certworker.preflight.runner import PreflightRunner, Settling
from certworker.preflight.target import CAA, check_target, target_of
from certworker.settings import Settings
from certworker.storage import durable
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.shared_directory import SharedDirectory
from certworker.traefik.config import TraefikConfig

#: The checks whose failures :func:`verify` raises: those of a name's addresses, CAA records and target.
IN_DNS = frozenset({"DNS", "CAA", "target"})


def build_preflight(
    settings: Settings,
    authorities: Sequence[AcmeClient],
    solvers: Sequence[Solver],
    plan_record: PlanRecord,
    *,
    may_order_anyway: Callable[[str], bool],
    clock: Callable[[], datetime],
    settling: Settling,
    observe: Callable[[str, str, float], object] = lambda _check, _outcome, _seconds: None,
) -> PreflightRunner:
    """
    Return the runner of all checks of a worker with *settings*.

    Args:
        authorities: The CAs, starting with the preferred one.
        solvers: The solvers that publish responses to challenges for the preferred CA.
        plan_record: Returns the location and the provider of the TXT record of a DNS-01 challenge.
        may_order_anyway: Returns whether to order although the CA would probably refuse the name.
        clock: The clock of this machine, to compare with that of the CA.
        settling: The first seconds of the worker.
        observe: Called after each check with its name, its outcome, and its duration in seconds.
    """
    preferred = authorities[0]
    _, wrong = target_of(settings.targets, private=settings.authority.private_names)
    resolver = build_resolver(settings)
    volumes, directories = volume_checks(settings), [settings.certificates_dir, settings.config_dir]
    return PreflightRunner(
        [
            MachineCheck("settings", partial(_settings, settings), 1),
            MachineCheck("targets", partial(_targets, settings, preferred, wrong), 3),
            MachineCheck("volumes", partial(check_volumes, volumes, directories), 10),
            # An order needs the same response of the CA, so a longer wait delays no job.
            MachineCheck("clock", partial(check_clock, preferred.check, preferred.measure_clock, clock), 10),
        ],
        domain_checks(settings, authorities, solvers, plan_record, resolver),
        resolver.look_up,
        may_order_anyway,
        settling,
        preferred.challenge_type,
        observe,
    )


def volume_checks(settings: Settings) -> list[Callable[[], None]]:
    """
    Return one check for each directory to which certworker writes.

    A check raises a CertworkerError if it cannot write to its directory.
    """
    checks: list[Callable[[], None]] = [
        CertificateStore(settings.certificates_dir).check_writable,
        TraefikConfig(settings.config_dir).check_writable,
        partial(_check_directory, settings.state_dir),
    ]
    if settings.webroot and settings.webroot != settings.certificates_dir:
        challenges = settings.webroot / CHALLENGE_PATH.strip("/")
        # Check only the deepest existing directory, because the parents may belong to Appwrite.
        places = (challenges, challenges.parent, settings.webroot)
        checks.append(partial(_check_directory, next(filter(Path.is_dir, places), settings.webroot)))
    return checks


def domain_checks(
    settings: Settings,
    authorities: Sequence[AcmeClient],
    solvers: Sequence[Solver],
    plan_record: PlanRecord,
    resolver: Resolver,
) -> list[Check]:
    """
    Return the checks of a name, cheapest first.

    Args:
        authorities: The CAs, starting with the preferred one.
        solvers: The solvers that publish responses to challenges for the preferred CA.
        plan_record: Returns the location and the provider of the TXT record of a DNS-01 challenge.
    """
    private = settings.authority.private_names
    target, _ = target_of(settings.targets, private=private)
    main_domains = [domain.lower().rstrip(".") for domain in settings.domains]
    return [
        Check(
            "DNS",
            partial(check_resolution, own_addresses=target.addresses, private=private),
            1,
            challenge_types=(HTTP01,),
            is_immediate=lambda _context: True,
        ),
        Check(
            "CAA",
            partial(check_caa, issuers=lambda: [_issuer(each) for each in authorities]),
            3,
            is_immediate=compares_only,
        ),
        Check(
            "target",
            partial(check_target, target=target, main_domains=main_domains, look_up=resolver.look_up),
            10,
            challenge_types=(HTTP01,),
            is_immediate=lambda _context: not target.cname,
        ),
        Check("DNS-01", partial(check_dns01, plan_record=plan_record), 10, challenge_types=(DNS01,)),
        Check(
            "port 80",
            Port80Check(
                settings,
                partial(_published_response, authorities[0], solvers),
                internal_hops(settings),
                target.addresses,
            ),
            12,
            settles=True,
            challenge_types=(HTTP01,),
        ),
    ]


def build_target_check(settings: Settings, authority: AcmeClient, solvers: Sequence[Solver]) -> TargetCheck:
    """
    Return the check of whether names in service still point to the server with *settings*.

    Args:
        settings: The settings of the worker.
        authority: The preferred CA.
        solvers: The solvers that publish responses to challenges for that CA.
    """
    published = partial(_published_response, authority, solvers)
    return TargetCheck(settings, build_resolver(settings), published)


def build_proofs(settings: Settings) -> Proofs:
    """
    Return the check of the ownership of names for a worker with *settings*.
    """
    return Proofs(Delegations(resolvers_of(settings), private=settings.authority.private_names))


def verify(preflight: PreflightRunner, name: str) -> None:
    """
    Run the checks of *name*, and raise a failure that its DNS records cause.

    Raises:
        CertworkerError: A CA would certainly or probably refuse the name because of its DNS records.
        redis.RedisError: A check needs Redis, and Redis failed.
    """
    (found,) = preflight.check_names([name])
    for each in found:
        if each.check in IN_DNS and each.result.failure:
            raise copy(each.result.failure)  # the cache holds the original


def build_resolver(settings: Settings) -> Resolver:
    """
    Return the resolver of a worker with *settings*.
    """
    if settings.authority.private_names:
        # Public resolvers do not know the names of a private network.
        return Resolver(
            [server for server in settings.name_servers if not is_public(ip_address(server[0]))], private=True
        )
    # A configured resolver on the loopback interface is the resolver of this machine.
    apart = not any(ip_address(address).is_loopback for address, _ in settings.name_servers)
    return Resolver(settings.name_servers, own=system_name_servers() if apart else ())


def _check_directory(directory: Path) -> None:
    # For example, if the state directory cannot store the key of an order, a crash loses the certificate.
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
    warnings = list(wrong)
    wanted, known = settings.targets.get(CAA), authority.caa_identities if CAA in settings.targets else ()
    if wanted and known and not any(identity in wanted for identity in known):
        warnings.append(
            InvalidTarget(
                variable=CAA,
                reason=f"the CAA identity of {authority.title} is {' or '.join(known)}",
                wanted="the CAA identity of the configured CA",
                example=known[0],
            )
        )
    return CheckResult.passed("", *warnings)


@contextmanager
def _published_response(
    authority: AcmeClient, solvers: Sequence[Solver], name: str
) -> Iterator[Http01Challenge]:
    """
    Publish a test response for *name* with all *solvers*, within the block.
    """
    token = secrets.token_urlsafe(24)
    challenge = Http01Challenge(name, token, f"{token}.{authority.thumbprint}")
    with present([challenge], solvers):
        yield challenge
