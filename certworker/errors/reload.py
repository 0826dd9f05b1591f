"""
Reloads of other servers, and labels of containers. Codes: reload.*, label.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class ReloadFailed(CertworkerError):
    code = "reload.failed"
    message_template = "{reload} did not work ({reason}); an old certificate may still be shown there."
    remedy_template = (
        "CERTWORKER_RELOAD, or its label certworker.reload, says what it gets. See that the container is "
        "there, runs, and knows this: docker ps --all --filter name={container}"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class ReloadRefused(CertworkerError):
    code = "reload.refused"
    message_template = "The proxy before Docker at {engine} does not allow {reload} ({reason})."
    remedy_template = (
        "Allow it there, for this container alone if it can. docker-socket-proxy wants POST=1 and "
        "ALLOW_RESTARTS=1 (newer ones ALLOW_KILL=1, too); for exec POST=1, CONTAINERS=1 and EXEC=1"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class EngineUnreachable(CertworkerError):
    code = "reload.engine"
    message_template = "Docker at {engine} cannot be asked for {wish} ({reason})."
    remedy_template = (
        "Let the worker reach it, best through a socket proxy: CERTWORKER_DOCKER_HOST=tcp://socket-proxy:2375"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class ListingRefused(CertworkerError):
    code = "label.refused"
    message_template = (
        "The proxy before Docker at {engine} does not allow its containers to be listed ({reason})."
    )
    remedy_template = (
        "Allow GET /containers/json and GET /events there (CONTAINERS=1 and EVENTS=1 for "
        "docker-socket-proxy), or do without labels: CERTWORKER_DOCKER_LABELS=false"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class LabelUnusable(CertworkerError):
    code = "label.unusable"
    message_template = "The label {label} of the container {container} is of no use: {reason}"
    remedy_template = (
        "Correct it where the container is defined, then make the container anew: docker compose up -d"
    )
    retry = Retry.CONFIG
    severity = Severity.WARNING
