"""
A real order at the staging CA: what no check of our own can tell. Its certificate is never installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from certworker.acme.authority import Authority
from certworker.certificates import Certificate, PrivateKey
from certworker.challenges.solver import Solver, present
from certworker.doctor.findings import Finding, Section
from certworker.errors import CertworkerError

SUBJECT = "staging order"


def rehearsal(
    name: str, staging: Authority | None, solvers: Callable[[Authority], Sequence[Solver]]
) -> Finding:
    """
    Order a certificate for *name* from *staging* (None: the CA has no staging) and throw it away.

    Args:
        solvers: Where a CA finds our answers.
    """
    section = Section(name)
    if staging is None:
        return section.skipped(SUBJECT, "this CA has no staging")
    try:
        certificate = _ordered(name, staging, solvers(staging))
    except CertworkerError as failure:
        return section.told(SUBJECT, failure)
    return section.well(SUBJECT, f"{staging.title} has issued (not installed), serial {certificate.serial}")


def _ordered(name: str, authority: Authority, solvers: Sequence[Solver]) -> Certificate:
    order = authority.order((name,))
    with present(order.answers, solvers):
        order.validate()
    key = PrivateKey.generate("ec256")
    return Certificate.from_pem(order.finalize(key.sign_request((name,))), key)
