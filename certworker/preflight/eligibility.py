"""
What a public CA wants before anything else: production, and a contact that is read.
"""

from __future__ import annotations

from certworker.errors.config import EmailInvalid, EmailMissing, NotProduction
from certworker.settings import CaChoice, Settings, contact_problem


def check_eligibility(settings: Settings, choice: CaChoice) -> None:
    """
    Make sure that *settings* allow an order at the CA *choice*.

    Public names are not judged here: :mod:`certworker.domains` refuses any other before a job gets this far.

    Raises:
        NotProduction: A public CA outside production.
        EmailMissing: A public CA without a contact.
        EmailInvalid: The CA would refuse the contact.
    """
    if choice.kind != "public":
        return
    if not settings.production:
        raise NotProduction(authority=choice.title)
    if settings.email is None:
        raise EmailMissing
    if reason := contact_problem(settings.email):
        raise EmailInvalid(reason=reason)
