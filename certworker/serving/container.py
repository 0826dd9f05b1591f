"""
A container, as the engine lists it or tells of its start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Self


@dataclass(frozen=True)
class Published:
    """
    A port of the machine that leads into a container.
    """

    address: str
    port: int


@dataclass(frozen=True)
class Container:
    """
    What is known of one container.

    Attributes:
        state: As Docker calls it: running, exited, restarting, …
        mounts: What lies where: a volume by its name, a directory of the machine by its path.
        on_host_network: Each of its ports is one of the machine.
    """

    id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    state: str = "running"
    published: tuple[Published, ...] = ()
    mounts: Mapping[str, str] = field(default_factory=dict)
    on_host_network: bool = False

    @classmethod
    def listed(cls, told: Mapping[str, Any]) -> Self:
        """
        One entry of GET /containers/json.
        """
        # Links of old give it further names, of the form /other/alias.
        names = [name.removeprefix("/") for name in told.get("Names") or ()]
        return cls(
            id=told["Id"],
            name=next((name for name in names if "/" not in name), told["Id"][:12]),
            labels=told.get("Labels") or {},
            image=told.get("Image") or "",
            state=told.get("State") or "",
            published=tuple(
                Published(port.get("IP") or "0.0.0.0", port["PublicPort"])  # noqa: S104 (what Docker means)
                for port in told.get("Ports") or ()
                if port.get("PublicPort") and port.get("Type") == "tcp"
            ),
            mounts={
                mount["Destination"]: mount.get("Name")
                or mount.get("Source")
                or f"memory of {told['Id'][:12]}"
                for mount in told.get("Mounts") or ()
            },
            on_host_network=(told.get("HostConfig") or {}).get("NetworkMode") == "host",
        )

    @classmethod
    def started(cls, event: Mapping[str, Any]) -> Self:
        """
        The one whose start GET /events tells; its labels stand among the attributes.
        """
        attributes = event["Actor"]["Attributes"]
        return cls(id=event["Actor"]["ID"], name=attributes["name"], labels=attributes)

    def lies_at(self, path: PurePath) -> str | None:
        """
        What is mounted at *path*, or around it with the way to it; None: nothing.
        """
        around = [point for point in map(PurePath, self.mounts) if path.is_relative_to(point)]
        if not around:
            return None
        point = max(around, key=lambda each: len(each.parts))
        return str(PurePath(self.mounts[str(point)]) / path.relative_to(point))
