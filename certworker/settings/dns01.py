"""
The settings of DNS-01: the DNS providers, and their variables.

The variables of a provider, except those of dns-lexicon, have the same names as in lego and Traefik. The
variables of a provider that is not chosen are ignored: other programs may use the same names.
"""

from __future__ import annotations

import json
import re
import stat
from base64 import b64decode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from certworker.domains.address import is_public, read_address
from certworker.domains.suffixes import PRIVATE_SUFFIXES
from certworker.hosts import web_url_in
from certworker.settings.dns_providers import Dns01Names, ProviderChoice, ProviderKind, names_in, providers_in
from certworker.settings.fields import ALL, SettingGroup, Unusable, setting, text_of
from certworker.settings.parsers import CommaList, Line, NameServer, Program, reads_files
from certworker.storage import durable

_KEY_NAME = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")

#: The algorithms of TSIG (RFC 8945, section 6) in dnspython, by the names that lego accepts.
HMAC_MD5 = "hmac-md5.sig-alg.reg.int"
ALGORITHMS = {"hmac-md5": HMAC_MD5, HMAC_MD5: HMAC_MD5} | {
    name: name for name in ("hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512")
}

#: An account of acme-dns takes about 300 bytes.
LARGEST_ACCOUNTS_FILE_BYTES = 4 * 1024 * 1024

Value = TypeVar("Value")

#: The provider that reads each setting, and whether it requires the setting.
READERS: Mapping[str, tuple[ProviderKind, bool]] = {
    "rfc2136_nameserver": ("rfc2136", True),
    "rfc2136_tsig_key": ("rfc2136", False),
    "rfc2136_tsig_secret": ("rfc2136", False),
    "rfc2136_tsig_algorithm": ("rfc2136", False),
    "exec_path": ("exec", True),
    "httpreq_endpoint": ("httpreq", True),
    "httpreq_mode": ("httpreq", False),
    "httpreq_username": ("httpreq", False),
    "httpreq_password": ("httpreq", False),
    "acme_dns_api_base": ("acme-dns", True),
    "acme_dns_storage_path": ("acme-dns", True),
    "lexicon": ("lexicon", False),
}

#: Pairs of settings that require each other. The second one of a pair is declared first.
PAIRS = {"rfc2136_tsig_secret": "rfc2136_tsig_key", "httpreq_password": "httpreq_username"}


def _tsig_key(text: str) -> str:
    if not _KEY_NAME.fullmatch(text) or len(text) > 253:
        raise ValueError("not a name")
    return text.removesuffix(".")


def _base64(text: str) -> SecretStr:
    # The decoder may return 0 bytes without an error.
    if not b64decode(text, validate=True):
        raise ValueError("empty")
    return SecretStr(text)


def _algorithm(text: str) -> str:
    if algorithm := ALGORITHMS.get(text.lower().removesuffix(".")):
        return algorithm
    raise ValueError("not an algorithm")


@reads_files
def _script(path: Path) -> Path:
    if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Unusable("other users may change it; run: chmod go-w FILE")
    return path


def _endpoint(text: str) -> str:
    url = web_url_in(text)
    if "@" in url.netloc:
        raise Unusable("it must not have a user or a password")
    if url.query or url.fragment:
        raise Unusable("it must not have a query or a fragment")
    if url.scheme == "http" and not _is_internal(str(url.hostname)):
        raise Unusable("http would send the credentials over a public network: use https")
    return text.rstrip("/")


def _is_internal(host: str) -> bool:
    if address := read_address(host):
        return not is_public(address)
    if "." not in host:
        # Compose and the hosts file define names without a dot. Resolvers read a number as an address.
        return not host[0].isdigit()
    return host.removesuffix(".").rpartition(".")[2] in PRIVATE_SUFFIXES


@reads_files
def _accounts(path: Path) -> Path:
    if not path.is_absolute():
        raise Unusable("the path is not absolute")
    try:
        content = json.loads(durable.read(path, LARGEST_ACCOUNTS_FILE_BYTES))
    except FileNotFoundError:
        # The first registration creates the file.
        if path.parent.is_dir():
            return path
        raise
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise Unusable("the file is not a JSON object")
    return path


Providers = Annotated[tuple[ProviderChoice, ...], BeforeValidator(providers_in)]
Names = Annotated[Dns01Names, BeforeValidator(names_in)]
Seconds = Annotated[int, Field(ge=1, le=3600)]
TsigKey = Annotated[Line, AfterValidator(_tsig_key)]
Base64 = Annotated[SecretStr, BeforeValidator(_base64)]
Algorithm = Annotated[str, BeforeValidator(_algorithm)]
Script = Annotated[Program, AfterValidator(_script)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
AccountsFile = Annotated[Path, AfterValidator(_accounts)]
#: Each value may be in a file.
Secrets = dict[str, Annotated[SecretStr, BeforeValidator(text_of)]]


def of_provider(variable: str, allowed: str, default: Any = None) -> Any:
    """
    Declare a setting that only one kind of provider reads. As in lego, a file may contain its value.
    """
    return setting(variable, allowed, default, checked=True, in_file=True)


class Dns01Settings(SettingGroup):
    """
    The settings of DNS-01.
    """

    #: Without a provider, there is no DNS-01.
    providers: Providers = setting(
        "CERTWORKER_DNS01_PROVIDER",
        "rfc2136, exec, httpreq, acme-dns or lexicon:NAME, for example lexicon:cloudflare; or several, "
        "separated by commas, each with a zone, for example rfc2136@example.com,exec@example.net",
        default=(),
    )
    names: Names = setting(
        "CERTWORKER_DNS01_NAMES",
        "wildcards, all, or suffixes separated by commas, for example internal.example.com",
        Dns01Names(),
    )
    #: The seconds within which all authoritative servers must return a record.
    timeout: Seconds = setting(
        "CERTWORKER_DNS01_TIMEOUT", "a number of seconds from 1 to 3600, for example 120", 120
    )
    #: The domains under which Appwrite creates names, as the operator wrote them.
    function_domains: CommaList = setting(
        "_APP_DOMAIN_FUNCTIONS",
        "names separated by commas, for example functions.example.org",
        default=(),
    )
    site_domains: CommaList = setting(
        "_APP_DOMAIN_SITES", "names separated by commas, for example sites.example.org", default=()
    )

    rfc2136_nameserver: NameServer | None = of_provider(
        "RFC2136_NAMESERVER",
        "the name server that accepts updates, for example ns1.example.com or [2001:db8::53]:5353",
    )
    #: None if the name server allows updates by the address of the client.
    rfc2136_tsig_key: TsigKey | None = of_provider(
        "RFC2136_TSIG_KEY", "the name of the TSIG key, for example acme.example.com"
    )
    rfc2136_tsig_secret: Base64 | None = of_provider(
        "RFC2136_TSIG_SECRET", "the secret of the TSIG key in base64, and RFC2136_TSIG_KEY must be set"
    )
    #: As RFC 8945 names it, without the final dot.
    rfc2136_tsig_algorithm: Algorithm = of_provider(
        "RFC2136_TSIG_ALGORITHM",
        "hmac-md5, hmac-sha1, hmac-sha224, hmac-sha256, hmac-sha384 or hmac-sha512",
        "hmac-sha256",
    )

    #: The worker runs the program as PATH present|cleanup FQDN VALUE.
    exec_path: Script | None = of_provider(
        "EXEC_PATH",
        "the absolute path of a program that this user may run, and that only its owner may change",
    )

    httpreq_endpoint: Endpoint | None = of_provider(
        "HTTPREQ_ENDPOINT", "a URL that begins with https://, or with http:// and an internal name or address"
    )
    httpreq_mode: Annotated[Literal["", "RAW"], BeforeValidator(str.upper)] = of_provider(
        "HTTPREQ_MODE", "RAW, or empty", ""
    )
    httpreq_username: Line | None = of_provider("HTTPREQ_USERNAME", "a user name")
    httpreq_password: SecretStr | None = of_provider(
        "HTTPREQ_PASSWORD", "a password, and HTTPREQ_USERNAME must be set"
    )

    acme_dns_api_base: Endpoint | None = of_provider(
        "ACME_DNS_API_BASE",
        "the URL of acme-dns, which begins with https://, or with http:// and an internal name or address",
    )
    #: If the file is missing, the first registration creates it.
    acme_dns_storage_path: AccountsFile | None = of_provider(
        "ACME_DNS_STORAGE_PATH",
        "the absolute path of the JSON file with the accounts, for example /storage/state/acme-dns.json",
    )

    #: The variables of dns-lexicon, by name. A variable is passed only to the process that uses it.
    lexicon: Secrets = setting(
        "LEXICON_*",
        "the credentials that the provider needs, for example LEXICON_CLOUDFLARE_AUTH_TOKEN",
        default={},
        checked=True,
        in_file=True,
    )

    @field_validator(*READERS, mode="wrap")
    @classmethod
    def _of_a_chosen_provider(
        cls, value: Any, parse: ModelWrapValidatorHandler[Any], known: ValidationInfo
    ) -> Any:
        name = str(known.field_name)
        kind, required = READERS[name]
        chosen = [choice for choice in known.data.get("providers", ()) if choice.kind == kind]
        if not chosen:
            return cls.model_fields[name].default
        if required and value is None:
            raise Unusable(f"CERTWORKER_DNS01_PROVIDER has {kind}")
        return parse(_of_lexicon(chosen, value or {}) if kind == "lexicon" else value)

    @field_validator(*PAIRS)
    @classmethod
    def _is_a_pair(cls, value: Any, known: ValidationInfo) -> Any:
        other = PAIRS[str(known.field_name)]
        # An invalid setting has its own failure.
        if other in known.data and (value is None) != (known.data[other] is None):
            raise ValueError("one is invalid without the other")
        return value

    @property
    def is_set(self) -> bool:
        """
        Return whether a provider is set. Without one, no CA can validate wildcards.
        """
        return bool(self.providers)

    @property
    def own_wildcards(self) -> dict[str, str]:
        """
        Return the wildcards of Appwrite's functions and sites, each with its variable.

        Without a provider, there are none.
        """
        found: dict[str, str] = {}
        for variable, domains in (
            ("_APP_DOMAIN_FUNCTIONS", self.function_domains),
            ("_APP_DOMAIN_SITES", self.site_domains),
        ):
            for domain in domains if self.is_set else ():
                found.setdefault(f"*.{domain.removeprefix('*.')}", variable)
        return found

    def uses_dns01(self, name: str) -> bool:
        """
        Return whether the normalized *name* uses DNS-01 instead of HTTP-01.
        """
        return self.is_set and self.names.include(name)

    def lexicon_variables(self, choice: ProviderChoice) -> dict[str, SecretStr]:
        """
        Return the variables of *choice*, a provider of dns-lexicon, for the process that uses it.
        """
        return _with_name(choice, self.lexicon)


def _of_lexicon(chosen: Iterable[ProviderChoice], given: Mapping[str, Value]) -> dict[str, Value | None]:
    """
    Return the *given* variables of the *chosen* providers; None for a provider without variables.
    """
    found: dict[str, Value | None] = {}
    for choice in chosen:
        found |= _with_name(choice, given) or dict.fromkeys([f"{_beginning(choice)}{ALL}"])
    return found


def _beginning(choice: ProviderChoice) -> str:
    return f"LEXICON_{choice.lexicon_name}_".upper()


def _with_name(choice: ProviderChoice, given: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in given.items() if name.startswith(_beginning(choice))}
