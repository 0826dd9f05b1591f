"""
The settings of the page and the API: where they listen, and who may use them.
"""

from __future__ import annotations

import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, cast, get_args

from pydantic import AfterValidator, BeforeValidator

from certworker.hosts import HttpAddress
from certworker.settings.fields import SettingGroup, Unusable, setting
from certworker.settings.parsers import AddressOrOff, reads_files

#: `read` shows the names, `operate` also requests, renews and removes them, and `admin` also imports
#: certificates and shows the jobs. Only `proxy` gets private keys.
Role = Literal["read", "operate", "admin", "proxy"]
ROLES: tuple[Role, ...] = get_args(Role)
PROXY: Role = "proxy"
#: The roles of users, each of which includes those before it.
USER_ROLES: tuple[Role, ...] = tuple(role for role in ROLES if role != PROXY)

Network = IPv4Network | IPv6Network

#: The loopback addresses of this machine.
LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]{1,100}){1,10}/?")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")

#: Headers that a client, or any proxy, sets for another purpose.
NOT_A_USER = frozenset(
    {"authorization", "cookie", "forwarded", "host", "origin", "referer", "user-agent", "via"}
)


@dataclass(frozen=True)
class TrustedHeader:
    """
    The header in which a proxy names the user that it has authenticated.

    Attributes:
        name: The name of the header.
        role: The role of each user that the header names.
    """

    name: str
    role: Role


def _header(text: str) -> TrustedHeader:
    name, colon, role = text.partition(":")
    if not _HEADER.fullmatch(name) or name.lower() in NOT_A_USER or name.lower().startswith("x-forwarded-f"):
        raise ValueError("not the name of such a header")
    if colon and role not in USER_ROLES:
        raise ValueError("not a role")
    return TrustedHeader(name, cast("Role", role or "read"))


def _base_path(text: str) -> str:
    path = text.rstrip("/")
    if path and (not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/"))):
        raise ValueError("not a path")
    return path


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(each.strip()) for each in text.split(","))
    except ValueError:
        raise Unusable("one of them is not an address, or has host bits set") from None


@reads_files
def _tokens_file(path: Path) -> Path:
    if not path.is_absolute():
        raise Unusable("the path is not absolute")
    # `certworker token create` creates a missing file.
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.stat().st_mode):
            raise Unusable("it is not a regular file")
        with path.open("rb"):
            pass
    return path


class WebSettings(SettingGroup):
    """
    The settings of the page and the API.
    """

    #: None: neither the page nor the API.
    address: AddressOrOff = setting(
        "CERTWORKER_WEB_ADDRESS",
        "an address with a port, for example 127.0.0.1:8081; or off",
        HttpAddress("127.0.0.1", 8081),
    )
    #: The path below which a reverse proxy serves the page, without a slash at its end.
    path: Annotated[str, AfterValidator(_base_path)] = setting(
        "CERTWORKER_WEB_PATH", "a path, for example /certworker", ""
    )
    #: The file with the hashes of the tokens; None: a file in the state directory.
    tokens_file: Annotated[Path, AfterValidator(_tokens_file)] | None = setting(
        "CERTWORKER_TOKENS_FILE",
        "the absolute path of a file that this user can read, for example /storage/state/tokens.json",
    )
    #: Trusted only in requests from the proxies below.
    trusted_header: Annotated[TrustedHeader, BeforeValidator(_header)] | None = setting(
        "CERTWORKER_WEB_TRUSTED_HEADER",
        f"NAME or NAME:ROLE, with the role {', '.join(USER_ROLES[:-1])} or {USER_ROLES[-1]}, for example "
        "Remote-User:operate",
    )
    proxies: Annotated[tuple[Network, ...], BeforeValidator(_networks)] = setting(
        "CERTWORKER_WEB_PROXIES",
        "addresses or networks separated by commas, for example 127.0.0.1, 172.16.0.0/12",
        LOOPBACK,
    )
