"""
The proof that a tenant owns a name: a TXT record that names the tenant.

::

    _certworker.shop.example.com. TXT "tenant=acme"

Only the record of the name itself counts, not the record of a parent: some hosting providers allow customers
to create any label below a shared domain. A wildcard needs the record of its base name. A CNAME does not
count either: a forgotten CNAME may lead to the zone of another person. The authoritative servers decide, not
a cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from certworker.dns.query import NOT_AUTHORITATIVE, SILENT, DnsQuestion, query_servers
from certworker.dns.resolver import server_address
from certworker.dns01.delegation import Delegations
from certworker.domains.address import is_address
from certworker.domains.wildcard import base_name
from certworker.errors import printable
from certworker.errors.dns import NameServersFail, NameServersTimeout, OwnershipMissing
from certworker.errors.dns01 import CnameElsewhere

LABEL = "_certworker"

#: Besides letters and digits, the characters of a tenant that need no escape in a TXT record.
PLAIN = "-._~@:/+,="

#: The maximum number of name servers that are queried.
MAX_SERVERS = 3
#: The maximum number of values in a message, and of the characters of each.
MAX_SHOWN = 3
LONGEST_SHOWN = 100


@dataclass(frozen=True)
class Proofs:
    """
    Finds the proofs at the authoritative servers.
    """

    delegations: Delegations

    def check(self, name: str, tenant: str) -> None:
        """
        Check that a TXT record proves that *tenant* owns *name*.

        Raises:
            OwnershipMissing: There is no such record. An IP address never has one.
            CertworkerError: The zone cannot be found, or its name servers give no answer or only errors.
        """
        if is_address(name):
            raise missing(name, tenant, ())
        found = self.values(name)
        if proof_of(tenant) not in found:
            raise missing(name, tenant, found)

    def values(self, name: str) -> Sequence[str]:
        """
        Return the TXT records at the owner name of the proof for *name*; none if the owner name is an alias.

        Raises:
            CertworkerError: The zone cannot be found, or its name servers give no answer or only errors.
        """
        owner = owner_of(name)
        try:
            location = self.delegations.find(owner)
        except CnameElsewhere:
            return ()
        if location.aliases:
            return ()
        servers = [each.addresses[0] for each in location.servers if each.addresses][:MAX_SERVERS]
        answers = query_servers([DnsQuestion(server, owner, "TXT", own=True) for server in servers])
        values: dict[str, None] = {}
        errors: dict[str, str] = {}
        for asked, answer in answers.items():
            if answer.error or not answer.authoritative:
                errors[server_address(asked.server)] = answer.error or NOT_AUTHORITATIVE
            else:
                values |= dict.fromkeys(answer.texts.get(owner, ()))
        if len(errors) == len(answers):
            detail = "; ".join(f"{server}: {error}" for server, error in errors.items())
            silent = all(error == SILENT for error in errors.values())
            failure = NameServersTimeout if silent else NameServersFail
            raise failure(name=name, detail=detail or "no server is reachable").from_preflight()
        return tuple(values)


def owner_of(name: str) -> str:
    """
    Return the owner name of the proof for *name*.
    """
    return f"{LABEL}.{base_name(name)}"


def proof_of(tenant: str) -> str:
    """
    Return the value of the TXT record that names *tenant*, in printable ASCII.

    Different tenants have different values.
    """
    return f"tenant={quote(tenant, safe=PLAIN)}"


def missing(name: str, tenant: str, found: Sequence[str]) -> OwnershipMissing:
    """
    Return the failure of *tenant* to prove the ownership of *name*.
    """
    return OwnershipMissing(
        name=name,
        tenant=printable(tenant, LONGEST_SHOWN),
        found=", ".join(_shown(found)) or "no record",
        owner=owner_of(name),
        value=proof_of(tenant),
    )


def _shown(found: Sequence[str]) -> Iterator[str]:
    for value in found[:MAX_SHOWN]:
        yield f'"{printable(value, LONGEST_SHOWN)}"'
    if len(found) > MAX_SHOWN:
        yield f"and {len(found) - MAX_SHOWN} more"
