"""
`certworker status --nodes`: the hosts with volumes of their own, and what each of them lacks.
"""

from __future__ import annotations

from dataclasses import asdict
from shlex import quote

from redis import Redis

from certworker.cli.output import say, say_json
from certworker.dashboard.nodes import NodeInfo
from certworker.redis.codec import encode_time
from certworker.replication.nodes import Nodes, NodeState


def show_nodes(connection: Redis, *, as_json: bool) -> None:
    """
    Print the state of each node: one line or one JSON object.

    Raises:
        redis.RedisError: Redis does not respond.
    """
    states = Nodes(connection).states()
    for each in states:
        if as_json:
            say_json(_json(each))
        else:
            say(_line(each), color=None if each.is_well else "red")
    if not states and not as_json:
        say("No host has reported. Hosts report if CERTWORKER_REPLICATION_KEY is set.")


def _json(state: NodeState) -> dict[str, object]:
    found = NodeInfo.of(state)
    return {**asdict(found), "seen": encode_time(found.seen)}


def _line(state: NodeState) -> str:
    node = state.node
    parts = [f"{node.host:20} {node.role:6}  {node.version:10} names: {node.names:,}"]
    if state.is_away:
        parts.append(f"away since {node.seen:%Y-%m-%d %H:%M:%S} UTC")
    if state.missing:
        parts.append(f"missing: {state.missing:,}")
    if state.lag_seconds:
        parts.append(f"{state.lag_seconds:,.0f} s behind")
    if node.code:
        parts.append(f"{node.code}: certworker explain {quote(node.code)}")
    return " · ".join(parts)
