"""
Failures of the replication to other hosts. Codes: replication.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class ReplicationFailure(CertworkerError):
    """
    A bundle is rejected, or a host is away, is behind, or runs another version.

    Each host keeps the certificates that it has.
    """

    retry = Retry.SOON
    severity = Severity.WARNING


class WrongReplicationKey(ReplicationFailure):
    code = "replication.wrong_key"
    message_template = "A bundle in Redis was encrypted with a key that this host does not have."
    remedy_template = (
        "Set the same CERTWORKER_REPLICATION_KEY on all hosts, then restart them: docker compose up -d"
    )
    retry = Retry.CONFIG
    severity = Severity.ERROR


class BundleDamaged(ReplicationFailure):
    code = "replication.damaged"
    message_template = "A bundle in Redis is damaged: {reason}."
    remedy_template = (
        "Find the program that changes certworker:published, and give it a Redis user without access to this "
        "key: redis-cli ACL LIST"
    )


class BundleFromNewerVersion(ReplicationFailure):
    code = "replication.newer_version"
    message_template = (
        "A newer certworker made a bundle in Redis (version {found}); this host supports version {known}."
    )
    remedy_template = (
        "Upgrade certworker on this host to the version of the other host: docker compose pull && docker "
        "compose up -d"
    )
    retry = Retry.CONFIG
    severity = Severity.ERROR


class BundleTooLarge(ReplicationFailure):
    code = "replication.too_large"
    message_template = "A bundle has {size} bytes; the limit is {limit}."
    remedy_template = (
        "Request fewer names in one certificate, or find the program that writes large values: redis-cli ACL "
        "LIST"
    )


class NodeAway(ReplicationFailure):
    code = "replication.node_away"
    message_template = "The {role} on {host} has not reported since {seen}."
    remedy_template = (
        "Start certworker on {host}, or find the cause in its log: docker compose logs --tail 200"
    )


class NodeBehind(ReplicationFailure):
    code = "replication.node_behind"
    message_template = "The {role} on {host} lacks {missing} names, and is {lag} s behind."
    remedy_template = "Find the cause in the log of {host}: docker compose logs --tail 200"


class VersionsDiffer(ReplicationFailure):
    code = "replication.versions_differ"
    message_template = "The hosts run different versions of certworker: {versions}."
    remedy_template = "Upgrade all hosts to the same version: docker compose pull && docker compose up -d"
    retry = Retry.CONFIG
