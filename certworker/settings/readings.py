"""
How the text of a variable becomes a setting.

A reader gets the text without the spaces and quotes around it, and never an empty one.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from certworker.settings.choices import AuthorityChoice, HttpAddress

#: Let's Encrypt in production, else the development CA.
AUTO = "auto"

DNS_PORT = 53


def _is_production(text: str) -> bool:
    return text.lower() == "production"


def _comma_list(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))


def _authorities(text: str) -> tuple[str, ...]:
    names = _comma_list(text)
    if not names:
        raise ValueError("no CA at all")
    for name in names:
        if name.lower() != AUTO:
            AuthorityChoice.named(name)
    return names


def _address_or_off(text: str) -> HttpAddress | None:
    return None if text.lower() == "off" else HttpAddress.parse(text)


def _base64url(text: str) -> SecretStr:
    # CAs show it with or without the padding, and some in the alphabet with + and /.
    key = text.rstrip("=").replace("+", "-").replace("/", "_")
    if not re.fullmatch(r"[A-Za-z0-9_-]{2,}", key) or len(key) % 4 == 1:
        raise ValueError("not base64url")
    return SecretStr(key)


def _name_servers(text: str) -> tuple[tuple[str, int], ...]:
    if not (servers := tuple(map(_name_server, _comma_list(text)))):
        raise ValueError("no name server at all")
    return servers


def _name_server(text: str) -> tuple[str, int]:
    try:
        return str(ip_address(text)), DNS_PORT
    except ValueError:
        at = HttpAddress.parse(text)
        return str(ip_address(at.host)), at.port


def _directory_or_off(text: str) -> Path | None:
    return None if text.lower() == "off" else Path(text)


Production = Annotated[bool, BeforeValidator(_is_production)]
CommaList = Annotated[tuple[str, ...], BeforeValidator(_comma_list)]
AuthorityNames = Annotated[tuple[str, ...], BeforeValidator(_authorities)]
AddressOrOff = Annotated[HttpAddress | None, BeforeValidator(_address_or_off)]
NameServers = Annotated[tuple[tuple[str, int], ...], BeforeValidator(_name_servers)]
Base64Url = Annotated[SecretStr, BeforeValidator(_base64url)]
Directory = Annotated[Path, AfterValidator(Path.absolute)]
DirectoryOrOff = Annotated[Directory | None, BeforeValidator(_directory_or_off)]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]+$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Slots = Annotated[int, Field(ge=1, le=1024)]
Profile = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
LowerCase = BeforeValidator(str.lower)
