"""
Failures of Redis: connection, permissions and configuration. Codes: redis.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class RedisUnreachable(CertworkerError):
    code = "redis.unreachable"
    message_template = "Cannot connect to Redis at {address} ({reason})."
    remedy_template = (
        "Check that Redis is running, and check _APP_REDIS_HOST and _APP_REDIS_PORT, or "
        "CERTWORKER_REDIS_URL: docker compose ps redis"
    )
    retry = Retry.SOON
    severity = Severity.FATAL


class RedisAuthFailed(CertworkerError):
    code = "redis.auth"
    message_template = "Redis at {address} rejects the user or the password ({reason})."
    remedy_template = (
        "Set _APP_REDIS_USER and _APP_REDIS_PASS, or CERTWORKER_REDIS_URL, to the values of the service "
        "redis, then run: docker compose up -d"
    )
    retry = Retry.CONFIG
    severity = Severity.FATAL


class RedisTlsFailed(CertworkerError):
    code = "redis.tls"
    message_template = "The TLS connection to Redis at {address} failed ({reason})."
    remedy_template = (
        "Add the path of the CA certificate for Redis to CERTWORKER_REDIS_URL. If Redis requires a client "
        "certificate, add its path and that of its key: "
        "rediss://HOST:PORT/0?ssl_ca_certs=/run/secrets/redis-ca.pem"
        "&ssl_certfile=/run/secrets/redis.pem&ssl_keyfile=/run/secrets/redis.key; "
        "if the certificate has another host name, add &ssl_check_hostname=false"
    )
    retry = Retry.SOON
    severity = Severity.FATAL


class RedisOutOfMemory(CertworkerError):
    code = "redis.oom"
    message_template = "Redis at {address} has no free memory ({reason})."
    remedy_template = (
        "Raise --maxmemory of the service redis in the Compose file, then run: docker compose up -d redis"
    )
    retry = Retry.SOON
    severity = Severity.FATAL


class RedisReadOnly(CertworkerError):
    code = "redis.readonly"
    message_template = "Redis at {address} does not accept writes ({reason})."
    remedy_template = (
        "Set _APP_REDIS_HOST, or the host in CERTWORKER_REDIS_URL, to the primary. If it already "
        "is the primary, free up space on its disk, and read its log: docker compose logs redis"
    )
    retry = Retry.SOON
    severity = Severity.FATAL


class RedisTooOld(CertworkerError):
    code = "redis.too_old"
    message_template = "Redis at {address} is version {version}, but certworker needs 6.2 or later."
    remedy_template = (
        "Set image: redis:7-alpine for redis in the Compose file, then run: docker compose up -d redis"
    )
    retry = Retry.CONFIG
    severity = Severity.FATAL


class RedisPermissionDenied(CertworkerError):
    code = "redis.rights"
    message_template = "The Redis user of certworker may not use a command or key at {address} ({reason})."
    remedy_template = (
        "Grant the user the permissions that docs/guides/redis.md lists: "
        "redis-cli ACL SETUSER certworker on ~certworker:* ~rq:* …"
    )
    retry = Retry.SOON


class RedisCommandMissing(CertworkerError):
    code = "redis.command"
    message_template = "Redis at {address} lacks a command that certworker needs ({reason})."
    remedy_template = (
        "Remove the rename-command line for this command from redis.conf, then run: "
        "docker compose restart redis. Or use a server that has the command (see docs/guides/redis.md)."
    )
    retry = Retry.SOON


class RedisIsCluster(CertworkerError):
    code = "redis.cluster"
    message_template = "Redis at {address} is a Redis Cluster, which certworker does not support ({reason})."
    remedy_template = (
        "Set CERTWORKER_REDIS_URL to a single Redis or Valkey, or to one with Sentinel: "
        "redis://USER:PASSWORD@HOST:6379/0"
    )
    retry = Retry.CONFIG
    severity = Severity.FATAL


class RedisFault(CertworkerError):
    code = "redis.fault"
    message_template = "Redis at {address} rejected a command ({reason})."
    remedy_template = "Check Redis and the permissions of its user: certworker doctor"
    retry = Retry.SOON


class TokenOutOfBounds(RedisFault):
    """
    The next fencing token has too many digits. It follows the highest one on the volume and in Redis.
    """

    message_template = "The next fencing token from Redis at {address} is out of bounds: {token}."
    remedy_template = (
        "Restore the volume of CERTWORKER_CERTIFICATES_DIR, which another program has changed, from a backup "
        "(see docs/guides/backup-restore.md)."
    )


class RedisWrongType(CertworkerError):
    code = "redis.wrong_type"
    message_template = "The key {key} in Redis at {address} has the type {found}, not {wanted}."
    remedy_template = "Find the program that writes this key, then remove the key: redis-cli UNLINK {key}"
    retry = Retry.SOON


class RedisEvicts(CertworkerError):
    code = "redis.evict"
    message_template = "Redis may delete waiting jobs when its memory is full (maxmemory-policy {policy})."
    remedy_template = "Start Redis with --maxmemory-policy noeviction, then run: docker compose up -d redis"
    retry = Retry.CONFIG
    severity = Severity.WARNING


class RedisNotInstalled(CertworkerError):
    code = "redis.missing"
    message_template = "The demo needs redis-server, which is not installed on this machine."
    remedy_template = "Install it: apt-get install redis-server"
    retry = Retry.CONFIG
    severity = Severity.FATAL
