"""
Failures of a renewal that has been tried for long.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry


class RenewalGaveUp(CertworkerError):
    code = "renew.gave_up"
    says = "The certificate of {name} {ends}, and {attempts}. {cause}"
    cure = "Mend the cause: {remedy}"
    retry = Retry.CA
