"""
The parsers, which turn the text of a variable into the value of a setting.

A parser gets a string that is not empty, or the value of the previous parser. It raises only ValueError. The
message to the operator contains the text of an :class:`Unusable`.
"""

from __future__ import annotations

import os
import re
import ssl
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from certworker.domains import is_address, normalize
from certworker.errors import CertworkerError
from certworker.hosts import HttpAddress, host_and_port_in, host_in, port_in, web_url_in
from certworker.redis.url import RedisURL
from certworker.settings.ca import CaChoice
from certworker.settings.fields import Unusable
from certworker.settings.limits import grants_in
from certworker.settings.reload import LONGEST_SOCKET, Target, reloads_in
from certworker.variables import is_line

#: Let's Encrypt in production, otherwise the development CA.
AUTO = "auto"

DNS_PORT = 53
DOCKER_PORT = 2375

#: Characters that have another meaning in an e-mail address, or that need quotes (RFC 5322, section 3.2.3).
NOT_IN_A_MAILBOX = frozenset(' ()<>[]:;@\\,"')

Given = ParamSpec("Given")
Value = TypeVar("Value")


def reads_files(parse: Callable[Given, Value]) -> Callable[Given, Value]:
    """
    Return a version of *parse* that raises a ValueError instead of an OSError, so that the other settings are
    also parsed.
    """

    @wraps(parse)
    def wrapped(*values: Given.args, **named: Given.kwargs) -> Value:
        try:
            return parse(*values, **named)
        except OSError as error:
            raise Unusable(f"it cannot be read: {error.strerror or type(error).__name__}") from error

    return wrapped


def _is_production(text: str) -> bool:
    return text.lower() == "production"


def _line(text: str) -> str:
    if not is_line(text):
        raise Unusable("it has a line feed or another control character")
    return text


def _encoded_line(text: str) -> str:
    _line(unquote(text))
    return _line(text)


def _comma_list(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))


def _authorities(text: str) -> tuple[str, ...]:
    names = _comma_list(text)
    if not names:
        raise ValueError("no CA at all")
    for name in names:
        if name.lower() != AUTO:
            CaChoice.named(name)
    return names


def _address_or_off(text: str) -> HttpAddress | None:
    return None if text.lower() == "off" else HttpAddress.parse(text)


def _base64url(text: str) -> SecretStr:
    # CAs show the key with or without padding. Some use the alphabet with + and /.
    key = text.rstrip("=").replace("+", "-").replace("/", "_")
    if not re.fullmatch(r"[A-Za-z0-9_-]{2,}", key) or len(key) % 4 == 1:
        raise ValueError("not base64url")
    return SecretStr(key)


def _name_servers(text: str) -> tuple[tuple[str, int], ...]:
    if not (servers := tuple(map(_name_server, _comma_list(text)))):
        raise ValueError("no name server at all")
    return servers


def _name_server(text: str) -> tuple[str, int]:
    host, port = _server(text)
    return str(ip_address(host)), port


def _server(text: str) -> tuple[str, int]:
    bare = text.count(":") > 1 and not text.startswith("[")
    host, port = (host_in(text), DNS_PORT) if bare else host_and_port_in(text, DNS_PORT)
    if not port:
        raise ValueError("not a port")
    return host, port


def _mail_address(text: str) -> str:
    mailbox, at, domain = _line(text).rpartition("@")
    if (
        not (at and mailbox)
        or not NOT_IN_A_MAILBOX.isdisjoint(mailbox)
        or re.search(r"^\.|\.\.|\.$", mailbox)
    ):
        raise ValueError("not one plain address")
    try:
        # Every mail server accepts the ASCII form of a domain.
        name = normalize(domain, private=True)
    except CertworkerError as failure:
        # The message of the failure contains the domain, which is personal data.
        raise Unusable(f"its domain is invalid ({failure.code})") from None
    if is_address(name):
        raise ValueError("a domain, not an IP address")
    return f"{mailbox}@{name}"


def mail_addresses(text: str) -> tuple[str, ...]:
    """
    Return the e-mail addresses in *text*, which are separated by commas.

    Raises:
        ValueError: An address is invalid.
    """
    return tuple(map(_mail_address, _comma_list(text)))


def _web_url(text: str) -> str:
    web_url_in(_line(text))
    return text


def _engine(text: str) -> str:
    scheme, _, rest = _line(text).partition("://")
    if scheme == "unix" and rest.startswith("/"):
        if len(rest.encode()) > LONGEST_SOCKET:
            raise Unusable(f"the path of a Unix socket has at most {LONGEST_SOCKET} bytes")
        return text
    _, port = host_and_port_in(rest.removesuffix("/"), DOCKER_PORT)
    if scheme != "tcp" or not port:
        raise ValueError("neither unix nor tcp")
    return text


@reads_files
def _directory(path: Path) -> Path:
    directory = Path(_line(str(path))).absolute()
    # A missing directory is created later. fs.readonly reports a directory of another user.
    with suppress(FileNotFoundError, PermissionError):
        if not stat.S_ISDIR(directory.stat().st_mode):
            raise Unusable("it is not a directory")
    return directory


@reads_files
def _file(path: Path) -> Path:
    if not stat.S_ISREG(path.stat().st_mode):
        raise Unusable("it is not a regular file")
    with path.open("rb"):
        return path


@reads_files
def _program(path: Path) -> Path:
    if not Path(_line(str(path))).is_absolute():
        raise Unusable("the path is not absolute")
    if not stat.S_ISREG(path.stat().st_mode):
        raise Unusable("it is not a regular file")
    if not os.access(path, os.X_OK):
        raise Unusable("it is not executable for this user; run: chmod +x FILE")
    return path


@reads_files
def _ca_bundle(path: Path) -> Path:
    try:
        ssl.create_default_context(cafile=_file(path))
    except ssl.SSLError:
        # The file may be UTF-16, as Windows saves it, or DER, as some CAs offer it.
        pem = "openssl x509 -inform der -in FILE -out ca.pem"
        raise Unusable(
            f"the file has no certificate in PEM form; to convert one in DER form: {pem}"
        ) from None
    return path


@reads_files
def _limits(path: Path) -> Path:
    grants_in(_file(path))
    return path


@reads_files
def _redis_url(url: SecretStr) -> SecretStr:
    address = RedisURL.parse(url.get_secret_value())
    for file in address.files:
        with file.open("rb"):
            pass
    try:
        _load_for_tls(address.tls or {})
    except ssl.SSLError:
        raise Unusable("one of its files has no PEM certificate, or no PEM key without a password") from None
    return url


def _load_for_tls(options: Mapping[str, str | bool]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authorities := options.get("ssl_ca_certs"):
        context.load_verify_locations(str(authorities))
    if certificate := options.get("ssl_certfile"):
        key = options.get("ssl_keyfile")
        # Without this argument, OpenSSL asks for the password on the terminal.
        context.load_cert_chain(str(certificate), str(key) if key else None, password="")


def _directory_or_off(text: str) -> Path | None:
    return None if text.lower() == "off" else Path(text)


Production = Annotated[bool, BeforeValidator(_is_production)]
#: One line of any characters.
Line = Annotated[str, AfterValidator(_line)]
#: One line, which may be URL-encoded.
EncodedLine = Annotated[str, AfterValidator(_encoded_line)]
CommaList = Annotated[tuple[str, ...], BeforeValidator(_comma_list)]
AuthorityNames = Annotated[tuple[str, ...], BeforeValidator(_authorities)]
AddressOrOff = Annotated[HttpAddress | None, BeforeValidator(_address_or_off)]
#: A name or an address; its default port is that of DNS.
NameServer = Annotated[tuple[str, int], BeforeValidator(_server)]
NameServers = Annotated[tuple[tuple[str, int], ...], BeforeValidator(_name_servers)]
Base64Url = Annotated[SecretStr, BeforeValidator(_base64url)]
Directory = Annotated[Path, AfterValidator(_directory)]
DirectoryOrOff = Annotated[Directory | None, BeforeValidator(_directory_or_off)]
CaBundle = Annotated[Path, AfterValidator(_ca_bundle)]
Program = Annotated[Path, AfterValidator(_program)]
LimitsFile = Annotated[Path, AfterValidator(_limits)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
Reloads = Annotated[tuple[Target, ...], BeforeValidator(reloads_in)]
HostName = Annotated[str, AfterValidator(host_in)]
MailAddress = Annotated[str, AfterValidator(_mail_address)]
WebUrl = Annotated[str, AfterValidator(_web_url)]
EngineAddress = Annotated[str, AfterValidator(_engine)]
Port = Annotated[int, BeforeValidator(port_in)]
Slots = Annotated[int, Field(ge=1, le=1024)]
MetricsPerName = Annotated[int, Field(ge=0, le=50_000)]
Profile = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
LowerCase = BeforeValidator(str.lower)
