"""
What is asked of Docker, and what an operator is told when it says no.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from certworker.errors.reloading import EngineUnreachable, ReloadFailed, ReloadRefused
from certworker.serving.containers import Containers
from certworker.settings.reloads import Reload
from tests.servers.engine import Engine
from tests.servers.redis import free_port


@pytest.fixture
def engine() -> Iterator[Engine]:
    """
    An engine at a Unix socket, as it listens by default, that runs one container.
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
        A socket proxy that allows nothing else must be enough: no list, no look.
        """
        Containers(engine.address).reload(Reload.parse(text))

        assert [asked] == engine.asked

    def test_a_command_is_run_without_a_shell(self, engine: Engine) -> None:
        """
        What is written in a setting is what is run.
        """
        Containers(engine.address).reload(Reload.parse("web:exec:reload --now 'a b; c'"))

        assert [["reload", "--now", "a b; c"]] == engine.commands

    def test_an_engine_behind_tcp_is_asked_too(self) -> None:
        """
        Socket proxies listen there.
        """
        with Engine({"web"}) as engine:
            Containers(engine.address).reload(Reload.parse("web:USR2"))

            assert ["POST /containers/web/kill?signal=USR2"] == engine.asked


class TestFailures:
    def test_a_container_that_is_not_there_is_named(self, engine: Engine) -> None:
        """
        Compose prefixes its names, and people forget it.
        """
        with pytest.raises(ReloadFailed, match="No such container: nginx") as told:
            Containers(engine.address).reload(Reload.parse("nginx:HUP"))

        assert told.value.remedy.endswith("docker ps --all --filter name=nginx")

    def test_a_command_that_fails_is_told_with_its_exit_code(self, engine: Engine) -> None:
        """
        `nginx -s reload` with a broken configuration reloads nothing.
        """
        engine.exit_code = 3
        with pytest.raises(ReloadFailed, match="exit code 3"):
            Containers(engine.address).reload(Reload.parse("web:exec:reload"))

    @pytest.mark.parametrize("refusing", ["/kill", "/"])
    def test_a_proxy_that_refuses_is_told_with_what_to_allow(self, refusing: str) -> None:
        """
        It refuses the action, or already the question for the version.
        """
        with (
            Engine({"web"}, refusing=refusing) as proxy,
            pytest.raises(ReloadRefused, match="HTTP 403") as told,
        ):
            Containers(proxy.address).reload(Reload.parse("web:HUP"))

        assert "ALLOW_RESTARTS=1" in told.value.remedy

    def test_an_engine_that_is_not_there_is_told_with_where_it_was_sought(self) -> None:
        """
        Most often the socket was not mounted.
        """
        for address in ("unix:///nowhere/docker.sock", f"tcp://127.0.0.1:{free_port()}"):
            with pytest.raises(EngineUnreachable, match=address):
                Containers(address).reload(Reload.parse("web:HUP"))


class TestImport:
    def test_the_library_is_loaded_by_those_who_use_it_only(self) -> None:
        """
        It costs every start a tenth of a second otherwise.
        """
        program = "import sys, certworker.cli.work; assert 'docker' not in sys.modules"

        subprocess.run([sys.executable, "-c", program], check=True)
