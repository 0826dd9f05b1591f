"""
One request to a container engine.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from certworker.deadline import Deadline
from certworker.serving.engine import EngineFailed, Session
from tests.servers.engine import Engine
from tests.servers.ports import free_port
from tests.servers.web import Respond, WebServer, always, cut, response, says
from tests.servers.worker import wait_until


@pytest.fixture
def engine() -> Iterator[Engine]:
    """
    An engine at a port, that runs one container.
    """
    with Engine({"web"}) as engine:
        yield engine


def session(address: str, seconds: float = 30) -> Session:
    """
    A session with the engine at *address*.
    """
    return Session(address, Deadline(seconds))


class TestSession:
    def test_the_version_of_the_api_is_part_of_each_path(self, engine: Engine) -> None:
        """
        A path without it is deprecated.
        """
        assert [] == session(engine.address).ask("GET", "/containers/json", all=1)
        assert ["GET /containers/json?all=1"] == engine.asked

    def test_a_failure_has_the_words_of_the_engine(self, engine: Engine) -> None:
        """
        They name the container.
        """
        with pytest.raises(EngineFailed, match="No such container: nginx") as failed:
            session(engine.address).ask("POST", "/containers/nginx/kill", signal="HUP")

        assert (404, False) == (failed.value.status, failed.value.refused)

    @pytest.mark.parametrize(
        "respond",
        [
            always(200, b"{}"),
            always(200, b"[1]"),
            always(200, b"[" * 100_000),
            always(200, b'{"ApiVersion": "../../secret"}'),
            always(200, b'{"ApiVersion": 1.45}'),
            always(302, b"", Location="http://127.0.0.1/"),
            says(b"SSH-2.0-OpenSSH_9.2\r\n"),
            says(b""),
            cut,
        ],
    )
    def test_what_is_no_engine_says_so(self, respond: Respond) -> None:
        """
        An address may lead anywhere.
        """
        with WebServer(respond) as server, pytest.raises(EngineFailed) as failed:
            session(f"tcp://127.0.0.1:{server.port}")

        assert failed.value.status is None

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_proxy_that_refuses_is_told_apart(self, status: int) -> None:
        """
        The remedy is another one.
        """
        with (
            WebServer(always(status, b"<h1>Forbidden</h1>\x1b[2J")) as server,
            pytest.raises(EngineFailed) as failed,
        ):
            session(f"tcp://127.0.0.1:{server.port}")

        assert failed.value.refused
        assert str(failed.value).isprintable()

    def test_nobody_there_is_the_reason(self) -> None:
        """
        Most often the socket was not mounted.
        """
        for address in ("unix:///nowhere/docker.sock", f"tcp://127.0.0.1:{free_port()}"):
            with pytest.raises(EngineFailed, match=r"No such file|refused"):
                session(address)


class TestLines:
    def test_they_come_as_they_are_sent(self, engine: Engine) -> None:
        """
        Each is a whole event.
        """
        lines = session(engine.address).follow("/events", filters='{"label": ["a"]}')
        wait_until(lambda: engine.followers or None, lambda: str(engine.asked))
        engine.start("shop", a="b")

        assert b'"name": "shop"' in lines.next(30)
        lines.close()

    def test_silence_ends_them(self, engine: Engine) -> None:
        """
        The engine may be gone without a word.
        """
        lines = session(engine.address).follow("/events", filters='{"label": ["a"]}')

        assert b"" == lines.next(0.2)

    def test_their_length_does_not_count_against_the_deadline_of_the_beginning(self, engine: Engine) -> None:
        """
        They are followed for months.
        """
        lines = session(engine.address, 0.5).follow("/events", filters='{"label": ["a"]}')
        threading.Timer(1, engine.start, ("shop",), {"a": "b"}).start()

        assert b'"name": "shop"' in lines.next(30)
        lines.close()

    def test_a_refusal_is_no_silence(self) -> None:
        """
        A socket proxy answers at once.
        """

        def respond(path: str, _visitor: object) -> bytes:
            return response(200, '{"ApiVersion": "1.45"}') if path == "/version" else response(403)

        with WebServer(respond) as server, pytest.raises(EngineFailed) as failed:
            session(f"tcp://127.0.0.1:{server.port}").follow("/events")

        assert failed.value.refused
