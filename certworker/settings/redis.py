"""
Where Redis is: in Appwrite's variables, or in one URL, which can say more.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from certworker.redis_address import RedisAddress
from certworker.settings.readings import HostName, Port


def _redis_url(url: SecretStr) -> SecretStr:
    for file in RedisAddress.parse(url.get_secret_value()).files:
        if not file.is_file():
            raise ValueError("a file that does not exist here")
    return url


class RedisSettings(BaseModel):
    """
    The part of the settings about Redis.
    """

    redis_host: HostName = Field(
        "redis", validation_alias="_APP_REDIS_HOST", description="a bare host name, for example redis"
    )
    redis_port: Port = Field(
        6379, validation_alias="_APP_REDIS_PORT", description="a number from 1 to 65535, for example 6379"
    )
    redis_user: str | None = Field(None, validation_alias="_APP_REDIS_USER", description="a user name")
    redis_password: SecretStr | None = Field(
        None, validation_alias="_APP_REDIS_PASS", description="a password"
    )
    #: Wins over the four above, which compose files pass on whether they are set or not.
    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = Field(
        None,
        validation_alias="CERTWORKER_REDIS_URL",
        description="redis://USER:PASSWORD@HOST:PORT/DB, rediss://… for TLS, or "
        "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB, with the special characters of a password "
        "percent-encoded (@ is %40), and name no file that is not here",
    )

    @property
    def redis(self) -> RedisAddress:
        """
        Where it is, and who we are to it.
        """
        if self.redis_url:
            return RedisAddress.parse(self.redis_url.get_secret_value())
        password = self.redis_password.get_secret_value() if self.redis_password else None
        return RedisAddress(((self.redis_host, self.redis_port),), self.redis_user, password)
