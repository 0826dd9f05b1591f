"""
The contact of the account: whether a CA would take it.
"""

from __future__ import annotations

import re

from certworker.domains import is_address, normalize
from certworker.errors import CertworkerError


def contact_problem(email: str | None) -> str | None:
    """
    Why a CA would refuse *email* as contact (boulder, policy/pa.go: ValidEmail), or None.

    It is asked when a public CA is, not at start: a wrong address fails the job, not the worker.
    """
    if not email:
        return "it is missing"
    if not email.isascii():
        return "it has letters beyond ASCII"
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
