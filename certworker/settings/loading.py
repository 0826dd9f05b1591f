"""
Reads the settings from an environment and its secret files, and reports invalid and suspicious variables.

All invalid variables are reported together, each with the allowed values. The report does not contain the
given values, because an environment contains passwords, and users attach logs to bug reports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource

from certworker.errors import printable
from certworker.errors.config import InvalidSettings
from certworker.hosts import WEB_PORTS, web_url_in
from certworker.settings.fields import (
    ALL,
    SecretFile,
    SettingGroup,
    Unusable,
    UnusableFile,
    declared,
    file_variable,
    groups_in,
    may_be_in_file,
)
from certworker.settings.settings import Settings
from certworker.variables import IN_A_FILE, bare

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

PREFIX = "CERTWORKER_"
ENVIRONMENT = "_APP_ENV"
ENVIRONMENTS = ("production", "development")

#: Kubernetes sets these variables in the pods of a namespace that has a service with the name `certworker`.
SERVICE = re.compile(r"CERTWORKER_(SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\w+)")

#: The minimum similarity of a suggested word. The similarity of `prod` and `production` is 0.57, and that of
#: `dev` and `development` is 0.43.
LEAST_LIKENESS = 0.4
#: Names of variables are long and share prefixes, so they need a higher minimum.
LEAST_LIKENESS_OF_NAMES = 0.75

#: The maximum number of warnings.
MOST_WARNINGS = 20

PROXY_SUFFIX = "_proxy"
PROXY_ALLOWED = (
    "http://HOST:PORT or https://HOST:PORT, with USER:PASSWORD@ before HOST if the proxy requires it"
)
#: urllib3 needs another library for SOCKS.
SOCKS = "; SOCKS is not supported"


#: The variable of each field. In an error about a default, pydantic names the field instead of the variable.
VARIABLES = {name: variable for name, variable, _ in declared(Settings)}
ALLOWED = {variable: str(field.description) for _, variable, field in declared(Settings)}
IN_FILES = frozenset(variable for _, variable, field in declared(Settings) if may_be_in_file(field))
SECRETS = tuple(variable for _, variable, field in declared(Settings) if "SecretStr" in str(field.annotation))

#: Variables of dns-lexicon for the paths of files that dns-lexicon reads.
PATHS_OF_LEXICON = frozenset(
    f"LEXICON_OCI_{option}_FILE" for option in ("AUTH_CONFIG", "AUTH_KEY", "CONFIG", "KEY")
)


class Environment(EnvSettingsSource):
    """
    The settings source: an environment, and the secret files that it names.

    An empty variable means its default, because Compose passes unset variables as empty ones. Spaces and
    quotes around a value are removed, except from passwords and from the variables of dns-lexicon.
    """

    def __init__(self, group: type[SettingGroup], environ: Mapping[str, str]) -> None:
        # The base class uses only the fields and the configuration of the model.
        super().__init__(cast("type[BaseSettings]", group), case_sensitive=True)
        self._group, self._environ = group, environ
        self.env_vars = {name: text for name, value in environ.items() if (text := bare(name, value))}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """
        Return the value of *field* (a text, a file, a mapping of both, or None), its variable, and whether it
        is complex.
        """
        value, key, is_complex = super().get_field_value(field, field_name)
        if key.endswith(ALL):
            return self._all(key.removesuffix(ALL)) or None, key, is_complex
        if may_be_in_file(field) and (path := self.env_vars.get(file_variable(key))):
            value = SecretFile(key, path, is_second=value is not None)
        return value, key, is_complex

    def _all(self, beginning: str) -> dict[str, str | SecretFile]:
        """
        Return the variables with the prefix *beginning*, each with its text or its file.
        """
        own = re.compile(rf"{beginning}[A-Z0-9_]+")
        found: dict[str, str | SecretFile] = {}
        for name, text in sorted(self.env_vars.items()):
            variable = name.removesuffix(IN_A_FILE)
            if not text or not own.fullmatch(variable):
                continue
            if variable == name or name in PATHS_OF_LEXICON:
                found[name] = text
            else:
                found[variable] = SecretFile(variable, text, is_second=variable in found)
        return found

    def __call__(self) -> dict[str, Any]:
        """
        Return the values for the model, by variable, and those of its groups.
        """
        below = {name: Environment(group, self._environ)() for name, group in groups_in(self._group)}
        return super().__call__() | below


def load(environ: Mapping[str, str]) -> Settings:
    """
    Return the settings in *environ*, and in the secret files that it names.

    Raises:
        InvalidSettings: A variable is invalid. The error names each one with the allowed values.
    """
    findings: dict[str, str] = {}
    settings = None
    try:
        settings = Settings.model_validate(Environment(Settings, environ)())
    except ValidationError as error:
        for each in error.errors(include_input=False, include_url=False):
            # The default depends on another setting, which is invalid and has its own finding.
            if each["type"] != "default_factory_not_called":
                findings.setdefault(*_finding(each))
    wrong = [*findings.values(), *wrong_proxies(environ)]
    if wrong or settings is None:
        raise InvalidSettings(wrong)
    return settings


def variables() -> dict[str, str]:
    """
    Return the variables of all settings with fixed names, each with the allowed values.
    """
    found = {}
    for variable, allowed in ALLOWED.items():
        if not variable.endswith(ALL):
            found[variable] = allowed
            if variable in IN_FILES:
                found[file_variable(variable)] = _allowed_file(variable)
    return found


def secret_variables(environ: Mapping[str, str]) -> set[str]:
    """
    Return the variables with secrets: those with fixed names, and those in *environ* that match :data:`ALL`.
    """
    beginnings = tuple(variable.removesuffix(ALL) for variable in SECRETS if variable.endswith(ALL))
    more = {name.removesuffix(IN_A_FILE) for name in environ if name.startswith(beginnings)}
    return set(SECRETS) | more


def _finding(error: ErrorDetails) -> tuple[str, str]:
    """
    Return the variable of *error*, and a sentence about it.
    """
    cause = error.get("ctx", {}).get("error")
    # The groups precede the setting, and the members of a mapping follow it.
    *_, setting, variable = [None, *(VARIABLES.get(str(part), str(part)) for part in error["loc"])]
    if isinstance(cause, UnusableFile):
        return file_variable(variable), f"{file_variable(variable)} must be {_allowed_file(variable)}"
    allowed = ALLOWED.get(variable) or ALLOWED[str(setting)]
    reason = f"; {cause}" if isinstance(cause, Unusable) else ""
    return variable, f"{variable} must be {allowed}{reason}"


def _allowed_file(variable: str) -> str:
    return f"the path of a file that this user can read, and {variable} must be empty"


def wrong_proxies(environ: Mapping[str, str]) -> list[str]:
    """
    Return a sentence for each variable in *environ* whose proxy no connection can use.

    The connections to a CA read HTTP_PROXY, HTTPS_PROXY and ALL_PROXY (:mod:`certworker.acme.http_pool`), by
    the rules of urllib and requests. The name in lower case overrides the name in upper case, even if its
    value is empty. ALL_PROXY applies where one of the other two is missing. An overridden variable has no
    effect.
    """
    names = _proxy_variables(environ)
    used = {names.get(scheme) or names.get("all") for scheme in WEB_PORTS}
    return [
        f"{name} must be {PROXY_ALLOWED}{SOCKS if environ[name].lower().startswith('socks') else ''}"
        for name in sorted(filter(None, used))
        if not _is_usable_proxy(environ[name])
    ]


def _proxy_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """
    Return the name of the effective variable for each scheme and for `all`.
    """
    found = {name.lower(): name for name, value in environ.items() if value}
    for name, value in environ.items():
        if name.endswith(PROXY_SUFFIX) and not value:
            found.pop(name, None)
        elif name.endswith(PROXY_SUFFIX):
            found[name] = name
    return {name.removesuffix(PROXY_SUFFIX): found[name] for name in found if name.endswith(PROXY_SUFFIX)}


def _is_usable_proxy(value: str) -> bool:
    try:
        # Without a scheme, connections use http.
        url = web_url_in(value if "://" in value else f"http://{value}")
    except ValueError:
        return False
    return url.path in ("", "/") and not (url.query or url.fragment) and url.netloc.count("@") <= 1


@dataclass(frozen=True)
class EnvironmentWarning:
    """
    One suspicious variable.
    """

    variable: str
    message: str
    #: Empty for an unknown variable if no setting has a similar name.
    remedy: str

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()


def environment_warnings(environ: Mapping[str, str]) -> list[EnvironmentWarning]:
    """
    Return a warning for each suspicious variable in *environ*, at most :data:`MOST_WARNINGS`.

    No warning contains a value.

    A suspicious variable does not stop the worker. Without a warning, a misspelled name would silently select
    a default, for example the development CA.
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
        f"Did you mean {similar[0]}?" if similar else "For trusted certificates, set _APP_ENV=production",
    )
