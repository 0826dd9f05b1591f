"""
Failures on the CA's side: the account, the order, its limits, its outages.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry


class BadCertificate(CertworkerError):
    code = "acme.bad_cert"
    says = "The certificate for {name} is not usable: {reason}."
    cure = "Nothing was installed and the old certificate serves on; certworker will ask the CA again."
    retry = Retry.SOON
