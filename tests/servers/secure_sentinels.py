"""
Three real Sentinels, a primary and its replica. All of them use only TLS.
"""

from __future__ import annotations

from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers.redis import RedisServer
from tests.servers.secure_redis import ACCESS, OnlyTlsRedis, Tls
from tests.servers.sentinels import SERVICE, Sentinels


class SecureSentinels(Sentinels):
    """
    Sentinels whose certificate has another root than the certificate of Redis. `tls` is the certificate of
    the Sentinels. Its bundle has both roots.

    Args:
        address: The address in the certificates. All servers listen at 127.0.0.1.
    """

    def __init__(
        self,
        directory: Path,
        password: str | None = None,
        sentinel_password: str | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        self.tls = Tls(directory / "tls" / "sentinels", address=address)
        self.redis_tls = Tls(directory / "tls" / "redis", address=address)
        self.tls.trust(self.redis_tls)
        self.redis_tls.trust(self.tls)
        super().__init__(directory, password, sentinel_password)

    @property
    def url(self) -> str:
        """
        Return the URL of the primary for a worker with the user `worker`.
        """
        return self.url_with(ssl_ca_certs=self.tls.ca_bundle)

    def url_with(self, **options: object) -> str:
        """
        Return the URL with *options* as its query. It has a bundle only if *options* have one.
        """
        if self._sentinel_password:
            options["sentinel_password"] = self._sentinel_password
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"rediss+sentinel://{ACCESS}@{self.hosts}/{SERVICE}/0?{query}"

    def sentinel(self, port: int) -> redis.Redis:
        """
        Return a connection to the Sentinel at *port*.
        """
        return redis.Redis(
            port=port,
            password=self._sentinel_password,
            retry=Retry(NoBackoff(), 0),
            ssl=True,
            ssl_ca_certs=str(self.tls.ca_bundle),
            ssl_check_hostname=False,
        )

    def _redis(self, directory: Path) -> RedisServer:
        return OnlyTlsRedis(directory, self.redis_tls)

    def _listening(self, port: int) -> list[str]:
        tls = {"port": "0", "tls-port": str(port), "tls-replication": "yes", **self.tls.settings}
        return [f"{name} {value}" for name, value in tls.items()]
