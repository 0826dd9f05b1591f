"""
The connection to Redis and its configuration. Codes: redis.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class RedisUnreachable(CertworkerError):
    code = "redis.unreachable"
    message_template = "Redis at {address} is not reachable ({reason})."
    remedy_template = (
        "See that it runs and that _APP_REDIS_HOST and _APP_REDIS_PORT, or CERTWORKER_REDIS_URL, are right: "
        "docker compose ps redis"
    )
    retry = Retry.SOON
    severity = Severity.FATAL


class RedisAuthFailed(CertworkerError):
    code = "redis.auth"
    message_template = "Redis at {address} rejects the user or the password ({reason})."
    remedy_template = (
        "Set _APP_REDIS_USER and _APP_REDIS_PASS, or CERTWORKER_REDIS_URL, as in the service redis, "
        "then run: docker compose up -d"
    )
    retry = Retry.CONFIG
    severity = Severity.FATAL


class RedisTlsFailed(CertworkerError):
    code = "redis.tls"
    message_template = "Redis at {address} and we do not trust each other over TLS ({reason})."
    remedy_template = (
        "Name what Redis's certificate is signed with, and our own certificate and key where Redis asks for "
        "them, in CERTWORKER_REDIS_URL: rediss://HOST:PORT/0?ssl_ca_certs=/run/secrets/redis-ca.pem"
        "&ssl_certfile=/run/secrets/redis.pem&ssl_keyfile=/run/secrets/redis.key; if its certificate is for "
        "another name than the host's, add &ssl_check_hostname=false"
    )
    retry = Retry.SOON
    severity = Severity.FATAL


class RedisOutOfMemory(CertworkerError):
    code = "redis.oom"
    message_template = "Redis at {address} has no memory left ({reason})."
    remedy_template = (
        "Raise --maxmemory of the service redis in docker-compose.yml, then run: docker compose up -d redis"
    )
    retry = Retry.SOON
    severity = Severity.FATAL


class RedisReadOnly(CertworkerError):
    code = "redis.readonly"
    message_template = "Redis at {address} does not accept writes ({reason})."
    remedy_template = (
        "Set _APP_REDIS_HOST, or the host in CERTWORKER_REDIS_URL, to the primary, or free its disk and see "
        "its log: docker compose logs redis"
    )
    retry = Retry.SOON
    severity = Severity.FATAL


class RedisTooOld(CertworkerError):
    code = "redis.too_old"
    message_template = (
        "Redis at {address} is version {version}; 6.2 is the first that hands out jobs without losing any."
    )
    remedy_template = (
        "Set image: redis:7-alpine for redis in docker-compose.yml, then run: docker compose up -d redis"
    )
    retry = Retry.CONFIG
    severity = Severity.FATAL


class RedisPermissionDenied(CertworkerError):
    code = "redis.rights"
    message_template = (
        "Redis at {address} denies its user a command or a key that certworker needs ({reason})."
    )
    remedy_template = (
        "Give the user the rights that docs/guides/redis.md lists: "
        "redis-cli ACL SETUSER certworker on ~certworker:* ~rq:* …"
    )
    retry = Retry.SOON


class RedisCommandMissing(CertworkerError):
    code = "redis.command"
    message_template = "Redis at {address} lacks a command that certworker needs ({reason})."
    remedy_template = (
        "Remove its rename-command line from redis.conf, or use a Redis or Valkey that has the commands in "
        "docs/guides/redis.md, then run: docker compose up -d redis"
    )
    retry = Retry.SOON


class RedisIsCluster(CertworkerError):
    code = "redis.cluster"
    message_template = "Redis at {address} is a Redis Cluster, which certworker does not support ({reason})."
    remedy_template = (
        "Set CERTWORKER_REDIS_URL to a single Redis or Valkey, or to one with Sentinels: "
        "redis://USER:PASSWORD@HOST:6379/0"
    )
    retry = Retry.CONFIG
    severity = Severity.FATAL


class RedisFault(CertworkerError):
    code = "redis.fault"
    message_template = "Redis at {address} refused a command ({reason})."
    remedy_template = "Read the reason, and check Redis and the rights of the user: certworker doctor"
    retry = Retry.SOON


class RedisWrongType(CertworkerError):
    code = "redis.wrong_type"
    message_template = "The key {key} in Redis at {address} is a {found}, not a {wanted}."
    remedy_template = "Find out which program writes it, then remove it: redis-cli UNLINK {quoted}"
    retry = Retry.SOON


class RedisEvicts(CertworkerError):
    code = "redis.evict"
    message_template = "Redis forgets jobs when its memory is full (maxmemory-policy {policy})."
    remedy_template = "Start it with --maxmemory-policy noeviction, then run: docker compose up -d redis"
    retry = Retry.CONFIG
    severity = Severity.WARNING


class RedisNotInstalled(CertworkerError):
    code = "redis.missing"
    message_template = "There is no redis-server on this machine, and the demo needs one."
    remedy_template = "Install it: apt-get install redis-server"
    retry = Retry.CONFIG
    severity = Severity.FATAL
