"""
The checks of the replication to other hosts.
"""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from certworker.doctor.findings import Finding, Section
from certworker.errors import CertworkerError
from certworker.errors.replication import NodeAway, NodeBehind, VersionsDiffer
from certworker.redis.client import connected
from certworker.redis.health import check_redis
from certworker.replication.nodes import Nodes, NodeState
from certworker.settings import Settings
from certworker.traefik.reload_interval import MOST_SECONDS

REPLICATION = Section("Replication")

#: A host that is behind for a shorter time is putting a change into service, or is waiting for Traefik.
SHORT_LAG_SECONDS = MOST_SECONDS + 30.0


def replication(settings: Settings) -> Iterator[Finding]:
    """
    Yield the findings about the keys and the hosts; none without a replication key.
    """
    if not (keys := settings.replication.keys):
        return
    yield REPLICATION.ok("keys", f"{len(keys)}, of which the first one encrypts" if keys[1:] else "one")
    try:
        with connected(settings.redis) as connection:
            check_redis(connection)
            states = Nodes(connection).states()
    except CertworkerError:
        yield REPLICATION.skip("hosts", "Redis is not usable")
        return
    if not states:
        yield REPLICATION.warn(
            "hosts",
            "No host has reported.",
            "Start a worker or a mirror with this key: docker compose up -d",
        )
        return
    yield REPLICATION.ok("hosts", ", ".join(f"{each.node.host} ({each.node.role})" for each in states))
    for state in states:
        yield from _host(state)
    versions = sorted({each.node.version for each in states if not each.is_away})
    if versions[1:]:
        yield REPLICATION.failure("versions", VersionsDiffer(versions=", ".join(versions)))


def _host(state: NodeState) -> Iterator[Finding]:
    node = state.node
    if state.is_away:
        seen = f"{node.seen:%Y-%m-%d %H:%M:%S} UTC"
        yield REPLICATION.failure(node.host, NodeAway(role=node.role, host=node.host, seen=seen))
        return
    if node.code:
        yield REPLICATION.fail(
            node.host,
            f"Its last failure is {node.code}.",
            f"Read its cause and its remedy: certworker explain {quote(node.code)}",
            node.code,
        )
    if state.missing or state.lag_seconds > SHORT_LAG_SECONDS:
        yield REPLICATION.failure(
            node.host,
            NodeBehind(role=node.role, host=node.host, missing=state.missing, lag=f"{state.lag_seconds:.0f}"),
        )
