"""
The settings of customers' domains.
"""

from __future__ import annotations

from typing import Annotated, Literal

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
    #: Whether names in service that point elsewhere for three days are no longer renewed.
    moved_check: Annotated[Literal["on", "off"], LowerCase] = setting(
        "CERTWORKER_MOVED_CHECK", "on or off", "on"
    )
