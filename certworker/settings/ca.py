"""
The CA in a setting, and the contact address that it accepts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from certworker.domains import is_address, normalize
from certworker.errors import CertworkerError
from certworker.hosts import Origin, web_url_in


@dataclass(frozen=True)
class CaChoice:
    """
    A CA that an operator chose.
    """

    #: A part of the names of files and keys.
    label: str
    #: The name in messages.
    title: str
    #: None for the development CA, which certworker includes.
    directory_url: str | None
    kind: Literal["public", "staging", "development", "private"]
    #: The label of the staging environment of the CA; None if no staging environment is known.
    staging_label: str | None = None

    @property
    def staging(self) -> CaChoice | None:
        """
        Return the staging environment of the CA; None if no staging environment is known.
        """
        return next((known for known in KNOWN_CAS if known.label == self.staging_label), None)

    @classmethod
    def named(cls, text: str, *, private_network: bool = False) -> CaChoice:
        """
        Return the CA that *text* names: a label in :data:`KNOWN_CAS`, or the URL of an ACME directory.

        With *private_network*, the CA of an unknown URL is private.

        Raises:
            ValueError: The text is neither.
        """
        for known in KNOWN_CAS:
            if text.lower() == known.label:
                return known
        url = web_url_in(text)
        if "@" in url.netloc:
            raise ValueError("not an ACME directory")
        for known in KNOWN_CAS:
            if known.directory_url and _is_same(url, urlsplit(known.directory_url)):
                return known
        path = re.sub(r"/(directory|dir)/?$", "", url.path)
        label = re.sub(r"[^a-z0-9.]+", "-", f"{url.netloc}{path}".lower()).strip("-.")[:100]
        if label in {known.label for known in KNOWN_CAS}:
            # A host may have the name "development". It needs files other than those of the development CA.
            label += "-acme"
        return cls(label, url.netloc, text, "private" if private_network else "public")

    @property
    def private_names(self) -> bool:
        """
        Return whether the CA may issue certificates for names that only a private network knows.
        """
        return self.kind in ("development", "private")


def _is_same(one: SplitResult, other: SplitResult) -> bool:
    # A known CA by its URL in another spelling needs the account and the limits of this CA, too.
    resources = {(Origin.of(each.geturl()), each.path, each.query) for each in (one, other)}
    return len(resources) == 1


KNOWN_CAS = (
    CaChoice(
        "letsencrypt",
        "Let's Encrypt",
        "https://acme-v02.api.letsencrypt.org/directory",
        "public",
        "letsencrypt-staging",
    ),
    CaChoice(
        "letsencrypt-staging",
        "Let's Encrypt staging",
        "https://acme-staging-v02.api.letsencrypt.org/directory",
        "staging",
    ),
    CaChoice("development", "the development CA", None, "development"),
)


def contact_problem(email: str | None) -> str | None:
    """
    Return why a CA would refuse *email* as the contact (boulder, policy/pa.go: ValidEmail), or None.

    certworker checks the address in an order from a public CA: an invalid one fails the job, not the start.
    """
    if not email:
        return "it is missing"
    if not email.isascii():
        return "it has characters beyond ASCII"
    mailbox, _, domain = email.partition("@")
    if not re.fullmatch(r"[A-Za-z0-9.!$%&'*+/=^_`{|}~-]+", mailbox):
        return "it is not one plain address like you@yourdomain"
    if re.search(r"(^|\.)example\.(com|net|org)$", domain.lower()):
        return "example.com, example.net and example.org are placeholders"
    try:
        known = not is_address(normalize(domain))
    except CertworkerError:
        known = False
    return None if known else "its domain is not a public name"
