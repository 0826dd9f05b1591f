"""
The normalized name, its warnings, and the names and the tenant of a request.

YAML files and the keys of Redis contain names only as :func:`normalize` returns them: `[a-z0-9.-]`, `:` in
IPv6 addresses, and `*.` at the start of a wildcard. Logs contain other forms only of rejected names and in
warnings about a name. For paths, see :mod:`certworker.domains.wildcard`. For a public CA, the rules are those
of Let's Encrypt (Boulder's policy/pa.go).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from certworker.domains.address import accepted_address, read_address
from certworker.domains.idna import PREFIX, a_label, is_idna_2008, to_ascii_labels, u_label
from certworker.domains.suffixes import SHARED_DOMAINS, refuse_private, registered_domain, shared_suffix
from certworker.domains.wildcard import CHALLENGE_LABEL, STAR, base_name, is_wildcard
from certworker.errors import CertworkerError
from certworker.errors.name import (
    EmptyLabel,
    InvalidCharacter,
    IpAddress,
    NameEmpty,
    NameHasPort,
    NameIsUrl,
    NameTooLong,
    TooManyLabels,
    Wildcard,
)
from certworker.errors.payload import (
    PayloadEncoding,
    PayloadMissing,
    PayloadTooLarge,
    PayloadType,
    TooManyNames,
)

#: The maximum number of characters of a string in a request. A longer one is an oversized job.
MAX_TEXT_LENGTH = 64 * 1024
#: The maximum number of characters of a name in any spelling. A longer string is rejected before its
#: characters are checked.
MAX_UNICODE_LENGTH = 1024
#: The maximum number of characters of a name. That many are 255 bytes on the wire (RFC 1035, section 2.3.4).
MAX_NAME_LENGTH = 253
#: The limits of Let's Encrypt: the maximum numbers of labels in a name and of names in a certificate.
MAX_LABELS = 10
MAX_NAMES = 100

#: The whitespace that is removed around a name.
WHITESPACE = " \t\n\r\f\v"

_FORBIDDEN = re.compile(r"(?![a-z0-9-])[\x00-\x7f]")
_HOST_AND_PORT = re.compile(r"([\w.*-]+|\[[0-9a-f:.]+\]):[0-9]{1,5}")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/@]*@)?(?P<host>[^/?#:]*).*")
_PASTED_PATH = re.compile(r"(?P<host>\w[\w-]*(?:\.[\w-]+)+)\.?(?::[0-9]+)?[/?].*")
# Most names match this pattern. The other checks take 100 times as long.
_PLAIN = re.compile(
    r"(?:[a-z0-9](?!.--)(?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,9}[a-z](?!.--)(?:[a-z0-9-]{0,61}[a-z0-9])?"
)
# Resolvers also read 127.1, 0x7f.1 and 3405803783 as IPv4 addresses (inet_aton).
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

#: Scripts with letters that resemble each other.
LOOK_ALIKE_SCRIPTS = frozenset({"ARMENIAN", "CHEROKEE", "CYRILLIC", "GREEK", "LATIN"})


def normalize(value: object, *, private: bool = False, wildcards: bool = False) -> str:
    """
    Return *value* in the form that certificates contain: lower case, A-labels (RFC 5890), no final dot.

    Return an IP address (RFC 8738) in its shortest form, without brackets. A wildcard begins with `*.`.

    Args:
        value: A name from a request or a setting.
        private: Whether the CA is private, and accepts private suffixes and addresses, `localhost` and names
            without a dot.
        wildcards: Whether a DNS provider is set, which wildcards require.

    Raises:
        NameFailure: The CA issues no certificate for the name, or no DNS provider is set for a wildcard.
        PayloadFailure: *value* is not a string, is too long, or contains a surrogate.
        DomainIsLocalhost: The name is `localhost`, and the CA is public.
    """
    given = _text(value)
    text = to_ascii_labels(given)
    address = read_address(_unbracketed(text))
    if address is not None:
        return accepted_address(given, address, private=private)
    _refuse_urls(given, text)
    star = STAR if text.startswith(STAR) and text != STAR else ""
    labels = _labels(given, text.removeprefix(star))
    name = star + ".".join(labels)
    if _NUMBER.fullmatch(labels[-1]):
        raise IpAddress(name=given, reason="some programs interpret it as an address")
    _refuse_long(given, name)
    if len(labels) > MAX_LABELS:
        raise TooManyLabels(name=name, count=len(labels), limit=MAX_LABELS)
    if not private:
        refuse_private(name)
    if star and not wildcards:
        raise Wildcard(name=name, suggestion=f"www.{base_name(name)}")
    return name


def is_name(text: str) -> bool:
    """
    Return whether *text* is a name as :func:`normalize` returns it, for a public or a private CA.
    """
    if len(text) > MAX_NAME_LENGTH:
        return False
    if _PLAIN.fullmatch(text):
        return True
    try:
        return normalize(text, private=True, wildcards=True) == text
    except CertworkerError:
        return False


def requested_names(
    domain: object, domains: object, *, private: bool, wildcards: bool = False
) -> tuple[str, ...]:
    """
    Return the normalized names of a request; see :func:`given_names`.
    """
    return tuple(given_names(domain, domains, private=private, wildcards=wildcards))


def given_names(domain: object, domains: object, *, private: bool, wildcards: bool = False) -> dict[str, str]:
    """
    Return the unique normalized names of a request, in its order, each with its first spelling there.

    Args:
        domain: One name; None if the request has *domains*.
        domains: The names for one certificate; None if the request has *domain*.
        private: As for :func:`normalize`.
        wildcards: As for :func:`normalize`.

    Raises:
        PayloadFailure: Neither or both are given, or *domains* is not a list of 1 to 100 names.
        NameFailure, PayloadFailure, DomainIsLocalhost: As for :func:`normalize`, about the first name that it
            rejects.
    """
    if domains is None:
        if domain is None:
            raise PayloadMissing
        domains = (domain,)
    elif domain is not None:
        raise PayloadType(field="domain", wanted="omitted if domains is given")
    if not isinstance(domains, (list, tuple)):
        raise PayloadType(field="domains", wanted="a list of names")
    if not domains:
        raise PayloadMissing
    if len(domains) > MAX_NAMES:
        raise TooManyNames(count=len(domains), limit=MAX_NAMES)
    given: dict[str, str] = {}
    for text in domains:
        given.setdefault(normalize(text, private=private, wildcards=wildcards), text)
    return given


def tenant_of(given: object, names: Sequence[str]) -> str:
    """
    Return the tenant of a job for *names*: the *given* one, or else the registered domain of the first name.

    Each tenant has its fair share of the slots, which its names share.

    Raises:
        PayloadType: *given* is neither None nor a string of 1 to 253 printable characters.
    """
    if given is None:
        return registered_domain(names[0])
    if not isinstance(given, str) or not 1 <= len(given) <= MAX_NAME_LENGTH or not given.isprintable():
        raise PayloadType(field="tenant", wanted=f"a printable string of 1 to {MAX_NAME_LENGTH} characters")
    return given


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise PayloadType(field="domain", wanted="one name as a string; domains takes a list of names")
    if len(value) > MAX_TEXT_LENGTH:
        raise PayloadTooLarge(
            size=f"a name of {len(value)} characters", limit=MAX_TEXT_LENGTH, beginning=value[:80]
        )
    if len(value) > MAX_UNICODE_LENGTH:
        raise NameTooLong(name=f"{value[:80]}…", what="it", length=len(value), limit=MAX_NAME_LENGTH)
    text = value.strip(WHITESPACE)
    if not text.strip("."):
        raise NameEmpty
    categories = {unicodedata.category(character) for character in text}
    if "Cs" in categories:
        raise PayloadEncoding
    if "Cc" in categories:
        raise InvalidCharacter(name=text, reason="it contains a control character")
    return text


def _refuse_urls(given: str, text: str) -> None:
    """
    Raise a failure for a name with a port, or for a URL, which users may paste instead of a name.
    """
    with_port = _HOST_AND_PORT.fullmatch(text)
    if with_port:
        raise NameHasPort(name=given, suggestion=_unbracketed(with_port[1]))
    url = _URL.fullmatch(text) or _PASTED_PATH.fullmatch(text)
    if url:
        raise NameIsUrl(name=given, suggestion=url["host"] or "the bare name, for example api.example.org")


def _unbracketed(text: str) -> str:
    # URLs contain IPv6 addresses in brackets (RFC 3986, section 3.2.2).
    return text[1:-1] if text.startswith("[") and text.endswith("]") and ":" in text else text


def _labels(given: str, text: str) -> list[str]:
    labels = text.removesuffix(".").split(".")
    for label in labels:
        _refuse_characters(given, label)
    if "" in labels:
        raise EmptyLabel(name=given, suggestion=".".join(filter(None, labels)))
    return [a_label(given, label) for label in labels]


def _refuse_characters(given: str, label: str) -> None:
    forbidden = _FORBIDDEN.search(label)
    if forbidden and forbidden[0] == "*":
        raise InvalidCharacter(
            name=given, reason='"*" can only be the first part of a name, as in *.example.org'
        )
    if forbidden:
        raise InvalidCharacter(name=given, reason=f'it contains "{forbidden[0]}"')
    if label.startswith("-") or (label.endswith("-") and not label.startswith(PREFIX)):
        raise InvalidCharacter(name=given, reason="a part of it starts or ends with a hyphen")


def _refuse_long(given: str, name: str) -> None:
    if len(name) > MAX_NAME_LENGTH:
        raise NameTooLong(name=given, what="it", length=len(name), limit=MAX_NAME_LENGTH)
    record = CHALLENGE_LABEL + base_name(name)
    if is_wildcard(name) and len(record) > MAX_NAME_LENGTH:
        what = f"the name of its TXT record ({CHALLENGE_LABEL}…)"
        raise NameTooLong(name=given, what=what, length=len(record), limit=MAX_NAME_LENGTH)


def warnings_for(given: str, name: str) -> list[str]:
    """
    Return the warnings about *name*, which certworker accepted for the string *given*.
    """
    found = []
    if given != given.strip(WHITESPACE):
        found.append("spaces around the name were removed")
    if not given.isascii() and to_ascii_labels(given) != given.lower():
        found.append("some characters were replaced by their plain forms")
    if PREFIX in name:
        found += _spelling_warnings(name)
    shared = shared_suffix(base_name(name))
    if shared in SHARED_DOMAINS:
        found.append(
            f"all users of {shared} share one weekly limit of the CA; a domain of your own has its own limit"
        )
    elif shared:
        found.append(f"{shared} belongs to others, who decide where {name} points")
    return found


def _spelling_warnings(name: str) -> list[str]:
    labels = base_name(name).split(".")
    found = [f"it reads {'.'.join(map(u_label, name.split('.')))}"]
    if not all(map(is_idna_2008, labels)):
        found.append("it has symbols that IDNA 2008 does not allow; some programs do not accept it")
    for label in labels:
        scripts = {unicodedata.name(letter, "?").split()[0] for letter in u_label(label) if letter.isalpha()}
        mixed = sorted(script.title() for script in scripts & LOOK_ALIKE_SCRIPTS)
        if len(mixed) > 1:
            found.append(f"{label} mixes {' and '.join(mixed)} letters that resemble each other")
    return found
