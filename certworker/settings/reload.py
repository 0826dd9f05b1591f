"""
How a server gets a new certificate: the values of CERTWORKER_RELOAD and of the labels.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Literal

#: The accepted signals: by one of them, a server reads its files again. A signal that always ends a server,
#: such as TERM, is rejected.
SIGNALS = ("HUP", "USR1", "USR2", "WINCH")

#: The names that Docker allows. A name becomes a part of a URL.
CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")

#: The beginning of the address of HAProxy's runtime API.
HAPROXY = "haproxy+unix://"

#: The longest path of a Unix socket on Linux, in bytes.
LONGEST_SOCKET = 107


@dataclass(frozen=True)
class Reload:
    """
    The action that makes one container read its certificates again.

    Attributes:
        container: The name of the container.
        action: What certworker requests from Docker.
        signal: The signal that `kill` sends.
        command: The command that `exec` runs, without a shell.
    """

    container: str
    action: Literal["kill", "restart", "exec"]
    signal: str = ""
    command: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Reload:
        """
        Return the reload in *text*: NAME:SIGNAL, NAME:restart or NAME:exec:COMMAND.

        Raises:
            ValueError: The text has another form.
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


@dataclass(frozen=True)
class HaproxySocket:
    """
    The socket of HAProxy's runtime API, which replaces certificates without a reload.
    """

    path: str

    @classmethod
    def parse(cls, text: str) -> HaproxySocket:
        """
        Return the socket in *text*: haproxy+unix:// and an absolute path.

        Raises:
            ValueError: The text has another form.
        """
        path = text.strip().removeprefix(HAPROXY)
        if not path.startswith("/") or not path.isprintable() or len(path.encode()) > LONGEST_SOCKET:
            raise ValueError("not the path of a socket")
        return cls(path)

    def __str__(self) -> str:
        return f"{HAPROXY}{self.path}"


#: How one server gets a new certificate.
Target = Reload | HaproxySocket


def reloads_in(text: str) -> tuple[Target, ...]:
    """
    Return the reloads in *text*, which are separated by commas, each once.

    Raises:
        ValueError: A reload is invalid.
    """
    return tuple(dict.fromkeys(map(_target, filter(None, map(str.strip, text.split(","))))))


def _target(text: str) -> Target:
    return HaproxySocket.parse(text) if text.startswith(HAPROXY) else Reload.parse(text)
