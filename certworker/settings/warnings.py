"""
What is suspicious in an environment: variables that no program reads, and an _APP_ENV that is neither word.

Both are legal. Without a warning a typing error would select a default, for example the development CA.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from certworker.errors import printable
from certworker.settings.loading import variables
from certworker.variables import bare

PREFIX = "CERTWORKER_"
ENVIRONMENT = "_APP_ENV"
ENVIRONMENTS = ("production", "development")

#: Kubernetes sets these in each pod when a service has the name `certworker`.
SERVICE = re.compile(r"CERTWORKER_(SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\w+)")

#: The share of equal letters from which on a word is suggested: `prod` has 0.57 of `production`, `dev` has
#: 0.43 of `development`.
LEAST_LIKENESS = 0.4
#: Names of variables are long and begin alike.
LEAST_LIKENESS_OF_NAMES = 0.75

#: More warnings than this help no reader.
MOST_WARNINGS = 20


@dataclass(frozen=True)
class EnvironmentWarning:
    """
    One suspicious variable.
    """

    variable: str
    message: str
    #: Empty if no word is similar.
    remedy: str

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()


def environment_warnings(environ: Mapping[str, str]) -> list[EnvironmentWarning]:
    """
    Return a warning for each suspicious variable in *environ*. No warning contains a value.
    """
    known = variables()
    unknown = sorted(name for name in environ if _is_unknown(name, known, environ))
    found = [_unknown(name, known) for name in unknown]
    value = bare(ENVIRONMENT, environ.get(ENVIRONMENT, "")).lower()
    if value and value not in ENVIRONMENTS:
        found.insert(0, _wrong_environment(value))
    return found[:MOST_WARNINGS]


def _is_unknown(name: str, known: Mapping[str, str], environ: Mapping[str, str]) -> bool:
    if not name.upper().startswith(PREFIX) or name in known:
        return False
    return not (f"{PREFIX}SERVICE_HOST" in environ and SERVICE.fullmatch(name))


def _unknown(name: str, known: Mapping[str, str]) -> EnvironmentWarning:
    shown = printable(name, 100)
    similar = get_close_matches(name.upper(), known, n=1, cutoff=LEAST_LIKENESS_OF_NAMES)
    return EnvironmentWarning(
        shown,
        f"{shown} is not a setting and has no effect.",
        f"Did you mean {similar[0]}?" if similar else "",
    )


def _wrong_environment(value: str) -> EnvironmentWarning:
    similar = get_close_matches(value, ENVIRONMENTS, n=1, cutoff=LEAST_LIKENESS)
    return EnvironmentWarning(
        ENVIRONMENT,
        "_APP_ENV is neither production nor development, and counts as development.",
        f"Did you mean {similar[0]}?" if similar else "For trusted certificates set _APP_ENV=production",
    )
