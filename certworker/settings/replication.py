"""
The settings of the replication to other hosts.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from certworker.settings.fields import SettingGroup, Unusable, setting

KEY_BYTES = 32


def _keys(text: str) -> list[str]:
    return [key.strip() for key in text.split(",") if key.strip()]


def _checked(secret: SecretStr) -> SecretStr:
    keys = _keys(secret.get_secret_value())
    for key in keys:
        try:
            is_key = len(urlsafe_b64decode(key)) == KEY_BYTES
        except ValueError:
            is_key = False
        if not is_key:
            raise Unusable("one of them is not a key")
    if not keys:
        raise Unusable("it has no key")
    return secret


class ReplicationSettings(SettingGroup):
    """
    The settings of the replication to other hosts.
    """

    #: The keys for what the hosts share through Redis: the first one encrypts, and any of them decrypts.
    #: None: no replication.
    key: Annotated[SecretStr, AfterValidator(_checked)] | None = setting(
        "CERTWORKER_REPLICATION_KEY",
        "a key from this command: certworker replication key; or several, separated by commas, of which the "
        "first encrypts",
        in_file=True,
    )

    @property
    def keys(self) -> list[str]:
        """
        Return the keys, of which the first one encrypts; none without replication.
        """
        return _keys(self.key.get_secret_value()) if self.key else []
