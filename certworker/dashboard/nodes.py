"""
The hosts with volumes of their own, on the page and in the API.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from certworker.dashboard.sources import Sources
from certworker.replication.nodes import Nodes, NodeState, Role


@dataclass(frozen=True)
class NodeInfo:
    """
    A host with a volume of its own, with the fields of `certworker status --nodes --json`.
    """

    #: The id of the node.
    node: str
    host: str
    role: Role
    version: str
    #: When the node last reported, by the clock of Redis.
    seen: datetime
    #: Whether the node no longer reports.
    away: bool
    #: The number of names on the volume of the node.
    names: int
    #: How many fewer names the node has than the worker with the most names.
    missing: int
    #: The age in seconds of the oldest change that is not in service on this host; 0: there is none.
    lag_seconds: float
    #: The code of the last failure of the node, until the failure has ended; empty without a failure.
    code: str

    @classmethod
    def of(cls, state: NodeState) -> NodeInfo:
        """
        Return the information about the node with this *state*.
        """
        node = state.node
        return cls(
            node=node.id,
            host=node.host,
            role=node.role,
            version=node.version,
            seen=node.seen,
            away=state.is_away,
            names=node.names,
            missing=state.missing,
            lag_seconds=state.lag_seconds,
            code=node.code,
        )


def nodes(sources: Sources) -> tuple[NodeInfo, ...] | None:
    """
    Return the nodes, sorted by host; None without a replication key.

    Raises:
        redis.RedisError: Redis failed.
    """
    if not sources.settings.replication.keys:
        return None
    return tuple(map(NodeInfo.of, Nodes(sources.connection).states()))
