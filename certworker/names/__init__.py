"""
What may stand in a certificate: any text in, one normalised name out, or the reason why not.

The files, in the order in which they may import each other::

    address     IP addresses
    spelling    international letters and punycode
    suffixes    which names a public CA knows
    tenant      whose request it is
    domain      the name itself, and the names of a job
    remarks     what is worth telling about an accepted name
"""

from certworker.names.address import is_address
from certworker.names.domain import domain_name, is_name, requested_names
from certworker.names.remarks import remarks
from certworker.names.suffixes import read_suffixes, registered_domain
from certworker.names.tenant import tenant_of

__all__ = [
    "domain_name",
    "is_address",
    "is_name",
    "read_suffixes",
    "registered_domain",
    "remarks",
    "requested_names",
    "tenant_of",
]
