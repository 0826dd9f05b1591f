"""
Builds the solver and its DNS providers from the settings, without any query.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar, assert_never

from redis import Redis

from certworker.dns.resolver import system_name_servers
from certworker.dns.udp import Server
from certworker.dns01.acme_dns import AcmeDns
from certworker.dns01.exec import Exec
from certworker.dns01.httpreq import HttpReq
from certworker.dns01.lexicon import Lexicon
from certworker.dns01.provider import ANY_ZONE, Provider, Providers
from certworker.dns01.rfc2136 import Rfc2136, TsigKey
from certworker.dns01.solver import Dns01Solver
from certworker.domains.address import is_public
from certworker.settings import Settings
from certworker.settings.dns01 import Dns01Settings
from certworker.settings.dns_providers import ProviderChoice
from certworker.state.locks import DomainLocks
from certworker.storage.certificate_store import CertificateStore
from certworker.validity import now_in_utc

Value = TypeVar("Value")


def build_solver(
    settings: Settings, connection: Redis, locks: DomainLocks, clock: Callable[[], datetime]
) -> Dns01Solver:
    """
    Return the solver of a worker with *settings*. Without a provider, the solver refuses all challenges.
    """
    return Dns01Solver.for_worker(
        build_providers(settings.dns01, settings.ca_bundle),
        resolvers=resolvers_of(settings),
        private=settings.authority.private_names,
        timeout_seconds=settings.dns01.timeout,
        directory=settings.state_dir / "dns01",
        connection=connection,
        locks=locks,
        clock=clock,
    )


def resolvers_of(settings: Settings) -> Sequence[Server]:
    """
    Return the resolvers for the search for zones: those in the settings, else the first one of this machine.

    In a private network, the public resolvers in the settings are ignored.
    """
    # Public resolvers do not know the zones of a private network.
    private = settings.authority.private_names
    named = [each for each in settings.name_servers if not (private and is_public(ip_address(each[0])))]
    return named or system_name_servers()


def solver_of(settings: Settings, connection: Redis) -> Dns01Solver:
    """
    Return the solver of a command that runs alongside the workers.
    """
    store = CertificateStore(settings.certificates_dir)
    locks = DomainLocks(connection, highest_token=store.links.highest_token)
    return build_solver(settings, connection, locks, now_in_utc)


def build_providers(settings: Dns01Settings, ca_bundle: Path | None) -> Providers:
    """
    Return the providers of *settings*, by zone.

    Args:
        ca_bundle: A PEM file with roots that HTTPS trusts in addition to those of the system.
    """
    return Providers(
        {choice.zone or ANY_ZONE: _provider(choice, settings, ca_bundle) for choice in settings.providers}
    )


def _provider(choice: ProviderChoice, settings: Dns01Settings, ca_bundle: Path | None) -> Provider:
    match choice.kind:
        case "rfc2136":
            return _rfc2136(settings)
        case "exec":
            return Exec(_required(settings.exec_path))
        case "httpreq":
            return _httpreq(settings, ca_bundle)
        case "acme-dns":
            api, accounts = _required(settings.acme_dns_api_base), _required(settings.acme_dns_storage_path)
            return AcmeDns(api, accounts, ca_bundle)
        case "lexicon":
            variables = settings.lexicon_variables(choice).items()
            return Lexicon(
                _required(choice.lexicon_name), {name: value.get_secret_value() for name, value in variables}
            )
        case _:
            assert_never(choice.kind)


def _rfc2136(settings: Dns01Settings) -> Rfc2136:
    host, port = _required(settings.rfc2136_nameserver)
    secret = settings.rfc2136_tsig_secret
    if settings.rfc2136_tsig_key is None or secret is None:
        return Rfc2136(host, port)
    key = TsigKey(settings.rfc2136_tsig_key, secret.get_secret_value(), settings.rfc2136_tsig_algorithm)
    return Rfc2136(host, port, key)


def _httpreq(settings: Dns01Settings, ca_bundle: Path | None) -> HttpReq:
    password = settings.httpreq_password
    return HttpReq(
        _required(settings.httpreq_endpoint),
        settings.httpreq_username or "",
        password.get_secret_value() if password else "",
        raw=settings.httpreq_mode == "RAW",
        ca_bundle=ca_bundle,
    )


def _required(value: Value | None) -> Value:
    # The validation of the settings ensures that this value is set.
    if value is None:
        raise ValueError("a setting of the provider is missing")
    return value
