"""
Docker, asked to make containers read their certificates again, and which containers there are.

A reload is one request by name: a socket proxy need not allow more than that. Lists are asked for only where
an operator wants labels to be read, and by the doctor.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from certworker.deadline import Deadline
from certworker.errors.reloading import EngineUnreachable, ListingRefused, ReloadFailed, ReloadRefused
from certworker.serving.container import Container
from certworker.serving.engine import EngineFailed, Lines, Session
from certworker.settings.reloads import Reload

#: A restart waits this long for the container to end by itself.
GRACE_SECONDS = 10
#: For a list, or for the beginning of the events.
LIST_SECONDS = 30.0
#: For a reload as a whole, be it a command of the container that takes its time.
RELOAD_SECONDS = 120.0

#: After so much silence the engine may be gone without a word.
LONGEST_SILENCE_SECONDS = 60.0

#: What an entry of an engine, or of something that takes itself for one, may lack.
ODD = (KeyError, TypeError, AttributeError, ValueError)


class Containers:
    """
    The containers of one engine.

    Args:
        engine: Its address, or that of a proxy before it.
        list_seconds: The deadline of a list.
        reload_seconds: The deadline of a reload.
    """

    def __init__(
        self, engine: str, *, list_seconds: float = LIST_SECONDS, reload_seconds: float = RELOAD_SECONDS
    ) -> None:
        self._engine = engine
        self._list_seconds = list_seconds
        self._reload_seconds = reload_seconds

    def reload(self, reload: Reload) -> None:
        """
        Do what *reload* says; returns when the engine has done it.

        Raises:
            ReloadFailed: There is no such container, it does not run, or its command failed.
            ReloadRefused: A proxy does not allow it.
            EngineUnreachable: Nobody answers in time, or nobody whom we may ask.
        """
        try:
            exit_code = _done(Session(self._engine, Deadline(self._reload_seconds)), reload)
        except EngineFailed as failed:
            if failed.status is None:
                raise self._unreachable(str(reload), failed) from failed
            if failed.refused:
                raise ReloadRefused(
                    engine=self._engine, reload=reload, reason=f"HTTP {failed.status}"
                ) from failed
            raise ReloadFailed(reload=reload, container=reload.container, reason=failed) from failed
        if exit_code:
            raise ReloadFailed(reload=reload, container=reload.container, reason=f"exit code {exit_code}")

    def running(self, label: str) -> list[Container]:
        """
        Those that run and have *label*.

        Raises:
            ListingRefused: A proxy does not allow it.
            EngineUnreachable: Nobody answers as an engine does.
        """
        return self._listed(all=0, filters=json.dumps({"label": [label]}))

    def all(self) -> list[Container]:
        """
        Every one, whether it runs or not.

        Raises:
            ListingRefused: A proxy does not allow it.
            EngineUnreachable: Nobody answers as an engine does.
        """
        return self._listed(all=1)

    def starts(self, label: str) -> Starts:
        """
        Those with *label* that start from now on; the caller closes it.

        Raises:
            ListingRefused: A proxy does not allow it.
            EngineUnreachable: Nobody answers as an engine does.
        """
        filters = {"type": ["container"], "event": ["start"], "label": [label]}
        follow = self._asked(lambda session: session.follow("/events", filters=json.dumps(filters)))
        return Starts(follow)

    def _listed(self, **query: object) -> list[Container]:
        found = self._asked(lambda session: session.ask("GET", "/containers/json", **query))
        if not isinstance(found, list):
            raise self._unreachable("its containers", "no list")
        return [container for each in found if (container := _read(Container.listed, each))]

    def _asked(self, question: Callable[[Session], Any]) -> Any:
        try:
            return question(Session(self._engine, Deadline(self._list_seconds)))
        except EngineFailed as failed:
            if failed.refused:
                raise ListingRefused(engine=self._engine, reason=f"HTTP {failed.status}") from failed
            raise self._unreachable("its containers", failed) from failed

    def _unreachable(self, wish: str, reason: object) -> EngineUnreachable:
        return EngineUnreachable(engine=self._engine, wish=wish, reason=reason)


class Starts:
    """
    Containers, each when it starts; it ends when the engine goes away or says nothing for long.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[Container]:
        while line := self._lines.next(LONGEST_SILENCE_SECONDS):
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                return  # cut off in the middle
            if container := _read(Container.started, event):
                yield container

    def close(self) -> None:
        """
        End it, also while another thread waits for the next one.
        """
        self._lines.close()


def _read(read: Callable[[Mapping[str, Any]], Container], told: Any) -> Container | None:
    # One that is odd costs the others nothing.
    with suppress(*ODD):
        return read(told)
    return None


def _done(session: Session, reload: Reload) -> int:
    """
    Do it, and return the exit code of the command, if it is one.
    """
    place = f"/containers/{quote(reload.container, '')}"
    if reload.action == "kill":
        session.ask("POST", f"{place}/kill", signal=reload.signal)
    elif reload.action == "restart":
        session.ask("POST", f"{place}/restart", t=GRACE_SECONDS)
    else:
        wanted = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(reload.command)}
        command = _field(session.ask("POST", f"{place}/exec", wanted), "Id", str)
        # The answer ends with the command.
        session.ask("POST", f"/exec/{quote(command, '')}/start", {"Detach": False, "Tty": False})
        return int(_field(session.ask("GET", f"/exec/{quote(command, '')}/json"), "ExitCode", int))
    return 0


def _field(document: Any, name: str, kind: type) -> Any:
    found = document.get(name) if isinstance(document, dict) else None
    if not isinstance(found, kind):
        raise EngineFailed(None, f"an answer without {name}")
    return found
