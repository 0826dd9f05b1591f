"""
Names: any text in, one normalized name out, or the reason why not.

In the order in which they may import each other::

    address    IP addresses as names (RFC 8738)
    idna       International spellings: UTS #46, IDNA 2008 and punycode
    suffixes   Which names a public CA knows: the public-suffix list, and the suffixes that nobody …
    normalize  ★ The name itself, and the names of a job
    tenant     Whose request it is: those of one tenant share the slots among themselves, not with …
    warnings   What is worth telling about an accepted name
"""

from certworker.domains.address import is_address
from certworker.domains.normalize import given_names, is_name, normalize, requested_names
from certworker.domains.suffixes import load_suffixes, registered_domain
from certworker.domains.tenant import tenant_of
from certworker.domains.warnings import warnings_for

__all__ = [
    "given_names",
    "is_address",
    "is_name",
    "load_suffixes",
    "normalize",
    "registered_domain",
    "requested_names",
    "tenant_of",
    "warnings_for",
]
