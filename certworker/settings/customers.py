"""
The settings of customers' domains.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from certworker.settings.ask import AskRules
from certworker.settings.fields import SettingGroup, setting
from certworker.settings.parsers import LowerCase


class CustomerSettings(SettingGroup):
    """
    How certworker checks the domains of customers.
    """

    #: How a tenant proves that it owns a name before the first order.
    ownership: Annotated[Literal["off", "txt"], LowerCase] = setting(
        "CERTWORKER_OWNERSHIP", "off or txt", "off"
    )
    #: Whether names in service that point elsewhere on three consecutive days are no longer renewed.
    moved_check: Annotated[Literal["on", "off"], LowerCase] = setting(
        "CERTWORKER_MOVED_CHECK", "on or off", "on"
    )
    #: The names that a proxy may serve although certworker does not know them yet.
    ask_allow: Annotated[AskRules, BeforeValidator(AskRules.parse)] = setting(
        "CERTWORKER_ASK_ALLOW",
        "suffixes and at most one URL, separated by commas, for example shops.example.com or "
        "https://platform.example.com/allowed",
        AskRules(),
        in_file=True,
    )
