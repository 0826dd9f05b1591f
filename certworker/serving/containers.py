"""
Tells containers to read their certificates again: Docker, asked for a container by its name.

Nothing is listed and nothing is looked at, so that a socket proxy need not allow more than the one action.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certworker.errors import CertworkerError, printable
from certworker.errors.reloading import EngineUnreachable, ReloadFailed, ReloadRefused
from certworker.settings.reloads import Reload

if TYPE_CHECKING:
    from docker import APIClient

#: A restart waits this long for the container to end by itself.
GRACE_SECONDS = 10
TIMEOUT_SECONDS = 30


class Containers:
    """
    The containers of one engine.

    Args:
        engine: Its address, or that of a proxy before it.
    """

    def __init__(self, engine: str) -> None:
        self._engine = engine

    def reload(self, reload: Reload) -> None:
        """
        Do what *reload* says; returns when the engine has done it.

        Raises:
            ReloadFailed: There is no such container, it does not run, or its command failed.
            ReloadRefused: A proxy does not allow it.
            EngineUnreachable: Nobody answers, or nobody whom we may ask.
        """
        # Most workers never need it, and it takes its time to import.
        from docker import APIClient
        from docker.errors import DockerException

        try:
            client = APIClient(self._engine, timeout=TIMEOUT_SECONDS)
            try:
                status = _done(client, reload)
            finally:
                client.close()
        except (DockerException, OSError) as error:
            raise self._failure(reload, error) from error
        if status:
            raise ReloadFailed(reload=reload, container=reload.container, reason=f"exit code {status}")

    def _failure(self, reload: Reload, error: Exception) -> CertworkerError:
        from docker.errors import APIError

        # A question for the engine's version comes first, and what went wrong there is wrapped.
        cause = error if isinstance(error, APIError) else error.__cause__ or error
        if not isinstance(cause, APIError):
            return EngineUnreachable(engine=self._engine, reload=reload, reason=printable(cause, 200))
        if cause.status_code in (401, 403):
            return ReloadRefused(engine=self._engine, reload=reload, reason=f"HTTP {cause.status_code}")
        reason = printable(cause.explanation or cause.response.reason, 200)
        return ReloadFailed(reload=reload, container=reload.container, reason=reason)


def _done(client: APIClient, reload: Reload) -> int:
    """
    Do it, and return the exit code of the command, if it is one.
    """
    if reload.action == "kill":
        client.kill(reload.container, reload.signal)
    elif reload.action == "restart":
        client.restart(reload.container, timeout=GRACE_SECONDS)
    else:
        prepared = client.exec_create(reload.container, list(reload.command))
        client.exec_start(prepared["Id"])
        return int(client.exec_inspect(prepared["Id"])["ExitCode"])
    return 0
