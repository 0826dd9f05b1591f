"""
Tests of the client of the Docker API, and of its failures.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from certworker.errors.reload import EngineUnreachable, ListingRefused, ReloadFailed, ReloadRefused
from certworker.integrations.docker.client import ContainerStarts, DockerClient
from certworker.settings.reload import Reload
from tests.servers.engine import Engine, Listed
from tests.servers.ports import free_port
from tests.servers.web import WebServer, always, response
from tests.servers.worker import wait_until


@pytest.fixture
def engine() -> Iterator[Engine]:
    """
    Yield an engine at a Unix socket that runs one container.
    """
    with (
        tempfile.TemporaryDirectory() as directory,
        Engine({"web"}, Path(directory) / "docker.sock") as engine,
    ):
        yield engine


class TestReload:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("web:HUP", "POST /containers/web/kill?signal=HUP"),
            ("web:restart", "POST /containers/web/restart?t=10"),
        ],
    )
    def test_a_reload_is_one_request(self, engine: Engine, text: str, expected: str) -> None:
        """
        A reload is one request, so that a socket proxy can forbid all others.
        """
        DockerClient(engine.address).reload(Reload.parse(text))

        assert [expected] == engine.asked

    def test_a_command_is_run_without_a_shell(self, engine: Engine) -> None:
        """
        The client executes the command of the setting without a shell.
        """
        DockerClient(engine.address).reload(Reload.parse("web:exec:reload --now 'a b; c'"))

        assert [["reload", "--now", "a b; c"]] == engine.commands

    def test_an_engine_over_tcp_is_used(self) -> None:
        """
        The client can use an engine over TCP, such as a socket proxy.
        """
        with Engine({"web"}) as engine:
            DockerClient(engine.address).reload(Reload.parse("web:USR2"))

            assert ["POST /containers/web/kill?signal=USR2"] == engine.asked

    def test_the_proxy_of_the_environment_is_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The client does not use the proxy of the environment, which is for requests to the CA.
        """
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        with Engine({"web"}) as engine:
            DockerClient(engine.address).reload(Reload.parse("web:USR2"))

            assert ["POST /containers/web/kill?signal=USR2"] == engine.asked


class TestLists:
    def test_running_containers_with_the_label_are_listed(self, engine: Engine) -> None:
        """
        The list has the running containers with the label.
        """
        engine.start("shop", certworker_domains="shop.example.org")
        engine.start("blog")
        engine.listed.append(Listed("old", {"certworker.domains": "old.example.org"}, "exited"))

        (shop,) = DockerClient(engine.address).running("certworker.domains")
        assert ("shop", "shop.example.org") == (shop.name, shop.labels["certworker.domains"])

    def test_all_containers_include_stopped_ones(self, engine: Engine) -> None:
        """
        The list of all containers includes stopped ones.
        """
        engine.listed += [Listed("traefik", state="exited"), Listed("web")]

        found = {each.name: each.state for each in DockerClient(engine.address).all()}
        assert {"traefik": "exited", "web": "running"} == found


class TestStarts:
    def test_each_start_of_a_labeled_container_is_reported(self, engine: Engine) -> None:
        """
        Each start of a container with the label is reported.
        """
        starts = DockerClient(engine.address).starts("certworker.domains")
        wait_until(lambda: engine.followers or None, lambda: str(engine.asked))
        engine.start("blog")
        engine.start("shop", certworker_domains="shop.example.org")

        shop = next(iter(starts))
        starts.close()
        assert ("shop", "shop.example.org") == (shop.name, shop.labels["certworker.domains"])

    def test_the_iteration_ends_with_its_connection(self, engine: Engine) -> None:
        """
        The iteration ends when it is closed, or when the engine closes the connection.
        """
        containers = DockerClient(engine.address)
        assert_ended(containers.starts("certworker.domains"), ContainerStarts.close)
        assert_ended(containers.starts("certworker.domains"), lambda _: engine.hang_up())

    def test_a_second_close_is_allowed(self, engine: Engine) -> None:
        """
        A second close after the end is allowed, because two threads can close.
        """
        starts = DockerClient(engine.address).starts("certworker.domains")
        engine.hang_up()
        assert [] == list(starts)
        starts.close()
        starts.close()


def assert_ended(starts: ContainerStarts, end: Callable[[ContainerStarts], object]) -> None:
    """
    Assert that a thread that waits for the next start ends after *end*.
    """
    reader = threading.Thread(target=lambda: list(starts), daemon=True)
    reader.start()
    time.sleep(0.2)
    end(starts)
    reader.join(timeout=10)
    starts.close()

    assert not reader.is_alive()


class TestFailures:
    def test_a_missing_container_is_named(self, engine: Engine) -> None:
        """
        The failure names the missing container, and the remedy lists similar names.
        """
        with pytest.raises(ReloadFailed, match="No such container: nginx") as caught:
            DockerClient(engine.address).reload(Reload.parse("nginx:HUP"))

        assert caught.value.remedy.endswith("docker ps --all --filter name=nginx")

    def test_a_failed_command_is_reported_with_its_exit_code(self, engine: Engine) -> None:
        """
        The failure has the exit code of the command.
        """
        engine.exit_code = 3
        with pytest.raises(ReloadFailed, match="exit code 3"):
            DockerClient(engine.address).reload(Reload.parse("web:exec:reload"))

    @pytest.mark.parametrize("refusing", ["/kill", "/"])
    def test_a_refusing_proxy_is_reported_with_a_remedy(self, refusing: str) -> None:
        """
        The remedy names the settings of the socket proxy that allow the reload.
        """
        with (
            Engine({"web"}, refusing=refusing) as proxy,
            pytest.raises(ReloadRefused, match="HTTP 403") as caught,
        ):
            DockerClient(proxy.address).reload(Reload.parse("web:HUP"))

        assert "POST=1 and ALLOW_RESTARTS=1" in caught.value.remedy

    @pytest.mark.parametrize("refusing", ["/containers/json|/events", "/"])
    def test_a_refused_list_is_reported_with_a_remedy(self, refusing: str) -> None:
        """
        The remedy names the settings of the socket proxy that allow lists and events.

        The library itself ignores a refused event stream.
        """
        with Engine({"web"}, refusing=refusing) as proxy:
            containers = DockerClient(proxy.address)
            for call in (lambda: containers.running("any"), containers.all, lambda: containers.starts("any")):
                with pytest.raises(ListingRefused, match="HTTP 403") as caught:
                    call()

        assert "CONTAINERS=1 and EVENTS=1" in caught.value.remedy

    def test_a_missing_engine_is_reported_with_its_address(self) -> None:
        """
        The failure has the address of an unreachable engine.
        """
        for address in ("unix:///nowhere/docker.sock", f"tcp://127.0.0.1:{free_port()}"):
            with pytest.raises(EngineUnreachable, match=address):
                DockerClient(address).reload(Reload.parse("web:HUP"))
            with pytest.raises(EngineUnreachable, match=f"Docker at {address} for its containers failed"):
                DockerClient(address).all()

    @pytest.mark.parametrize("answer", [b"<html>", b"{}", b"[1]"])
    def test_another_server_is_reported(self, answer: bytes) -> None:
        """
        A server that is not an engine is reported as an unreachable engine.
        """
        with WebServer(always(200, answer)) as server:
            containers = DockerClient(f"tcp://127.0.0.1:{server.port}")
            for call in (containers.all, lambda: containers.starts("any")):
                with pytest.raises(EngineUnreachable):
                    call()


class TestImport:
    def test_the_library_is_imported_only_if_it_is_used(self) -> None:
        """
        A worker that does not use Docker starts without an import of the library.
        """
        program = "import sys, certworker.cli.work; assert 'docker' not in sys.modules"

        subprocess.run([sys.executable, "-c", program], check=True)


class TestInvalidAnswers:
    """
    Tests of invalid answers at the engine's address.
    """

    @pytest.mark.parametrize("body", ["null", "7", "{}", "[" * 20_000, '"text"'])
    def test_an_invalid_list_is_a_failure(self, body: str) -> None:
        """
        An answer that is not a list is reported as an unreachable engine.
        """
        with invalid_engine(body) as server, pytest.raises(EngineUnreachable):
            DockerClient(f"tcp://127.0.0.1:{server.port}").all()

    def test_an_invalid_entry_is_skipped(self) -> None:
        """
        An invalid entry is skipped, and the other entries are listed.
        """
        with invalid_engine('[null, 7, {"Id": null}, {"Id": "1", "Names": ["/web"]}]') as server:
            (container,) = DockerClient(f"tcp://127.0.0.1:{server.port}").all()

        assert container.name == "web"

    def test_an_invalid_event_is_skipped(self) -> None:
        """
        An invalid event is skipped, and the other events are reported.
        """
        start = '{"Actor": {"ID": "1", "Attributes": {"name": "web"}}}'
        with invalid_engine(f"null\n{{\n\n7\n{start}\n") as server:
            starts = DockerClient(f"tcp://127.0.0.1:{server.port}").starts("label")
            assert ["web"] == [container.name for container in starts]
            starts.close()

    @pytest.mark.parametrize("body", ["null", "{}", '{"Id": 7, "ExitCode": "none"}', "7"])
    def test_an_invalid_answer_to_a_command_is_a_failure(self, body: str) -> None:
        """
        A command fails if the response of the engine is invalid.
        """
        with invalid_engine(body) as server, pytest.raises((EngineUnreachable, ReloadFailed)):
            DockerClient(f"tcp://127.0.0.1:{server.port}").reload(Reload.parse("web:exec:reload"))


def invalid_engine(body: str) -> WebServer:
    """
    Return a server that has the version of an engine and answers each other request with *body*.
    """
    version = '{"ApiVersion": "1.45", "MinAPIVersion": "1.24"}'
    return WebServer(lambda path, _client: response(200, version if path == "/version" else body))
