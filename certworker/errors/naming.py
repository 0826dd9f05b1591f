"""
Failures of a request: a name no CA would certify, or a job that says something else than it must.

The same job would get the same answer, so it is never tried again.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError


class NameFailure(CertworkerError):
    """
    The name cannot stand in a certificate.
    """


class NameEmpty(NameFailure):
    code = "name.empty"
    says = "The job has no domain."
    cure = "Send the name of the site, for example domain=api.example.org."
