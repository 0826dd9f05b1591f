"""
The settings: what an operator may set, and how it is read.

In import order::

    ca             The CA that signs, as an operator names it, and the contact address that it accepts
    limits         The rate limits of a CA, as values, and the file with the limits that a CA has granted
    reload         How a container is reloaded, as CERTWORKER_RELOAD and the labels write it
    fields         How a setting is declared: variable, default, allowed values, file
    dns_providers  Which DNS providers an operator chose, for which zones, and which names use them
    parsers        How the text of a variable becomes the value of a setting
    dns01          The settings of DNS-01: the DNS providers, and their variables
    settings       ★ Every setting, with its variable, its default and the allowed values
    loading        Read the environment and the secret files; invalid values, warnings, "Did you mean"
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
