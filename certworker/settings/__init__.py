"""
The settings of certworker, and how the variables become their values.

In import order (★ to read first)::

    ca             The CA in a setting, and the contact address that it accepts
    limits         The rate limits of a CA, as values, and the file with the limits that a CA has granted
    reload         How a server gets a new certificate: the values of CERTWORKER_RELOAD and of the labels
    fields         The declaration of a setting: variable, default, allowed values, file
    dns_providers  The chosen DNS providers, their zones, and the names that use DNS-01
    parsers        The parsers: from the text of a variable to the value of a setting
    dns01          The settings of DNS-01: the DNS providers, and their variables
    ask            The names that a proxy may serve: the values of CERTWORKER_ASK_ALLOW
    customers      How the domains of customers are checked
    web            The settings of the page and the API: where they listen, and who may use them
    replication    The settings of the replication to other hosts
    settings       ★ Every setting, with its variable, its default and the allowed values
    loading        Reads the environment and the secret files, and reports invalid and suspicious variables
"""

from certworker.hosts import HttpAddress
from certworker.settings.ca import CaChoice, contact_problem
from certworker.settings.loading import environment_warnings, load, variables
from certworker.settings.settings import KeyType, Settings

__all__ = [
    "CaChoice",
    "HttpAddress",
    "KeyType",
    "Settings",
    "contact_problem",
    "environment_warnings",
    "load",
    "variables",
]
