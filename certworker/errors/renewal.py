"""
Failures of a renewal that is late, whether it was tried or not.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry


class RenewalGaveUp(CertworkerError):
    code = "renew.gave_up"
    says = "The certificate of {name} {ends}; {history}"
    cure = "Next step: {remedy}"
    retry = Retry.CA
