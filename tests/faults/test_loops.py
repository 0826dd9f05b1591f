"""
A worker whose loops fail or hang. It continues, names the loop, and recovers.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from certworker.worker.health import Report, reports
from tests.app_fixture import environment
from tests.servers.development import development_authority
from tests.servers.engine import Engine
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.sabotage import STEPS, STEPS_AT_THE_START
from tests.servers.worker import WorkerProcess, wait_until

LEASE_SECONDS = 2

#: The loops that show the state of all loops. Each fails alone, and the other one shows it.
REPORTING = ("responder", "health")
GROUPS = [tuple(loop for loop in STEPS if loop not in REPORTING), *((loop,) for loop in REPORTING)]


class Sabotage:
    """
    A worker with all loops, which a test can make fail or hang.
    """

    def __init__(self, place: Path, worker: WorkerProcess, server: RedisServer) -> None:
        self.place = place
        self.worker = worker
        self.server = server

    def reports(self) -> list[Report]:
        """
        Return the reports in Redis. The report of a worker that has ended expires later.
        """
        with self.server.client() as connection:
            return reports(connection)

    @contextmanager
    def sabotaged(self, how: str, loops: Collection[str], *, from_the_start: bool = False) -> Iterator[None]:
        """
        Make each of *loops* `raise` or `hang` for the duration of the context, which begins when each does.

        Args:
            from_the_start: Whether the worker is started again with this fault.
        """
        if from_the_start:
            self.worker.terminate()
        files = [self.place / f"{how}-{loop}" for loop in loops]
        marks = [self.place / f"{how}-{loop}.met" for loop in loops]
        for file in files:
            file.touch()
        if from_the_start:
            self.worker.start()
        try:
            wait_until(
                lambda: all(mark.exists() for mark in marks) or None,
                lambda: f"{[mark.name for mark in marks if not mark.exists()]}\n{self.worker.log[-3000:]}",
            )
            yield
        finally:
            for file in files:
                file.unlink()

    def wait_until_stalled(self, loops: Collection[str]) -> None:
        """
        Wait until the worker reports that all *loops* fail.

        The HTTP server and the report in Redis both name each loop, except the loop that runs the server or
        writes the report.
        """
        if "responder" not in loops:
            status, parts = wait_until(
                lambda: health if set(loops) <= set((health := self._health())[1]["stalled"]) else None,
                lambda: f"{self._health()}\n{self.worker.log[-3000:]}",
            )
            assert (503, False, True) == (status, parts["healthy"], parts["redis"])
        if "health" not in loops:
            wait_until(
                lambda: any(set(loops) <= set(report.stalled) for report in self.reports()) or None,
                lambda: f"{self.reports()}\n{self.worker.log[-3000:]}",
            )

    def health_naming(self, loops: Collection[str]) -> CompletedProcess[str]:
        """
        Return the first run of `certworker health` that names all *loops*.

        On a busy machine, the HTTP server may answer too late for one run.
        """

        def named() -> CompletedProcess[str] | None:
            ended = self.worker.command("health")
            return ended if all(loop in ended.stdout + ended.stderr for loop in loops) else None

        return wait_until(named, lambda: self.worker.log[-3000:])

    def wait_until_healthy(self) -> None:
        """
        Wait until all loops make progress.
        """
        wait_until(
            lambda: self._health()[0] == 200 or None, lambda: f"{self._health()}\n{self.worker.log[-3000:]}"
        )

    def _health(self) -> tuple[int, dict[str, Any]]:
        try:
            status, body = self.worker.get("/healthz")
        except OSError as error:
            return 0, {"stalled": [], "error": str(error)}
        return status, json.loads(body)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FaultyAuthority, int]]:
    """
    Start a CA for the worker of this file. Yield it with the port from which it fetches challenge responses.
    """
    port = free_port()
    with development_authority(tmp_path_factory.mktemp("ca"), http01_port=port) as started:
        yield started, port


@pytest.fixture(scope="module")
def sabotage(
    tmp_path_factory: pytest.TempPathFactory, authority: tuple[FaultyAuthority, int]
) -> Iterator[Sabotage]:
    """
    Start a worker with each possible loop.
    """
    place = tmp_path_factory.mktemp("sabotage")
    server = RedisServer(place / "redis")
    server.start()
    started, port = authority
    with Engine({"web"}) as engine:
        variables = environment(
            place,
            started.directory_url,
            port,
            _APP_REDIS_HOST="127.0.0.1",
            _APP_REDIS_PORT=str(server.port),
            _APP_DOMAIN="main.localhost",
            CERTWORKER_APPWRITE="on",
            CERTWORKER_RELOAD="web:HUP",
            CERTWORKER_DOCKER_LABELS="true",
            CERTWORKER_DOCKER_HOST=engine.address,
            CERTWORKER_NOTIFY_URL=f"http://127.0.0.1:{free_port()}/",
            CERTWORKER_PROXY_ADDRESS="nowhere.invalid:443",
        )
        worker = WorkerProcess(variables, place / "worker.log")
        worker.program = ["tests.servers.sabotage", str(place), str(LEASE_SECONDS)]
        with worker:
            worker.wait_for_line("main.localhost: certificate issued")
            yield Sabotage(place, worker, server)
    server.kill()


class TestEveryLoop:
    def test_all_are_known(self, sabotage: Sabotage) -> None:
        """
        The metrics name each running loop, and the table of the documentation has all loops.
        """
        sabotage.wait_until_healthy()
        running = {
            line.partition('loop="')[2].partition('"')[0]
            for line in sabotage.worker.get("/metrics")[1].splitlines()
            if line.startswith("certworker_loop_stalled{")
        }
        guide = (Path(__file__).parents[2] / "docs" / "guides" / "health.md").read_text()

        assert set(STEPS) == running
        for loop in running | set(STEPS_AT_THE_START):
            assert f"| `{loop}` |" in guide, loop

    @pytest.mark.parametrize("loops", GROUPS, ids=["most", *REPORTING])
    def test_it_continues_after_an_unexpected_error(self, sabotage: Sabotage, loops: tuple[str, ...]) -> None:
        """
        The worker logs the error of each loop once with its traceback, names the loop, and recovers.
        """
        sabotage.wait_until_healthy()
        with sabotage.sabotaged("raise", loops):
            sabotage.wait_until_stalled(loops)
        sabotage.wait_until_healthy()
        log = sabotage.worker.log

        for loop in loops:
            assert 1 == log.count(f"ValueError: sabotage of {loop}\n"), loop
        assert "in wrapped\n" in log

    @pytest.mark.parametrize("loops", GROUPS, ids=["most", *REPORTING])
    def test_one_that_hangs_is_named_by_health_and_doctor(
        self, sabotage: Sabotage, loops: tuple[str, ...]
    ) -> None:
        """
        Health names each loop that hangs, and the worker recovers.
        """
        sabotage.wait_until_healthy()
        with sabotage.sabotaged("hang", loops):
            sabotage.wait_until_stalled(loops)
            health = sabotage.health_naming(loops)
        sabotage.wait_until_healthy()

        assert 1 == health.returncode


class TestEveryLoopOfTheStart:
    """
    The loops that end after their work at the start.
    """

    def test_it_continues_after_an_unexpected_error(self, sabotage: Sabotage) -> None:
        """
        The worker logs the error of each loop once with its traceback, and completes the work of the loop.
        """
        with sabotage.sabotaged("raise", STEPS_AT_THE_START, from_the_start=True):
            sabotage.wait_until_stalled(STEPS_AT_THE_START)
        sabotage.wait_until_healthy()
        log = sabotage.worker.log

        for loop in STEPS_AT_THE_START:
            assert 1 == log.count(f"ValueError: sabotage of {loop}\n"), loop
        assert "in wrapped\n" in log

    def test_one_that_hangs_is_named_by_health_and_doctor(self, sabotage: Sabotage) -> None:
        """
        Health names each loop of the start that hangs, and the worker recovers.
        """
        with sabotage.sabotaged("hang", STEPS_AT_THE_START, from_the_start=True):
            sabotage.wait_until_stalled(STEPS_AT_THE_START)
            health = sabotage.health_naming(STEPS_AT_THE_START)
        sabotage.wait_until_healthy()

        assert 1 == health.returncode
