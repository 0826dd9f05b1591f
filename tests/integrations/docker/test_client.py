"""
Tests of the Docker API, and of the failures that an operator sees.
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
    Return an engine at a Unix socket that runs one container.
    """
    with tempfile.TemporaryDirectory() as place, Engine({"web"}, Path(place) / "docker.sock") as engine:
        yield engine


class TestReload:
    @pytest.mark.parametrize(
        ("text", "asked"),
        [
            ("web:HUP", "POST /containers/web/kill?signal=HUP"),
            ("web:restart", "POST /containers/web/restart?t=10"),
        ],
    )
    def test_one_request_by_name_and_no_other(self, engine: Engine, text: str, asked: str) -> None:
        """
        A reload needs one request only, so a socket proxy can forbid all others.
        """
        DockerClient(engine.address).reload(Reload.parse(text))

        assert [asked] == engine.asked

    def test_a_command_is_run_without_a_shell(self, engine: Engine) -> None:
        """
        The command of the setting is executed without a shell.
        """
        DockerClient(engine.address).reload(Reload.parse("web:exec:reload --now 'a b; c'"))

        assert [["reload", "--now", "a b; c"]] == engine.commands

    def test_an_engine_behind_tcp_is_asked_too(self) -> None:
        """
        An engine over TCP, such as a socket proxy, is used as well.
        """
        with Engine({"web"}) as engine:
            DockerClient(engine.address).reload(Reload.parse("web:USR2"))

            assert ["POST /containers/web/kill?signal=USR2"] == engine.asked

    def test_the_proxy_of_the_environment_is_for_the_ca(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The proxy of the environment gets no request, because it could read the list of containers.
        """
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        with Engine({"web"}) as engine:
            DockerClient(engine.address).reload(Reload.parse("web:USR2"))

            assert ["POST /containers/web/kill?signal=USR2"] == engine.asked


class TestLists:
    def test_those_with_the_label_that_run_are_found(self, engine: Engine) -> None:
        """
        The engine filters the list by the label.
        """
        engine.start("shop", certworker_domains="shop.example.org")
        engine.start("blog")
        engine.listed.append(Listed("old", {"certworker.domains": "old.example.org"}, "exited"))

        (shop,) = DockerClient(engine.address).running("certworker.domains")
        assert ("shop", "shop.example.org") == (shop.name, shop.labels["certworker.domains"])

    def test_all_of_them_are_those_that_do_not_run_too(self, engine: Engine) -> None:
        """
        The list for the doctor includes stopped containers.
        """
        engine.listed += [Listed("traefik", state="exited"), Listed("web")]

        found = {each.name: each.state for each in DockerClient(engine.address).all()}
        assert {"traefik": "exited", "web": "running"} == found


class TestStarts:
    def test_each_start_of_a_labeled_container_is_reported(self, engine: Engine) -> None:
        """
        A container is reported when it starts.
        """
        starts = DockerClient(engine.address).starts("certworker.domains")
        wait_until(lambda: engine.followers or None, lambda: str(engine.asked))
        engine.start("blog")
        engine.start("shop", certworker_domains="shop.example.org")

        shop = next(iter(starts))
        starts.close()
        assert ("shop", "shop.example.org") == (shop.name, shop.labels["certworker.domains"])

    def test_it_ends_when_it_is_closed_or_the_engine_goes_away(self, engine: Engine) -> None:
        """
        The iteration ends when it is closed, also without another event.
        """
        containers = DockerClient(engine.address)
        assert_ended(containers.starts("certworker.domains"), ContainerStarts.close)
        assert_ended(containers.starts("certworker.domains"), lambda _: engine.hang_up())

    def test_one_that_has_ended_may_be_closed_again(self, engine: Engine) -> None:
        """
        Closing twice is allowed, because two threads do it.
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
    def test_a_container_that_is_not_there_is_named(self, engine: Engine) -> None:
        """
        The failure names the container, whose name Compose may have prefixed.
        """
        with pytest.raises(ReloadFailed, match="No such container: nginx") as caught:
            DockerClient(engine.address).reload(Reload.parse("nginx:HUP"))

        assert caught.value.remedy.endswith("docker ps --all --filter name=nginx")

    def test_a_failed_command_is_reported_with_its_exit_code(self, engine: Engine) -> None:
        """
        The failure contains the exit code, as of `nginx -s reload` with an invalid configuration.
        """
        engine.exit_code = 3
        with pytest.raises(ReloadFailed, match="exit code 3"):
            DockerClient(engine.address).reload(Reload.parse("web:exec:reload"))

    @pytest.mark.parametrize("refusing", ["/kill", "/"])
    def test_a_refusing_proxy_is_reported_with_a_remedy(self, refusing: str) -> None:
        """
        The remedy says what to allow, for the action and for the request of the version.
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
        The remedy says what to allow; the library itself ignores a refused event stream.
        """
        with Engine({"web"}, refusing=refusing) as proxy:
            containers = DockerClient(proxy.address)
            for ask in (lambda: containers.running("any"), containers.all, lambda: containers.starts("any")):
                with pytest.raises(ListingRefused, match="HTTP 403") as caught:
                    ask()

        assert "CONTAINERS=1 and EVENTS=1" in caught.value.remedy

    def test_a_missing_engine_is_reported_with_its_address(self) -> None:
        """
        The failure contains the address: most often the socket is not mounted.
        """
        for address in ("unix:///nowhere/docker.sock", f"tcp://127.0.0.1:{free_port()}"):
            with pytest.raises(EngineUnreachable, match=address):
                DockerClient(address).reload(Reload.parse("web:HUP"))
            with pytest.raises(EngineUnreachable, match=f"Docker at {address} for its containers failed"):
                DockerClient(address).all()

    @pytest.mark.parametrize("answer", [b"<html>", b"{}", b"[1]"])
    def test_another_server_is_reported(self, answer: bytes) -> None:
        """
        Another server at the address is reported as no engine.
        """
        with WebServer(always(200, answer)) as server:
            containers = DockerClient(f"tcp://127.0.0.1:{server.port}")
            for ask in (containers.all, lambda: containers.starts("any")):
                with pytest.raises(EngineUnreachable):
                    ask()


class TestImport:
    def test_the_library_is_loaded_by_those_who_use_it_only(self) -> None:
        """
        Other workers start without loading the library.
        """
        program = "import sys, certworker.cli.work; assert 'docker' not in sys.modules"

        subprocess.run([sys.executable, "-c", program], check=True)


class TestOddAnswers:
    """
    Tests of invalid answers at the engine's address.
    """

    @pytest.mark.parametrize("body", ["null", "7", "{}", "[" * 20_000, '"text"'])
    def test_a_list_that_is_none_is_no_engine(self, body: str) -> None:
        """
        The remedy is about the address of the engine.
        """
        with odd_engine(body) as server, pytest.raises(EngineUnreachable):
            DockerClient(f"tcp://127.0.0.1:{server.port}").all()

    def test_an_odd_entry_hides_no_container(self) -> None:
        """
        An invalid entry is skipped.
        """
        with odd_engine('[null, 7, {"Id": null}, {"Id": "1", "Names": ["/web"]}]') as server:
            (container,) = DockerClient(f"tcp://127.0.0.1:{server.port}").all()

        assert container.name == "web"

    def test_an_odd_event_hides_no_start(self) -> None:
        """
        An invalid event is skipped.
        """
        start = '{"Actor": {"ID": "1", "Attributes": {"name": "web"}}}'
        with odd_engine(f"null\n{{\n\n7\n{start}\n") as server:
            starts = DockerClient(f"tcp://127.0.0.1:{server.port}").starts("label")
            assert ["web"] == [container.name for container in starts]
            starts.close()

    @pytest.mark.parametrize("body", ["null", "{}", '{"Id": 7, "ExitCode": "none"}', "7"])
    def test_a_command_of_an_odd_engine_fails(self, body: str) -> None:
        """
        The failure names the engine.
        """
        with odd_engine(body) as server, pytest.raises((EngineUnreachable, ReloadFailed)):
            DockerClient(f"tcp://127.0.0.1:{server.port}").reload(Reload.parse("web:exec:reload"))


def odd_engine(body: str) -> WebServer:
    """
    Return a server that has a version and answers every other request with *body*.
    """
    version = '{"ApiVersion": "1.45", "MinAPIVersion": "1.24"}'
    return WebServer(lambda path, _client: response(200, version if path == "/version" else body))
