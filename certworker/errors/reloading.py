"""
Failures of containers that are to read their certificates again.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class ReloadFailed(CertworkerError):
    code = "reload.failed"
    says = (
        "{reload} of CERTWORKER_RELOAD did not work ({reason}); an old certificate may still be shown there."
    )
    cure = "See that the container is there, runs, and knows this: docker ps --all --filter name={container}"
    retry = Retry.SOON
    severity = Severity.WARNING


class ReloadRefused(CertworkerError):
    code = "reload.refused"
    says = "The proxy before Docker at {engine} does not allow {reload} of CERTWORKER_RELOAD ({reason})."
    cure = "Allow it there (ALLOW_RESTARTS=1 for signals and restarts; EXEC=1 and POST=1 for exec)."
    retry = Retry.SOON
    severity = Severity.WARNING


class EngineUnreachable(CertworkerError):
    code = "reload.engine"
    says = "Docker at {engine} cannot be asked for {reload} ({reason})."
    cure = (
        "Let the worker reach it, best through a socket proxy: CERTWORKER_DOCKER_HOST=tcp://socket-proxy:2375"
    )
    retry = Retry.SOON
    severity = Severity.WARNING
