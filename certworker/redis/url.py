"""
The address of Redis as a URL.

::

    redis://[USER:PASSWORD@]HOST[:PORT][/DB]
    rediss://…                                      the same over TLS
    redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]/SERVICE[/DB]
    rediss+sentinel://…                             the same over TLS, also to the Sentinels

redis-py defines the first two schemes, but none for Sentinel. `redis+sentinel` is also the scheme of
redisvl, Prefect, limits, and Redis-Sentinel-Url; `rediss+sentinel` is also that of Prefect. USER and PASSWORD
are for Redis. The options `sentinel_username` and `sentinel_password` are for Sentinels with authentication.

Other programs import this module together with the producer, so it imports few modules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from certworker.hosts import host_and_port_in, with_port

PORT = 6379
SENTINEL_PORT = 26379

#: The options after the question mark. Those for TLS have the names of redis-py. `ssl_cert_reqs=none` is not
#: supported: set `ssl_ca_certs` to the self-signed certificate of Redis instead.
FILES = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
CHECK_HOST = "ssl_check_hostname"
SENTINEL_ACCESS = {"sentinel_username": "username", "sentinel_password": "password"}

_URL = re.compile(
    r"(?P<scheme>rediss?)(?P<sentinel>\+sentinel)?://"
    r"(?:(?P<user>[^/?#:]*)(?::(?P<password>[^/?#]*))?@)?"
    r"(?P<hosts>[^/?#@]+)(?:/(?P<path>[^?#]*))?(?:\?(?P<query>[^#]*))?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True)
class RedisURL:
    """
    The address of Redis and the credentials. The string form contains no secret.

    Attributes:
        hosts: The host and port of Redis, or of each Sentinel if there is a *service*.
        username: The user of Redis; None without one.
        password: The password of that user; None without one.
        database: The number of the database.
        service: The name under which the Sentinels know the primary; None without Sentinels.
        tls: The options of redis-py for TLS; None without TLS.
        sentinel_access: The credentials for the Sentinels.
    """

    hosts: tuple[tuple[str, int], ...]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    service: str | None = None
    tls: Mapping[str, str | bool] | None = None
    sentinel_access: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str) -> RedisURL:
        """
        Return the address in *text*. The default port is 6379, or 26379 for a Sentinel.

        Raises:
            ValueError: *text* is invalid. The message omits the text, which may contain a password.
        """
        url = _URL.fullmatch(text)
        if url is None:
            raise ValueError("not a Redis URL")
        sentinel, secure = bool(url["sentinel"]), url["scheme"].lower() == "rediss"
        hosts = tuple(_host(part, SENTINEL_PORT if sentinel else PORT) for part in url["hosts"].split(","))
        if len(hosts) > 1 and not sentinel:
            raise ValueError("several hosts without Sentinel")
        service, database = _path(url["path"] or "", sentinel)
        tls, sentinel_access = _options(url["query"] or "", sentinel, secure)
        return cls(
            hosts,
            unquote(url["user"] or "") or None,
            unquote(url["password"] or "") or None,
            database,
            service,
            tls,
            sentinel_access,
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """
        Return the paths in the options: the CA's certificate, the client's certificate, and its key.
        """
        return tuple(Path(str(value)) for option, value in (self.tls or {}).items() if option in FILES)

    def __str__(self) -> str:
        hosts = ",".join(with_port(*each) for each in self.hosts)
        return f"{self.service} (Sentinel {hosts})" if self.service else hosts


def _host(text: str, otherwise: int) -> tuple[str, int]:
    host, port = host_and_port_in(text, otherwise)
    if not port:
        raise ValueError("not a port")
    return host, port


def _path(path: str, sentinel: bool) -> tuple[str | None, int]:
    service = None
    if sentinel:
        service, _, path = path.partition("/")
        if not re.fullmatch(r"[A-Za-z0-9._-]+", service):
            raise ValueError("not the name of a Sentinel service")
    if not re.fullmatch(r"[0-9]{0,5}", path):
        raise ValueError("not a database number")
    return service, int(path or 0)


def _options(query: str, sentinel: bool, secure: bool) -> tuple[dict[str, str | bool] | None, dict[str, str]]:
    tls: dict[str, str | bool] = {}
    access = {}
    for option, value in parse_qsl(query, keep_blank_values=True):
        if secure and option in FILES and value:
            tls[option] = value
        elif secure and option == CHECK_HOST and value.lower() in ("true", "false"):
            tls[option] = value.lower() == "true"
        elif sentinel and option in SENTINEL_ACCESS and value:
            access[SENTINEL_ACCESS[option]] = value
        else:
            raise ValueError("an unknown option, or an option without a valid value")
    if "ssl_keyfile" in tls and "ssl_certfile" not in tls:
        raise ValueError("a key without its certificate")
    return tls if secure else None, access
