"""
What may stand in a certificate: any text in, one normalised name out, or the reason why not.

Only the result of :func:`domain_name` is ever used for paths, YAML, logs and keys in Redis. It
consists of ``[a-z0-9.-]``, and it is what Let's Encrypt's own policy (boulder, policy/pa.go) would
accept.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from certworker.errors.configuration import DomainIsLocalhost
from certworker.errors.naming import (
    BadIdn,
    EmptyLabel,
    InvalidCharacter,
    IpAddress,
    IsPublicSuffix,
    NameEmpty,
    NameHasPort,
    NameIsUrl,
    NameTooLong,
    NoPublicSuffix,
    PayloadEncoding,
    PayloadMissing,
    PayloadTooLarge,
    PayloadType,
    SingleLabel,
    TooManyLabels,
    TooManyNames,
    Wildcard,
)

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

#: Characters. What is longer than this cannot be a job of ours, and nobody should have to look at it.
LARGEST_TEXT = 64 * 1024
#: Characters before any work is done on them; no spelling of a 253-character name is longer.
LONGEST_SPELLING = 1024
#: RFC 1035, section 2.3.4, written with dots and without the one at the end.
LONGEST_NAME = 253
LONGEST_LABEL = 63
#: Boulder's limit.
MOST_LABELS = 10
#: Let's Encrypt's limit for one certificate.
MOST_NAMES = 100

#: Suffixes without a registry (RFC 6761, RFC 6762, RFC 7686, RFC 8375, RFC 9476, ICANN's name collisions).
#: The public-suffix list alone would let some of them pass.
PRIVATE_SUFFIXES = frozenset(
    ["alt", "arpa", "corp", "example", "home", "internal", "invalid", "lan", "local", "localhost", "mail", "onion", "test"]
)

#: DNS services whose users are one registered domain to the CA, and so share its weekly limit.
SHARED_DOMAINS = frozenset({"nip.io", "sslip.io", "traefik.me", "xip.io"})

#: Scripts with letters that look like each other.
LOOK_ALIKE_SCRIPTS = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"})

_WHITESPACE = " \t\n\r\f\v"
_JOINERS = "\u200c\u200d"
_FORBIDDEN = re.compile(r"[\x00-\x7f](?<![a-z0-9-])")
_URL = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://(?:[^/@]*@)?)([^/?#:]*).*|(\w[\w-]*(?:\.[\w-]+)+)\.?(?::\d+)?[/?].*"
)
_HOST_AND_PORT = re.compile(r"([\w.-]+|\[[0-9a-f:.]+\]):\d{1,5}")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")


def domain_name(value: object, *, private: bool = False) -> str:
    """
    *value* as the name that stands in a certificate: lower case, A-labels (RFC 5890), no dot at the end.

    Args:
        value: What a job or an operator wrote.
        private: The CA is one's own: names under private suffixes, `localhost` and names without a dot are allowed.

    Raises:
        NameFailure: No CA would certify it.
        PayloadFailure: It is not even a text.
        DomainIsLocalhost: It is this machine.
    """
    given = _text(value)
    text = _mapped(given)
    _refuse_other_addresses(text)
    labels = _labels(text)
    name = ".".join(labels)
    _refuse_other_addresses(name)
    if len(name) > LONGEST_NAME:
        raise NameTooLong(name=given, what="it", length=len(name), limit=LONGEST_NAME)
    if len(labels) > MOST_LABELS:
        raise TooManyLabels(name=name, count=len(labels), limit=MOST_LABELS)
    if not private:
        _refuse_private(name, labels)
    return name


def requested_names(domain: object, domains: object, *, private: bool) -> tuple[str, ...]:
    """
    The names that a job asks for, normalised, each once, in the order in which it gave them.

    Args:
        domain: One name; None if the job gave *domains*.
        domains: A list of names for one certificate; None if the job gave *domain*.
        private: As for :func:`domain_name`.

    Raises:
        PayloadFailure: None or both are given, *domains* is not a list, is empty or has more than 100 names.
        NameFailure: The first name that no CA would certify.
    """
    if domain is None and domains is None:
        raise PayloadMissing
    if domains is None:
        return (domain_name(domain, private=private),)
    if domain is not None:
        raise PayloadType(
            field="domain",
            expected="left out where domains is given",
            found="both",
            example="only one of them",
        )
    if not isinstance(domains, (list, tuple)):
        raise PayloadType(
            field="domains",
            expected="a list",
            found=_kind(domains),
            example='domains=["example.org", "www.example.org"]',
        )
    if not domains:
        raise PayloadMissing
    if len(domains) > MOST_NAMES:
        raise TooManyNames(count=len(domains), limit=MOST_NAMES)
    return tuple(dict.fromkeys(domain_name(each, private=private) for each in domains))


def remarks(given: str, name: str) -> list[str]:
    """
    What a person should know about *name*, which was accepted for *given*; often nothing.
    """
    told = []
    if given != given.strip(_WHITESPACE):
        told.append("spaces around the name were dropped")
    if (
        unicodedata.normalize("NFC", given) != given
        or _mapped(_text(given)) != given.strip(_WHITESPACE).lower()
    ):
        told.append("some characters were replaced by their plain forms")
    told += _remarks_on_script(name)
    told += _remarks_on_suffix(name)
    return told


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise PayloadType(
            field="domain",
            expected="a text",
            found=_kind(value),
            example="the name as a text; several names go into domains, as a list",
        )
    if len(value) > LARGEST_TEXT:
        raise PayloadTooLarge(size=len(value), limit=LARGEST_TEXT, beginning=value[:80])
    if len(value) > LONGEST_SPELLING:
        raise NameTooLong(name=value[:80], what="it", length=len(value), limit=LONGEST_NAME)
    text = value.strip(_WHITESPACE)
    if not text.strip("."):
        raise NameEmpty
    for character in text:
        if unicodedata.category(character) == "Cs":
            raise PayloadEncoding
        if unicodedata.category(character) == "Cc":
            raise InvalidCharacter(name=text, reason="it contains a control character")
    return text


def _mapped(text: str) -> str:
    """
    *text* in lower case, with full-width letters, ligatures and the like replaced (UTS #46, non-transitional).

    The mapping may make dots, slashes and digits, so every other check comes after it. Characters that
    it would drop without a word are refused before: a name must not hide anything.
    """
    if text.isascii():
        return text.lower()
    import idna

    for character in text:
        hidden = unicodedata.category(character) == "Cf" and character not in _JOINERS
        if hidden or _dropped(character):
            reason = f"it contains the invisible character U+{ord(character):04X}"
            raise InvalidCharacter(name=text, reason=reason)
    try:
        return idna.uts46_remap(text, std3_rules=False, transitional=False)
    except idna.IDNAError as error:
        raise BadIdn(name=text, reason=str(error), suggestion="plain letters") from None


def _dropped(character: str) -> bool:
    import idna

    try:
        return not character.isascii() and not idna.uts46_remap(
            character, std3_rules=False, transitional=False
        )
    except idna.IDNAError:
        return False


def _refuse_other_addresses(text: str) -> None:
    """
    URLs, ports and IP addresses: what people paste instead of a name.
    """
    port = _HOST_AND_PORT.fullmatch(text)
    host = port[1] if port else text
    # Resolvers read 127.1, 0x7f.1 and 3405803783 as IPv4 addresses, too (inet_aton).
    last = host.removesuffix(".").rpartition(".")[2]
    if _is_ip_address(host.strip("[]")) or (_NUMBER.fullmatch(last) and "/" not in host):
        raise IpAddress(name=text)
    if port:
        raise NameHasPort(name=text, suggestion=port[1])
    url = _URL.fullmatch(text)
    if url:
        raise NameIsUrl(name=text, suggestion=url[1] or url[2] or "api.example.org")


def _is_ip_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _labels(text: str) -> list[str]:
    labels = text.removesuffix(".").split(".")
    for label in labels:
        _refuse_characters(text, label)
    if "" in labels:
        raise EmptyLabel(name=text, suggestion=".".join(filter(None, labels)))
    if "*" in labels:
        plain = ".".join(label for label in labels if label != "*")
        raise Wildcard(name=text, suggestion=f"www.{plain}" if plain else "www.example.org")
    return [_a_label(text, label) for label in labels]


def _refuse_characters(name: str, label: str) -> None:
    wrong = _FORBIDDEN.search(label)
    if wrong and label != "*":
        raise InvalidCharacter(name=name, reason=f"it contains {wrong[0]!r}")
    if label.startswith("-") or (label.endswith("-") and not label.startswith("xn--")):
        raise InvalidCharacter(name=name, reason="a part of it begins or ends with a hyphen")


def _a_label(name: str, label: str) -> str:
    """
    *label* as it stands in DNS (RFC 5890, section 2.3.2.1).
    """
    if label.isascii():
        written = label
    else:
        written = "xn--" + label.encode("punycode").decode("ascii")
    if len(written) > LONGEST_LABEL:
        raise NameTooLong(name=name, what="a part of it", length=len(written), limit=LONGEST_LABEL)
    if not label.isascii():
        _refuse_unregistrable(name, label, written)
    elif label.startswith("xn--"):
        _refuse_malformed_punycode(name, label)
    elif label[2:4] == "--":
        # R-LDH, reserved by RFC 5890, section 2.3.1; boulder refuses it.
        raise BadIdn(name=name, reason=f"{label} has a reserved form", suggestion=label.replace("--", "-"))
    return written


def _refuse_unregistrable(name: str, label: str, written: str) -> None:
    import idna

    try:
        idna.alabel(label)
    except idna.InvalidCodepoint as error:
        raise BadIdn(name=name, reason=str(error), suggestion=name.replace(label, written)) from None
    except idna.IDNAError as error:
        raise BadIdn(name=name, reason=str(error), suggestion="its registrar writes it") from None


def _refuse_malformed_punycode(name: str, label: str) -> None:
    """
    Boulder's rule, laxer than IDNA 2008, so that old domains with an emoji are not locked out.
    """
    try:
        read = label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        read = ""
    if (
        read.isascii()
        or unicodedata.normalize("NFC", read) != read
        or "xn--" + read.encode("punycode").decode("ascii") != label
        or any(unicodedata.category(each)[0] == "C" and each not in _JOINERS for each in read)
    ):
        suggestion = "the xn-- name that your registrar shows"
        raise BadIdn(name=name, reason=f"{label} is not valid punycode", suggestion=suggestion)


def _refuse_private(name: str, labels: list[str]) -> None:
    if name == "localhost":
        raise DomainIsLocalhost(name=name)
    if labels[-1] in PRIVATE_SUFFIXES:
        raise NoPublicSuffix(name=name, suffix=labels[-1])
    suffix = _registries().publicsuffix(name)
    if suffix == name:
        raise IsPublicSuffix(name=name)
    if len(labels) == 1:
        raise SingleLabel(name=name)
    if suffix is None:
        raise NoPublicSuffix(name=name, suffix=labels[-1])


@cache
def _registries() -> PublicSuffixList:
    """
    The ICANN part of the list only: boulder ignores the private one, so github.io passes.
    """
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False, only_icann=True)


@cache
def _all_suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False)


def _remarks_on_script(name: str) -> Iterable[str]:
    for label in name.split("."):
        if label.startswith("xn--"):
            read = label[4:].encode("ascii").decode("punycode")
            scripts = {unicodedata.name(each, "?").split()[0] for each in read if each.isalpha()}
            if len(scripts & LOOK_ALIKE_SCRIPTS) > 1:
                yield f"{label} mixes {' and '.join(sorted(script.title() for script in scripts))} letters that look alike"


def _remarks_on_suffix(name: str) -> Iterable[str]:
    last_two = ".".join(name.split(".")[-2:])
    suffix = _all_suffixes().publicsuffix(name)
    if last_two in SHARED_DOMAINS:
        yield f"every user of {last_two} shares its weekly limit at the CA; a domain of your own has its own"
    elif suffix != _registries().publicsuffix(name):
        yield f"{suffix} belongs to others, who decide whether {name} points here"


def _kind(value: object) -> str:
    return {"NoneType": "null", "bool": "true or false", "dict": "an object", "list": "a list"}.get(
        type(value).__name__, f"a value of type {type(value).__name__}"
    )
