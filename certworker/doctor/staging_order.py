"""
A real order at the staging CA: what no check of our own can tell. Its certificate is never installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from certworker.acme.client import AcmeClient
from certworker.certificates import Certificate, PrivateKey
from certworker.challenges.challenge import Solver, present_all, without_dns
from certworker.doctor.findings import Finding, Section
from certworker.errors import CertworkerError

SUBJECT = "staging order"


def place_staging_order(
    name: str, staging: AcmeClient | None, solvers: Callable[[AcmeClient], Sequence[Solver]]
) -> Finding:
    """
    Order a certificate for *name* from *staging* (None: the CA has no staging) and throw it away.

    Args:
        solvers: Where a CA finds our answers.
    """
    section = Section(name)
    if staging is None:
        return section.skip(SUBJECT, "this CA has no staging")
    try:
        certificate = _ordered(name, staging, solvers(staging))
    except CertworkerError as failure:
        return section.failure(SUBJECT, failure)
    return section.ok(SUBJECT, f"{staging.title} has issued (not installed), serial {certificate.serial}")


def _ordered(name: str, authority: AcmeClient, solvers: Sequence[Solver]) -> Certificate:
    order = authority.order((name,))
    with present_all(order.answers, solvers, without_dns):
        order.validate()
    key = PrivateKey.generate("ec256")
    return Certificate.from_pem(order.finalize(key.sign_request((name,))), key)
