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

from certworker import durable
from certworker.acme.authority import Authority
from certworker.answer import CHALLENGE_PATH, Answer
from certworker.challenges.solver import Solver, present
from certworker.checks.addresses import is_public
from certworker.checks.caa import Issuer, check_caa
from certworker.checks.eligibility import check_eligibility
from certworker.checks.inspections import check_clock, check_volumes
from certworker.checks.port80 import Port80, doors_of
from certworker.checks.preflight import Preflight
from certworker.checks.resolution import check_resolution
from certworker.checks.resolver import Resolver, own_servers
from certworker.checks.settling import Settling
from certworker.checks.target import CAA, check_target, target_of
from certworker.checks.verdict import Check, Inspection, Verdict
from certworker.errors import CertworkerError
from certworker.errors.zones import InvalidTarget
from certworker.locking import SharedDirectory
from certworker.serving.traefik import Traefik
from certworker.serving.volume import Volume
from certworker.settings import Settings

#: The checks whose answers stand in DNS.
IN_DNS = frozenset({"DNS", "CAA", "target"})


def preflight_of(
    settings: Settings,
    authorities: Sequence[Authority],
    solvers: Sequence[Solver],
    *,
    may_ask: Callable[[str], bool],
    clock: Callable[[], datetime],
    settling: Settling,
) -> Preflight:
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
    resolver = resolver_of(settings)
    volumes, directories = volume_checks(settings), [settings.certificates_dir, settings.config_dir]
    return Preflight(
        [
            Inspection("settings", "the environment", partial(_settings, settings), 1),
            Inspection("targets", "the environment", partial(_targets, settings, preferred, wrong), 3),
            Inspection("volumes", "a file written there", partial(check_volumes, volumes, directories), 10),
            Inspection(
                "clock", "the Date in the CA's answers", partial(check_clock, preferred.check, clock), 3
            ),
        ],
        checks_of(settings, authorities, solvers, resolver),
        resolver.look_up,
        may_ask,
        settling,
    )


def volume_checks(settings: Settings) -> list[Callable[[], None]]:
    """
    Return a check for each directory of *settings*: it raises a CertworkerError where nothing can be written.
    """
    checks: list[Callable[[], None]] = [
        Volume(settings.certificates_dir).check_writable,
        Traefik(settings.config_dir).check_writable,
        partial(_check_directory, settings.state_dir),
    ]
    if settings.webroot and settings.webroot != settings.certificates_dir:
        challenges = settings.webroot / CHALLENGE_PATH.strip("/")
        # The deepest one that is there: the others may belong to the core.
        places = (challenges, challenges.parent, settings.webroot)
        checks.append(partial(_check_directory, next(filter(Path.is_dir, places), settings.webroot)))
    return checks


def checks_of(
    settings: Settings, authorities: Sequence[Authority], solvers: Sequence[Solver], resolver: Resolver
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
            Port80(
                settings, partial(_standing, authorities[0], solvers), doors_of(settings), target.addresses
            ),
            12,
            settles=True,
        ),
    ]


def verify(preflight: Preflight, name: str) -> None:
    """
    Make sure that DNS says of *name* what it has to say.

    Raises:
        CertworkerError: It does not, or probably not.
    """
    (found,) = preflight.examine([name])
    for each in found:
        if each.check in IN_DNS and each.verdict.failure:
            raise copy(each.verdict.failure)  # the verdict is cached


def resolver_of(settings: Settings) -> Resolver:
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
    return Resolver(settings.name_servers, own=own_servers() if apart else ())


def _check_directory(directory: Path) -> None:
    # An order whose key could not be stored would be lost.
    durable.make_directory(directory)
    shared = SharedDirectory(directory, directory / "lock")
    with shared.writing():
        durable.check_writable(directory)
    shared.remove_leftovers()


def _issuer(authority: Authority) -> Issuer:
    return Issuer(authority.title, authority.caa_identities, authority.account_url)


def _settings(settings: Settings) -> Verdict:
    reasons = []
    for choice in settings.authorities:
        try:
            check_eligibility(settings, choice)
        except CertworkerError as failure:
            reasons.append(failure)
        else:
            return Verdict.yes("")
    return Verdict.no(reasons[0])


def _targets(settings: Settings, authority: Authority, wrong: Sequence[InvalidTarget]) -> Verdict:
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
    return Verdict.yes("", *remarks)


@contextmanager
def _standing(authority: Authority, solvers: Sequence[Solver], name: str) -> Iterator[Answer]:
    """
    An answer for *name* that nobody asked for, in all places where a CA would look.
    """
    token = secrets.token_urlsafe(24)
    answer = Answer(name, token, f"{token}.{authority.thumbprint}")
    with present([answer], solvers):
        yield answer
