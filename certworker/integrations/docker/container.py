"""
A container in a list or an event of the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import PurePath
from typing import Any, Self

from certworker.errors import printable

#: Characters. Docker's own names are shorter.
LONGEST_NAME = 255


@dataclass(frozen=True)
class PublishedPort:
    """
    A port of the host that is forwarded to a container.
    """

    address: IPv4Address | IPv6Address
    port: int


@dataclass(frozen=True)
class Container:
    """
    One container.

    Attributes:
        state: The state as Docker reports it: running, exited, restarting and so on.
        mounts: The source of each mount by its path: the name of a volume, a directory of the host, or
            memory.
        on_host_network: Whether its ports are those of the host.
    """

    id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    state: str = "running"
    published: tuple[PublishedPort, ...] = ()
    mounts: Mapping[str, str] = field(default_factory=dict)
    on_host_network: bool = False

    @classmethod
    def listed(cls, entry: object) -> Self | None:
        """
        Return the container of an entry of GET /containers/json; None if the entry is invalid.

        A field of another type counts as missing.
        """
        document = _object(entry)
        if not (identifier := _text(document.get("Id"))):
            return None
        # Links add names of the form /other/alias.
        names = [_text(name).removeprefix("/") for name in _list(document.get("Names"))]
        return cls(
            id=identifier,
            name=_shown(next((name for name in names if name and "/" not in name), identifier[:12])),
            labels=_texts(document.get("Labels")),
            image=_text(document.get("Image")),
            state=_text(document.get("State")),
            published=tuple(filter(None, map(_published, _list(document.get("Ports"))))),
            mounts={
                point: _text(mount.get("Name"))
                or _text(mount.get("Source"))
                or f"memory of {_shown(identifier[:12])}"
                for mount in map(_object, _list(document.get("Mounts")))
                if (point := _text(mount.get("Destination")))
            },
            on_host_network=_object(document.get("HostConfig")).get("NetworkMode") == "host",
        )

    @classmethod
    def started(cls, event: object) -> Self | None:
        """
        Return the container in *event*, a start event of GET /events; None if it has no id or no name.

        The labels of the container are among the attributes of the event.
        """
        actor = _object(_object(event).get("Actor"))
        attributes = _texts(actor.get("Attributes"))
        identifier, name = _text(actor.get("ID")), attributes.get("name")
        return cls(id=identifier, name=_shown(name), labels=attributes) if identifier and name else None

    def mount_source(self, path: PurePath) -> str | None:
        """
        Return the source of the mount that contains *path*, with the rest of the path; None without a mount.
        """
        mounts = {PurePath(point): source for point, source in self.mounts.items()}
        around = [point for point in mounts if path.is_relative_to(point)]
        if not around:
            return None
        point = max(around, key=lambda each: len(each.parts))
        return str(PurePath(mounts[point]) / path.relative_to(point))


def _published(entry: object) -> PublishedPort | None:
    port = _object(entry)
    number = port.get("PublicPort")
    if port.get("Type") != "tcp" or not isinstance(number, int) or not 0 < number < 1 << 16:
        return None
    address = _text(port.get("IP")) or "0.0.0.0"  # noqa: S104 (what Docker means)
    try:
        return PublishedPort(ip_address(address), number)
    except ValueError:
        return None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> Mapping[str, str]:
    return {key: text for key, text in _object(value).items() if isinstance(text, str)}


def _shown(name: str) -> str:
    return printable(name, LONGEST_NAME)
