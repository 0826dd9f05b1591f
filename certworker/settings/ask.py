"""
The names that a proxy may serve: the values of CERTWORKER_ASK_ALLOW.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from certworker.domains import is_address, normalize
from certworker.domains.suffixes import refuse_private
from certworker.errors import CertworkerError
from certworker.errors.name import IsPublicSuffix
from certworker.hosts import WEB_PORTS, web_url_in
from certworker.settings.fields import Unusable

#: The maximum number of suffixes. For more, the program behind a URL decides.
MOST_SUFFIXES = 1_000


@dataclass(frozen=True)
class AskRules:
    """
    The rules for names that certworker does not know yet.

    Attributes:
        suffixes: Each allows its own name and all names below it.
        url: The URL of the platform, which allows a name by its response; empty for none. It may contain a
            secret.
    """

    suffixes: tuple[str, ...] = ()
    url: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> AskRules:
        """
        Return the rules in *text*: suffixes and at most one URL, separated by commas.

        Raises:
            ValueError: A rule is invalid, or there are too many.
        """
        suffixes, urls = list[str](), list[str]()
        for rule in filter(None, map(str.strip, text.split(","))):
            if rule.startswith(tuple(f"{scheme}://" for scheme in WEB_PORTS)):
                web_url_in(rule)
                if not rule.isascii():
                    raise Unusable("its URL has characters that a URL must percent-encode")
                urls.append(rule)
            else:
                suffixes.append(_suffix(rule))
        if len(urls) > 1 or len(suffixes) > MOST_SUFFIXES:
            raise Unusable("it has more than one URL or too many suffixes")
        return cls(tuple(dict.fromkeys(suffixes)), "".join(urls))

    def has_suffix_of(self, name: str) -> bool:
        """
        Return whether the normalized *name* is one of the suffixes, or is below one of them.
        """
        return any(name == suffix or name.endswith(f".{suffix}") for suffix in self.suffixes)


def _suffix(text: str) -> str:
    try:
        name = normalize(text.removeprefix("*").removeprefix("."), private=True)
    except CertworkerError:
        raise ValueError("not a suffix") from None
    if is_address(name):
        raise Unusable("one of them is an IP address")
    try:
        refuse_private(name)
    except IsPublicSuffix:
        raise Unusable("one of them is a public suffix, below which anyone can register a name") from None
    except CertworkerError:
        pass  # A private CA may issue certificates for private suffixes.
    return name
