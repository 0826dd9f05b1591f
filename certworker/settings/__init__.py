"""
What an operator may set.

The files, in the order in which they may import each other::

    choices        the CA and the HTTP port, as values
    contact        whether a CA would take an e-mail address
    limits         how often a CA may be asked, and the file with what it has granted
    proxies        the proxies of the environment
    readings       how a text becomes one of them, or a number, or a path
    notices        how people are reached
    redis          where Redis is
    reloads        which containers are told that a certificate has changed, and whether labels are read
    core           how we get along with Appwrite's core
    resolving      whom to ask in DNS, and where custom domains are to point
    environment    every setting, and the variable it comes from
    loading        ★ the settings, read from an environment and from files with secrets
    warnings       variables that no program reads, and values that are suspicious
"""

from certworker.settings.choices import AuthorityChoice, HttpAddress
from certworker.settings.contact import contact_problem
from certworker.settings.environment import KeyType, Settings
from certworker.settings.loading import load, variables
from certworker.settings.warnings import environment_warnings

__all__ = [
    "AuthorityChoice",
    "HttpAddress",
    "KeyType",
    "Settings",
    "contact_problem",
    "environment_warnings",
    "load",
    "variables",
]
