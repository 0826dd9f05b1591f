"""
Where Redis is: in Appwrite's variables, or in one URL, which can say more.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from certworker.redis.url import RedisURL
from certworker.settings.parsers import HostName, Line, Port, Unusable, reader


@reader
def _redis_url(url: SecretStr) -> SecretStr:
    address = RedisURL.parse(url.get_secret_value())
    for file in address.files:
        with file.open("rb"):
            pass
    try:
        _read_for_tls(address.tls or {})
    except ssl.SSLError:
        raise Unusable(
            "one of its files has no certificate or no key in PEM form without a password"
        ) from None
    return url


def _read_for_tls(options: Mapping[str, str | bool]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authorities := options.get("ssl_ca_certs"):
        context.load_verify_locations(str(authorities))
    if certificate := options.get("ssl_certfile"):
        key = options.get("ssl_keyfile")
        # Without a password of its own the library asks for one on the terminal.
        context.load_cert_chain(str(certificate), str(key) if key else None, password="")


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
    redis_user: Line | None = Field(None, validation_alias="_APP_REDIS_USER", description="a user name")
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
    def redis(self) -> RedisURL:
        """
        Where it is, and who we are to it.
        """
        if self.redis_url:
            return RedisURL.parse(self.redis_url.get_secret_value())
        password = self.redis_password.get_secret_value() if self.redis_password else None
        return RedisURL(((self.redis_host, self.redis_port),), self.redis_user, password)
