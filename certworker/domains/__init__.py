"""
Names: normalize any text to one name, or say why that fails.

In import order::

    address    IP addresses as names (RFC 8738)
    idna       International names: UTS #46, IDNA 2008 and punycode
    suffixes   The public suffix list, private suffixes, and registered domains
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
from certworker.domains.suffixes import load_suffixes, registered_domain

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
