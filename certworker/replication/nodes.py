"""
The hosts with a volume of their own: the id of this host, and the reports of all hosts in Redis.

Workers that share a volume are one node. The id of a node is derived from the target and the inode number of
the link `.certworker/node`, and from the id of the machine. So a copy of the volume on another host is
another node. The times of the reports are those of Redis, so the clocks of the hosts do not matter.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, cast, get_args

from redis import Redis

from certworker.errors import printable
from certworker.redis.codec import decode_text, decode_time, encode_time, fields_in
from certworker.replication.stream import BEGINNING, BundleStream, is_position, order_of
from certworker.storage import durable

#: The key of the reports: a hash with one field for each node.
NODES = "certworker:nodes"

REPORT_EVERY_SECONDS = 10.0
#: A node with an older report counts as away.
FRESH = timedelta(seconds=40)
#: A report that is older than this is removed.
FORGOTTEN_AFTER = timedelta(days=30)

#: The approximate maximum number of reports that are read. Any program may write reports.
MOST_NODES = 1_000

#: The maximum number of names in a report.
MOST_NAMES = 10_000_000

_LONGEST_MACHINE_ID = 1_000

Role = Literal["worker", "mirror"]
ROLES: tuple[Role, ...] = get_args(Role)

#: The file with the id of the machine (machine-id(5)).
MACHINE_ID = Path("/etc/machine-id")

ID_CHARACTERS = 16

_ID = re.compile(rf"[0-9a-f]{{{ID_CHARACTERS}}}")


def node_id(volume: Path, machine: Path = MACHINE_ID) -> str:
    """
    Return the id of the node whose certificates are in *volume*.

    Args:
        machine: The file with the id of the machine. Containers usually have none.

    Raises:
        VolumeReadOnly, VolumeFull, VolumeFault: The id cannot be stored.
    """
    link = volume / ".certworker" / "node"
    with durable.translate_os_errors(link):
        if not os.path.lexists(link):
            durable.make_directory(link.parent)
            # Another worker on this volume may make the link at the same time: the first one counts.
            with suppress(FileExistsError):
                link.symlink_to(secrets.token_hex(8))
            durable.sync_directory(link.parent)
        parts = str(link.readlink()), str(link.lstat().st_ino), _content(machine)
    return sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:ID_CHARACTERS]


@dataclass(frozen=True)
class Node:
    """
    The report of a node.
    """

    id: str
    host: str
    role: Role
    version: str
    #: When it last reported, by the clock of Redis.
    seen: datetime
    #: The number of names on its volume.
    names: int
    #: The position of the last entry of the stream that it has applied.
    position: str
    #: Whether it has all names: it has compared its names with those of a worker, or is the first worker.
    is_complete: bool
    #: The code of a bundle's failure, until a bundle is valid, or of a name's failure, until the name is in
    #: service or removed; empty if there is no such failure.
    code: str = ""

    def is_away(self, now: datetime) -> bool:
        """
        Return whether the node no longer reports.
        """
        return now - self.seen > FRESH


@dataclass(frozen=True)
class NodeState:
    """
    A node, compared with the stream and with the other nodes.
    """

    node: Node
    is_away: bool
    #: How many fewer names it has than the worker with the most names.
    missing: int
    #: The age of the oldest entry of the stream that it has not applied; 0: none.
    lag_seconds: float

    @property
    def is_well(self) -> bool:
        """
        Return whether the node reports, lacks nothing, and has no failure.
        """
        return not (self.is_away or self.missing or self.lag_seconds or self.node.code)


class Nodes:
    """
    The reports of all nodes.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def now(self) -> datetime:
        """
        Return the time of the clock of Redis.

        Raises:
            redis.RedisError: Redis failed.
        """
        seconds, microseconds = self._connection.time()
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)

    def report(self, node: Node) -> None:
        """
        Store the report of *node*, and remove the reports that are too old, or from the future.

        Raises:
            redis.RedisError: Redis failed.
        """
        fields = {**asdict(node), "seen": encode_time(node.seen)}
        self._connection.hset(NODES, node.id, json.dumps(fields))
        now = self.now()
        earliest, latest = now - FORGOTTEN_AFTER, now + FRESH
        if wrong := [each.id for each in self._reports() if not earliest <= each.seen <= latest]:
            self._connection.hdel(NODES, *wrong)

    def all(self) -> list[Node]:
        """
        Return the reports of all nodes, sorted by host, without reports from the future.

        Raises:
            redis.RedisError: Redis failed.
        """
        latest = self.now() + FRESH
        return [node for node in self._reports() if node.seen <= latest]

    def states(self) -> list[NodeState]:
        """
        Return the states of all nodes, sorted by host.

        Raises:
            redis.RedisError: Redis failed.
        """
        nodes, now = self.all(), self.now()
        most = _most_names(nodes)
        return [
            NodeState(node, node.is_away(now), max(0, most - node.names), self.lag_seconds(node.position))
            for node in nodes
        ]

    def missing(self, names: int) -> int:
        """
        Return how many fewer names a node with this number of *names* has than the worker with the most.

        Raises:
            redis.RedisError: Redis failed.
        """
        return max(0, _most_names(self.all()) - names)

    def lag_seconds(self, position: str) -> float:
        """
        Return the age of the first entry of the stream after *position*; 0: there is none.

        Raises:
            redis.RedisError: Redis failed.
        """
        following = BundleStream(self._connection).next_position(position)
        if following is None:
            return 0.0
        return max(0.001, self.now().timestamp() - order_of(following)[0] / 1000)

    def others(self, own: str) -> list[Node]:
        """
        Return the workers that have all names and answer comparisons now, except the node *own*.

        Raises:
            redis.RedisError: Redis failed.
        """
        now = self.now()
        return [
            node
            for node in self.all()
            if node.id != own and node.role == "worker" and node.is_complete and not node.is_away(now)
        ]

    def _reports(self) -> list[Node]:
        _, found = cast("tuple[int, dict[bytes, bytes]]", self._connection.hscan(NODES, count=MOST_NODES))
        nodes = [node for key, text in found.items() if (node := _node(decode_text(key), text))]
        return sorted(nodes, key=lambda node: (node.host, node.id))


def _content(machine: Path) -> str:
    try:
        return durable.read(machine, _LONGEST_MACHINE_ID).decode("ascii", "replace").strip()
    except (OSError, durable.UnsuitableFile):
        return ""


def _most_names(nodes: list[Node]) -> int:
    return max((node.names for node in nodes if node.role == "worker"), default=0)


def _node(key: str, text: bytes) -> Node | None:
    fields: dict[str, Any] = fields_in(text)
    seen, names = decode_time(fields.get("seen")), fields.get("names")
    role = next((role for role in ROLES if role == fields.get("role")), None)
    position = str(fields.get("position"))
    if seen is None or role is None or not _ID.fullmatch(key):
        return None
    if not isinstance(names, int) or isinstance(names, bool) or not 0 <= names <= MOST_NAMES:
        return None
    return Node(
        id=key,
        host=printable(fields.get("host", ""), 100),
        role=role,
        version=printable(fields.get("version", ""), 100),
        seen=seen,
        names=names,
        position=position if is_position(position) else BEGINNING,
        is_complete=fields.get("is_complete") is True,
        code=printable(fields.get("code", ""), 100),
    )
