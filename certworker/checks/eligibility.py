"""
What a public CA wants before anything else: production, and a contact that is read.
"""

from __future__ import annotations

from certworker.errors.configuration import EmailInvalid, EmailMissing, NotProduction
from certworker.settings import Settings, contact_problem


def check_eligibility(settings: Settings) -> None:
    """
    Make sure that the configuration allows an order at the authority of *settings*.

    Public names are not judged here: :mod:`certworker.names` refuses any other before a job gets this far.

    Raises:
        NotProduction: A public CA outside production.
        EmailMissing: A public CA without a contact.
        EmailInvalid: The CA would refuse the contact.
    """
    if settings.authority.kind != "public":
        return
    if not settings.production:
        raise NotProduction(authority=settings.authority.title)
    if settings.email is None:
        raise EmailMissing
    if reason := contact_problem(settings.email):
        raise EmailInvalid(reason=reason)
