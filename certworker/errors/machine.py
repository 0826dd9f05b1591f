"""
Failures of the machine: the volumes, Redis, the clock, the queue.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class RedisUnreachable(CertworkerError):
    code = "redis.unreachable"
    says = "Redis at {address} is not reachable ({reason})."
    cure = "See that it runs and that _APP_REDIS_HOST and _APP_REDIS_PORT are right: docker compose ps redis"
    retry = Retry.SOON
    severity = Severity.FATAL
