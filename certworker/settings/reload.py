"""
Which containers are told that a certificate has changed, and how; and whether their labels are read.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from certworker.settings.parsers import EngineAddress, Program

#: What servers take as "read your files again"; none of them ends one that knows it.
SIGNALS = ("HUP", "USR1", "USR2", "WINCH")

#: As Docker allows it; the name becomes a part of a URL.
CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


@dataclass(frozen=True)
class Reload:
    """
    What makes one container read its certificates again.

    Attributes:
        container: Its name.
        signal: For `kill`.
        command: For `exec`; no shell interprets it.
    """

    container: str
    action: Literal["kill", "restart", "exec"]
    signal: str = ""
    command: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Reload:
        """
        The one that is written as NAME:SIGNAL, NAME:restart or NAME:exec:COMMAND.

        Raises:
            ValueError: It is none of them.
        """
        container, _, action = text.strip().partition(":")
        if not CONTAINER.fullmatch(container):
            raise ValueError("not the name of a container")
        if action == "restart":
            return cls(container, "restart")
        if action.removeprefix("SIG") in SIGNALS:
            return cls(container, "kill", signal=action.removeprefix("SIG"))
        kind, _, command = action.partition(":")
        words = tuple(shlex.split(command))
        if kind != "exec" or not words:
            raise ValueError("neither a signal nor restart nor exec with a command")
        return cls(container, "exec", command=words)

    def __str__(self) -> str:
        what = {"kill": self.signal, "restart": "restart", "exec": f"exec:{shlex.join(self.command)}"}
        return f"{self.container}:{what[self.action]}"


def _reloads(text: str) -> tuple[Reload, ...]:
    return tuple(dict.fromkeys(map(Reload.parse, filter(str.strip, text.split(",")))))


class ReloadSettings(BaseModel):
    """
    The part of the settings about other servers and containers.
    """

    #: Runs after each publication; None: no program.
    deploy_hook: Program | None = Field(
        None,
        validation_alias="CERTWORKER_DEPLOY_HOOK",
        description="the absolute path of a program that this user may run, such as /usr/local/bin/deploy",
    )
    reloads: Annotated[tuple[Reload, ...], BeforeValidator(_reloads)] = Field(
        (),
        validation_alias="CERTWORKER_RELOAD",
        description=f"NAME:SIGNAL ({', '.join(SIGNALS)}), NAME:restart or NAME:exec:COMMAND, separated by "
        "commas, for example nginx:HUP,mail:restart",
    )
    #: Off by default: a socket proxy that lets containers be listed shows more than ours.
    docker_labels: bool = Field(
        False, validation_alias="CERTWORKER_DOCKER_LABELS", description="true or false"
    )
    #: Not DOCKER_HOST: compose would pass on the one of the operator's own shell.
    docker_host: EngineAddress = Field(
        "unix:///var/run/docker.sock",
        validation_alias="CERTWORKER_DOCKER_HOST",
        description="an address that begins with tcp:// or unix:///, for example tcp://socket-proxy:2375",
    )
