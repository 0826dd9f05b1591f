"""
Failures of reloads, of the deploy hook and of container labels. Codes: reload.*, hook.*, label.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class ReloadFailed(CertworkerError):
    code = "reload.failed"
    message_template = (
        "The reload {reload} failed ({reason}), so the server may still serve an old certificate."
    )
    remedy_template = (
        "Correct CERTWORKER_RELOAD or the label certworker.reload, and check that the container is running: "
        "docker ps --all --filter name={container}"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class ReloadRefused(CertworkerError):
    code = "reload.refused"
    message_template = "The Docker proxy at {engine} does not allow the reload {reload} ({reason})."
    remedy_template = (
        "Allow it in the proxy. For docker-socket-proxy, set POST=1 and ALLOW_RESTARTS=1 (recent versions "
        "also need ALLOW_KILL=1); for exec, set POST=1, CONTAINERS=1 and EXEC=1"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class EngineUnreachable(CertworkerError):
    code = "reload.engine"
    message_template = "The request to Docker at {engine} for {wish} failed ({reason})."
    remedy_template = (
        "Allow the worker to connect to Docker, preferably through a socket proxy: "
        "CERTWORKER_DOCKER_HOST=tcp://socket-proxy:2375"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class HaproxyRefused(CertworkerError):
    code = "reload.haproxy"
    message_template = (
        "HAProxy at {socket} did not accept the certificate for {name} ({reason}), and may serve an old one."
    )
    remedy_template = (
        "Check the socket. It needs the level admin, and the user of the worker must be able to write to it: "
        "ls -l {socket}"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class HookFailed(CertworkerError):
    code = "hook.failed"
    message_template = "The deploy hook {program} failed for {name}: {reason}"
    remedy_template = (
        "Correct the program in CERTWORKER_DEPLOY_HOOK. It must exit with code 0 within 60 seconds."
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class ListingRefused(CertworkerError):
    code = "label.refused"
    message_template = "The Docker proxy at {engine} does not allow listing containers ({reason})."
    remedy_template = (
        "Allow GET /containers/json and GET /events in the proxy (CONTAINERS=1 and EVENTS=1 for "
        "docker-socket-proxy), or disable labels: CERTWORKER_DOCKER_LABELS=false"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class LabelUnusable(CertworkerError):
    code = "label.unusable"
    message_template = "The label {label} of the container {container} is invalid: {reason}"
    remedy_template = (
        "Correct the label where the container is defined, then recreate the container: docker compose up -d"
    )
    retry = Retry.CONFIG
    severity = Severity.WARNING
