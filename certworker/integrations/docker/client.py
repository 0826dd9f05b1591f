"""
The Docker API: lists, events and reloads.

Apart from the version of the API, a reload needs only requests about its container and a command in it, so a
socket proxy can forbid all others. Only labels and the doctor need lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from certworker.errors import printable
from certworker.errors.reload import EngineUnreachable, ListingRefused, ReloadFailed, ReloadRefused
from certworker.integrations.docker.container import Container
from certworker.settings.reload import Reload

if TYPE_CHECKING:
    from docker import APIClient
    from docker.types import CancellableStream

#: The seconds after which a restart kills a container that has not stopped.
GRACE_SECONDS = 10
TIMEOUT_SECONDS = 30

#: After this time without data, the stream of events ends: the connection may be broken.
MAX_SILENCE_SECONDS = 60

#: The exceptions of the library for a response that does not come from Docker.
UNUSABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


class DockerClient:
    """
    The containers of one engine.

    Args:
        engine: The address of the engine or its proxy.
    """

    def __init__(self, engine: str) -> None:
        self._engine = engine

    def reload(self, reload: Reload) -> None:
        """
        Perform *reload*, and wait until the engine has finished.

        Raises:
            ReloadFailed: The engine responds with an error, for example because the container is missing or
                stopped; or the command in the container failed.
            ReloadRefused: A proxy does not allow the reload.
            EngineUnreachable: The engine does not respond, its response is not usable, or it denies access to
                its socket.
        """
        try:
            with self._client() as client:
                exit_code = _perform(client, reload)
        except _Failed as failed:
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
        Return the running containers with *label*.

        Raises:
            ListingRefused: A proxy does not allow the request.
            EngineUnreachable: The engine does not respond, or responds with an error or in another format.
        """
        return self._listed({"label": [label]})

    def all(self) -> list[Container]:
        """
        Return all containers, including stopped ones.

        Raises:
            ListingRefused: A proxy does not allow the request.
            EngineUnreachable: The engine does not respond, or responds with an error or in another format.
        """
        return self._listed(None)

    def starts(self, label: str) -> ContainerStarts:
        """
        Return the containers with *label* that start from now on. The caller closes the result.

        Raises:
            ListingRefused: A proxy does not allow the request.
            EngineUnreachable: The engine does not respond, or responds with an error or in another format.
        """
        try:
            return self._starts({"type": ["container"], "event": ["start"], "label": [label]})
        except _Failed as failed:
            raise self._of_listing(failed) from failed

    def _listed(self, filters: dict[str, list[str]] | None) -> list[Container]:
        try:
            with self._client() as client:
                found = client.containers(all=filters is None, filters=filters)
        except _Failed as failed:
            raise self._of_listing(failed) from failed
        if not isinstance(found, list):
            raise self._unreachable("its containers", "its response is not a list")
        return list(filter(None, map(Container.listed, found)))

    def _starts(self, filters: dict[str, list[str]]) -> ContainerStarts:
        from docker.errors import APIError
        from docker.types import CancellableStream

        with _translate_errors():
            client = self._open()
            # The library's own method ignores the status. A refusal would seem to be a stream without events.
            answer = client.get(
                f"{client.base_url}/v{client.api_version}/events",
                params={"filters": json.dumps(filters)},
                stream=True,
                timeout=(TIMEOUT_SECONDS, MAX_SILENCE_SECONDS),
            )
            if answer.status_code != 200:
                client.close()
                raise APIError(answer.reason, answer)
            return ContainerStarts(client, CancellableStream(answer.iter_lines(chunk_size=None), answer))

    @contextmanager
    def _client(self) -> Iterator[APIClient]:
        with _translate_errors():
            client = self._open()
            try:
                yield client
            finally:
                client.close()

    def _open(self) -> APIClient:
        # Most workers do not need the library, and its import is slow.
        from docker import APIClient

        class Direct(APIClient):  # type: ignore[misc] # the library has no types
            # The proxy variables are for the CA. Without this property, the library `requests` would use them
            # for an engine over TCP.
            trust_env = property(lambda _self: False, lambda _self, _value: None)

        return Direct(self._engine, timeout=TIMEOUT_SECONDS)

    def _of_listing(self, failed: _Failed) -> EngineUnreachable | ListingRefused:
        if failed.refused:
            return ListingRefused(engine=self._engine, reason=f"HTTP {failed.status}")
        return self._unreachable("its containers", failed)

    def _unreachable(self, wish: str, failed: object) -> EngineUnreachable:
        return EngineUnreachable(engine=self._engine, wish=wish, reason=failed)


class ContainerStarts:
    """
    Yields each container when it starts. The iteration ends when the engine disconnects, or sends nothing for
    :data:`MAX_SILENCE_SECONDS`.
    """

    def __init__(self, client: APIClient, lines: CancellableStream) -> None:
        self._client = client
        self._lines = lines

    def __iter__(self) -> Iterator[Container]:
        for line in self._lines:
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue  # an incomplete line, or not an event
            if container := Container.started(event):
                yield container

    def close(self) -> None:
        """
        End the iteration, even while another thread waits for the next container.
        """
        with suppress(OSError, AttributeError):  # the engine has already closed the connection
            self._lines.close()
        self._client.close()


class _Failed(Exception):
    """
    The error of the engine or of the connection.
    """

    def __init__(self, status: int | None, reason: object) -> None:
        super().__init__(printable(reason, 200))
        self.status = status
        self.refused = status in (401, 403)


@contextmanager
def _translate_errors() -> Iterator[None]:
    from docker.errors import APIError, DockerException

    try:
        yield
    except (DockerException, OSError, *UNUSABLE) as error:
        # The library requests the version first, and wraps the errors of that request.
        cause = error if isinstance(error, APIError) else error.__cause__ or error
        if not isinstance(cause, APIError):
            raise _Failed(None, cause) from error
        raise _Failed(cause.status_code, cause.explanation or cause.response.reason) from error


def _perform(client: APIClient, reload: Reload) -> int:
    """
    Perform *reload*, and return the exit code of its command; 0 without a command.
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
