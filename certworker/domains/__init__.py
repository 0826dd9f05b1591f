"""
Names: the normalization of strings to names, or the reason why a string is not a name.

In import order (★ to read first)::

    address    IP addresses as names (RFC 8738)
    idna       Internationalized names: UTS #46, IDNA 2008 and Punycode
    wildcard   Wildcards, and the names of their files and directories
    suffixes   The public suffix list, private suffixes, and registered and delegated domains
    normalize  ★ The normalized name, its warnings, and the names and the tenant of a request
"""

from certworker.domains.address import is_address
from certworker.domains.normalize import (
    given_names,
    is_name,
    normalize,
    requested_names,
    tenant_of,
    warnings_for,
)
from certworker.domains.suffixes import delegated_domain, load_suffixes, registered_domain
from certworker.domains.wildcard import base_name, covering_wildcard, file_name, is_wildcard, name_of_file

__all__ = [
    "base_name",
    "covering_wildcard",
    "delegated_domain",
    "file_name",
    "given_names",
    "is_address",
    "is_name",
    "is_wildcard",
    "load_suffixes",
    "name_of_file",
    "normalize",
    "registered_domain",
    "requested_names",
    "tenant_of",
    "warnings_for",
]
