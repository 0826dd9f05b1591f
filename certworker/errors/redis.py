"""
Failures of Redis: it is away, refuses us, or takes nothing.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class RedisUnreachable(CertworkerError):
    code = "redis.unreachable"
    says = "Redis at {address} is not reachable ({reason})."
    cure = (
        "See that it runs and that _APP_REDIS_HOST and _APP_REDIS_PORT, or CERTWORKER_REDIS_URL, are right: "
        "docker compose ps redis"
    )
    retry = Retry.SOON
    severity = Severity.FATAL


class RedisRefusesUs(CertworkerError):
    code = "redis.auth"
    says = "Redis at {address} rejects the user or the password ({reason})."
    cure = (
        "Set _APP_REDIS_USER and _APP_REDIS_PASS, or CERTWORKER_REDIS_URL, as in the service redis, "
        "then run: docker compose up -d"
    )
    retry = Retry.CONFIG
    severity = Severity.FATAL


class RedisUntrusted(CertworkerError):
    code = "redis.tls"
    says = "Redis at {address} and we do not trust each other over TLS ({reason})."
    cure = (
        "Name what Redis's certificate is signed with, and our own certificate and key where Redis asks for "
        "them, in CERTWORKER_REDIS_URL: rediss://HOST:PORT/0?ssl_ca_certs=/run/secrets/redis-ca.pem"
        "&ssl_certfile=/run/secrets/redis.pem&ssl_keyfile=/run/secrets/redis.key; if its certificate is for "
        "another name than the host's, add &ssl_check_hostname=false"
    )
    retry = Retry.SOON
    severity = Severity.FATAL


class RedisFull(CertworkerError):
    code = "redis.oom"
    says = "Redis at {address} has no memory left ({reason})."
    cure = (
        "Raise --maxmemory of the service redis in docker-compose.yml, then run: docker compose up -d redis"
    )
    retry = Retry.SOON
    severity = Severity.FATAL


class RedisReadOnly(CertworkerError):
    code = "redis.readonly"
    says = "Redis at {address} does not accept writes ({reason})."
    cure = (
        "Set _APP_REDIS_HOST, or the host in CERTWORKER_REDIS_URL, to the primary, or free its disk and see "
        "its log: docker compose logs redis"
    )
    retry = Retry.SOON
    severity = Severity.FATAL


class RedisTooOld(CertworkerError):
    code = "redis.too_old"
    says = "Redis at {address} is version {version}; 6.2 is the first that hands out jobs without losing any."
    cure = "Set image: redis:7-alpine for redis in docker-compose.yml, then run: docker compose up -d redis"
    retry = Retry.CONFIG
    severity = Severity.FATAL


class RedisDenies(CertworkerError):
    code = "redis.rights"
    says = "Redis at {address} denies its user a command or a key that certworker needs ({reason})."
    cure = (
        "Give the user the rights that docs/guides/redis.md lists: "
        "redis-cli ACL SETUSER certworker on ~certworker:* ~rq:* …"
    )
    retry = Retry.SOON


class RedisLacksCommand(CertworkerError):
    code = "redis.command"
    says = "Redis at {address} lacks a command that certworker needs ({reason})."
    cure = (
        "Remove its rename-command line from redis.conf, or use a Redis or Valkey that has the commands in "
        "docs/guides/redis.md, then run: docker compose up -d redis"
    )
    retry = Retry.SOON


class RedisIsCluster(CertworkerError):
    code = "redis.cluster"
    says = "Redis at {address} is a Redis Cluster, which certworker does not support ({reason})."
    cure = (
        "Set CERTWORKER_REDIS_URL to a single Redis or Valkey, or to one with Sentinels: "
        "redis://USER:PASSWORD@HOST:6379/0"
    )
    retry = Retry.CONFIG
    severity = Severity.FATAL


class RedisFault(CertworkerError):
    code = "redis.fault"
    says = "Redis at {address} refused a command ({reason})."
    cure = "Read the reason, and check Redis and the rights of the user: certworker doctor"
    retry = Retry.SOON


class RedisWrongType(CertworkerError):
    code = "redis.wrong_type"
    says = "The key {key} in Redis at {address} is a {found}, not a {wanted}."
    cure = "Find out which program writes it, then remove it: redis-cli UNLINK {quoted}"
    retry = Retry.SOON


class RedisEvicts(CertworkerError):
    code = "redis.evict"
    says = "Redis forgets jobs when its memory is full (maxmemory-policy {policy})."
    cure = "Start it with --maxmemory-policy noeviction, then run: docker compose up -d redis"
    retry = Retry.CONFIG
    severity = Severity.WARNING


class RedisMissing(CertworkerError):
    code = "redis.missing"
    says = "There is no redis-server on this machine, and the demo needs one."
    cure = "Install it: apt-get install redis-server"
    retry = Retry.CONFIG
    severity = Severity.FATAL
