"""
Failures of the way to the domain: what the CA met when it looked for the answer to its challenge.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry


class HttpTimeout(CertworkerError):
    code = "http.timeout"
    says = "The CA could not connect to port 80 of {name} (time-out)."
    cure = (
        "Open TCP port 80 in the cloud firewall and on the host. "
        "Test from another network: curl http://{name}/.well-known/acme-challenge/test"
    )
    retry = Retry.CA
