"""
The settings, read from an environment once, and frozen.

All wrong values are told together, each with what is allowed, and never with what was given: the
environment holds passwords, and logs are shown around.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from certworker.errors.config import InvalidSettings
from certworker.settings.parsers import Unusable, mail_addresses
from certworker.settings.proxies import wrong_proxies
from certworker.settings.settings import Settings
from certworker.variables import IN_A_FILE, bare, content_of, is_utf8

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

#: The contact; the first one that is set counts.
CONTACTS = ("_APP_EMAIL_CERTIFICATES", "_APP_SYSTEM_SECURITY_EMAIL_ADDRESS")

#: Each may stand in a file instead, as Docker mounts secrets; the variable with `_FILE` behind it names that.
SECRETS = (
    "_APP_REDIS_PASS",
    "CERTWORKER_REDIS_URL",
    "CERTWORKER_EAB_HMAC_KEY",
    "_APP_SMTP_PASSWORD",
    "CERTWORKER_NOTIFY_SECRET",
)


def load(environ: Mapping[str, str]) -> Settings:
    """
    The settings in *environ*, and in the files with secrets that it names.

    An empty variable means its default, as compose passes unset ones as empty; spaces and quotes
    around a value do not count.

    Raises:
        InvalidSettings: Names every wrong variable with what it allows.
    """
    allowed = variables()
    given: dict[str, Any] = {name: bare(name, value) for name, value in environ.items() if name in allowed}
    wrong = dict.fromkeys(_read_secrets(given), "")
    for name in [name for name, value in given.items() if not is_utf8(value)]:
        # What it means in bytes is not known; nothing could be sent, printed or stored.
        wrong[name] = "it is not UTF-8"
        del given[name]
    wrong.update(dict.fromkeys(_unreachable(given), "mail cannot be sent there, and _APP_SMTP_HOST is set"))
    settings = None
    try:
        settings = Settings(**{name: value for name, value in given.items() if value})
    except ValidationError as error:
        for each in error.errors(include_input=False):
            # A default that follows from another setting, which is the wrong one.
            if each["type"] != "default_factory_not_called":
                wrong.setdefault(_variable(str(each["loc"][0])), _reason(each))
    findings = [
        f"{name} must be {allowed[name]}" + (f"; {reason}" if reason else "")
        for name, reason in wrong.items()
        if name in allowed
    ]
    findings += wrong_proxies(environ)
    if findings or settings is None:
        raise InvalidSettings(findings)
    return settings


def variables() -> dict[str, str]:
    """
    Every variable that is read, with what it allows.
    """
    told = {}
    for field in Settings.model_fields.values():
        name = str(field.validation_alias)
        told[name] = str(field.description)
        if name in SECRETS:
            told[f"{name}{IN_A_FILE}"] = f"the path of a file that this user can read, and {name} empty"
    return told


def _read_secrets(given: dict[str, Any]) -> list[str]:
    """
    Put the content of each file with a secret into *given*, and return the variables that name none.
    """
    wrong = []
    for secret in SECRETS:
        path = given.pop(f"{secret}{IN_A_FILE}", "")
        if not path:
            continue
        content = ""
        with suppress(ValueError):
            content = content_of(path)
        if not content or given.get(secret):
            wrong.append(f"{secret}{IN_A_FILE}")
        given[secret] = bare(secret, content)
    return wrong


def _unreachable(given: Mapping[str, str]) -> list[str]:
    """
    The variable of the contact, if there is a mail server and no mail could be sent to the contact.
    """
    if not given.get("_APP_SMTP_HOST"):
        return []
    contact = next(filter(given.get, CONTACTS), None)
    try:
        mail_addresses(given[contact] if contact else "")
    except ValueError:
        return [str(contact)]
    return []


def _variable(place: str) -> str:
    # A default that does not fit is told by the name of its field.
    field = Settings.model_fields.get(place)
    return str(field.validation_alias) if field else place


def _reason(error: ErrorDetails) -> str:
    cause = error.get("ctx", {}).get("error")
    return str(cause) if isinstance(cause, Unusable) else ""
