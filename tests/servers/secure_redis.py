"""
A real redis-server that speaks TLS at a port of its own; the other one stays for whoever looks on.
"""

from __future__ import annotations

from pathlib import Path

from tests.servers.pebble import make_tls
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer


class SecureRedis(RedisServer):
    """
    One with TLS, and with the user `worker` whose password is `p@ss/word`.

    Attributes:
        ca_bundle: What its certificate is signed with.
        certificate: Its own; for a client that has to show one, too.
    """

    #: With the characters that a URL has a use for.
    access = "worker:p%40ss%2Fword"

    def __init__(self, directory: Path, host: str = "localhost") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        super().__init__(directory)
        self.tls_port = free_port()
        self.certificate, self.key = make_tls(directory, host)
        self.ca_bundle = directory / "root.pem"

    def start(self, *options: str) -> None:
        """
        Start it, with *options* of redis-server, and return when it answers.
        """
        tls = {
            "--tls-port": str(self.tls_port),
            "--tls-cert-file": str(self.certificate),
            "--tls-key-file": str(self.key),
            "--tls-ca-cert-file": str(self.ca_bundle),
        }
        user = ("--user", "worker", "on", ">p@ss/word", "~*", "&*", "+@all")
        demanded = () if "--tls-auth-clients" in options else ("--tls-auth-clients", "no")
        super().start(*(part for option in tls.items() for part in option), *user, *demanded, *options)

    def secure_url(self, **options: object) -> str:
        """
        Where it speaks TLS, with *options* after the question mark.
        """
        given = {"ssl_ca_certs": self.ca_bundle, **options}
        query = "&".join(f"{name}={value}" for name, value in given.items())
        return f"rediss://{self.access}@127.0.0.1:{self.tls_port}/0?{query}"
