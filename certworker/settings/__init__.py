"""
What an operator may set.

In the order in which they may import each other::

    ca        What an operator chose, as values: the CA and the HTTP port
    contact   The contact of the account: whether a CA would take it
    limits    How often a CA may be asked, as values, and the file with what a CA has granted …
    proxies   The proxies of the environment: HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, in capitals or …
    parsers   How the text of a variable becomes a setting
    appwrite  How we get along with Appwrite's core
    dns       The settings of our own questions to DNS: whom to ask, and where custom domains are …
    notify    How people are reached: the mail server, and a URL for machines
    redis     Where Redis is: in Appwrite's variables, or in one URL, which can say more
    reload    Which containers are told that a certificate has changed, and how; and whether their …
    settings  Every setting, and the variable it comes from
    loading   ★ The settings, read from an environment once, and frozen
    warnings  What is suspicious in an environment: variables that no program reads, and an …
"""

from certworker.settings.ca import CaChoice, HttpAddress
from certworker.settings.contact import contact_problem
from certworker.settings.loading import load, variables
from certworker.settings.settings import KeyType, Settings
from certworker.settings.warnings import environment_warnings

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
