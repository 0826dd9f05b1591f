"""
Real redis-servers with TLS, at a second port or at the only port.
"""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile

import redis

from tests.servers.pebble import make_tls
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer

#: A user with all rights, besides the default user.
USER = ("--user", "worker", "on", ">p@ss/word", "~*", "&*", "+@all")

#: The user and the password in a URL, with escaped special characters.
ACCESS = "worker:p%40ss%2Fword"


class Tls:
    """
    A certificate for *host* and *address*, with its key and the CA bundle of its owner.
    """

    def __init__(self, directory: Path, host: str = "localhost", address: str = "127.0.0.1") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key = make_tls(directory, host, address)
        #: The root of the certificate, which at first is the only one in the bundle.
        self.root = directory / "root.pem"
        self.ca_bundle = directory / "trusted.pem"
        copyfile(self.root, self.ca_bundle)

    def trust(self, other: Tls) -> None:
        """
        Add the root of *other* to the bundle.
        """
        with self.ca_bundle.open("ab") as bundle:
            bundle.write(other.root.read_bytes())

    @property
    def settings(self) -> dict[str, str]:
        """
        Return the settings of redis-server, without client certificates.
        """
        return {
            "tls-cert-file": str(self.certificate),
            "tls-key-file": str(self.key),
            "tls-ca-cert-file": str(self.ca_bundle),
            "tls-auth-clients": "no",
        }

    @property
    def options(self) -> tuple[str, ...]:
        """
        Return the same settings as command-line options.
        """
        return tuple(part for name, value in self.settings.items() for part in (f"--{name}", value))


class OnlyTlsRedis(RedisServer):
    """
    A Redis that uses only TLS, also to its replica, with the user `worker`.
    """

    def __init__(self, directory: Path, tls: Tls) -> None:
        super().__init__(directory)
        self.tls = tls

    @property
    def url(self) -> str:
        """
        The URL of Redis.
        """
        return f"rediss://127.0.0.1:{self.port}/0?ssl_ca_certs={self.tls.ca_bundle}"

    @property
    def listening(self) -> tuple[str, ...]:
        """
        The options of redis-server for its port.
        """
        port = ("--port", "0", "--tls-port", str(self.port))
        return (*port, *self.tls.options, "--tls-replication", "yes", *USER)

    def client(self) -> redis.Redis:
        """
        Return a new connection.
        """
        return redis.Redis(
            host="127.0.0.1",
            port=self.port,
            password=self.password,
            ssl=True,
            ssl_ca_certs=str(self.tls.ca_bundle),
            ssl_check_hostname=False,
        )


class SecureRedis(RedisServer):
    """
    A Redis with an additional TLS port, and with the user `worker` and the password `p@ss/word`.

    Attributes:
        ca_bundle: The root of its certificate.
        certificate: Its certificate, which a test also uses as a client certificate.
    """

    access = ACCESS

    def __init__(self, directory: Path, host: str = "localhost") -> None:
        self.tls = Tls(directory, host)
        super().__init__(directory)
        self.tls_port = free_port()
        self.certificate, self.key, self.ca_bundle = self.tls.certificate, self.tls.key, self.tls.ca_bundle

    def start(self, *options: str) -> None:
        """
        Start Redis with *options* of redis-server, and wait until it answers.
        """
        super().start("--tls-port", str(self.tls_port), *self.tls.options, *USER, *options)

    def secure_url(self, **options: object) -> str:
        """
        Return the URL of the TLS port, with *options* as its query.
        """
        given = {"ssl_ca_certs": self.ca_bundle, **options}
        query = "&".join(f"{name}={value}" for name, value in given.items())
        return f"rediss://{self.access}@127.0.0.1:{self.tls_port}/0?{query}"
