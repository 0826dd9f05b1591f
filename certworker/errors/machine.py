"""
Failures of the machine: the volumes, Redis, the clock, the queue.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class VolumeReadOnly(CertworkerError):
    code = "fs.readonly"
    says = "Cannot write {path} ({reason}, running as uid {uid}; {directory} belongs to {owner})."
    cure = (
        "See that docker-compose.yml mounts the volume without :ro, or give it to the worker: "
        "docker compose run --rm -u 0 --entrypoint chown appwrite-worker-certificates -R {uid} {directory}"
    )
    retry = Retry.CONFIG
    severity = Severity.FATAL


class VolumeFull(CertworkerError):
    code = "fs.full"
    says = "The disk of {path} is full ({reason}); nothing was changed."
    cure = "Free some space, for example with: docker system prune"
    retry = Retry.PREFLIGHT
    severity = Severity.FATAL


class VolumeFault(CertworkerError):
    code = "fs.io"
    says = "The file system failed at {path} ({reason})."
    cure = "Look at the disk and what the kernel says of it: dmesg --level=err,warn | tail"
    retry = Retry.SOON


class RedisUnreachable(CertworkerError):
    code = "redis.unreachable"
    says = "Redis at {address} is not reachable ({reason})."
    cure = "See that it runs and that _APP_REDIS_HOST and _APP_REDIS_PORT are right: docker compose ps redis"
    retry = Retry.SOON
    severity = Severity.FATAL
