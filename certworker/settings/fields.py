"""
The declaration of a setting: its variable, default and allowed values, and whether a file may contain it.

A group is a class of settings. A new group becomes a field of :class:`certworker.settings.Settings`. Reading,
failures, the list of variables, and suggestions for misspelled names follow from the declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsConfigDict

from certworker.variables import IN_A_FILE, bare, content_of, is_utf8

#: The end of a declared name that matches all variables with the same prefix.
ALL = "*"


class Unusable(ValueError):
    """
    A value is invalid. The text is a clause with the reason for the operator. It does not repeat a secret.
    """


class UnusableFile(ValueError):
    """
    A variable with `_FILE` names no readable file with a value, or the setting also has a value of its own.
    """


@dataclass(frozen=True)
class SecretFile:
    """
    The file that contains the value of a setting, as Docker mounts secrets.
    """

    #: The variable of the setting, without `_FILE`.
    variable: str
    path: str
    #: Whether the setting also has a value of its own.
    is_second: bool

    def read(self) -> str:
        """
        Return the value in the file.

        Raises:
            UnusableFile: The file cannot be read or has no value, or the setting also has a value of its own.
        """
        try:
            text = bare(self.variable, content_of(self.path))
        except ValueError:
            text = ""
        if self.is_second or not text:
            raise UnusableFile
        return text


def text_of(value: object) -> object:
    """
    Return the text of a variable, or of its file. Return any other value, such as a default, unchanged.

    Raises:
        UnusableFile: The file cannot be used, or the setting also has a value of its own.
        Unusable: The text is not UTF-8, so it could not be sent, printed or stored.
    """
    if isinstance(value, SecretFile):
        return value.read()
    if isinstance(value, str) and not is_utf8(value):
        raise Unusable("it is not UTF-8")
    return value


def setting(
    variable: str,
    allowed: str,
    default: Any = None,
    *,
    factory: Callable[[dict[str, Any]], Any] | None = None,
    checked: bool = False,
    in_file: bool = False,
) -> Any:
    """
    Declare a setting.

    Args:
        variable: Its name in the environment. If the name ends with :data:`ALL`, the setting is a mapping of
            all variables with this prefix.
        allowed: The allowed values, as the text after "must be" in a message.
        default: Its value if the variable is empty.
        factory: Returns the default, computed from the settings that are declared before this one.
        checked: Whether the default is also validated, because its validity depends on other settings.
        in_file: Whether a variable with the suffix `_FILE` may name a file with the value.
    """
    more: dict[str, Any] = {
        "validation_alias": variable,
        "description": allowed,
        "validate_default": checked,
        "json_schema_extra": {"in_file": in_file},
    }
    return Field(default_factory=factory, **more) if factory else Field(default, **more)


class SettingGroup(BaseModel):
    """
    Settings that belong together.
    """

    # The parsers read lists, which pydantic-settings would otherwise decode as JSON.
    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True, enable_decoding=False)

    @field_validator("*", mode="before")
    @classmethod
    def _has_a_text(cls, value: object) -> object:
        return text_of(value)


def groups_in(group: type[SettingGroup]) -> Iterator[tuple[str, type[SettingGroup]]]:
    """
    Yield the groups that are fields of *group*, with the names of the fields.
    """
    for name, field in group.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, SettingGroup):
            yield name, field.annotation


def declared(group: type[SettingGroup]) -> Iterator[tuple[str, str, FieldInfo]]:
    """
    Yield the name, the variable and the field of each setting of *group* and of the groups in it.
    """
    for name, field in group.model_fields.items():
        if isinstance(field.validation_alias, str):
            yield name, field.validation_alias, field
    for _, below in groups_in(group):
        yield from declared(below)


def may_be_in_file(field: FieldInfo) -> bool:
    """
    Return whether a file may contain the value of *field*.
    """
    return isinstance(field.json_schema_extra, dict) and bool(field.json_schema_extra.get("in_file"))


def file_variable(variable: str) -> str:
    """
    Return the variable that names the file with the value of *variable*.
    """
    return f"{variable}{IN_A_FILE}"
