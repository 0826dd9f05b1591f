"""
The commands of docs/guides/api.md run without changes, with a real worker process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from certworker.settings import load
from certworker.web.api.events import (
    MOST_STREAMS,
    MOST_STREAMS_OF_ONE,
    MOST_STREAMS_OF_TENANTS,
    STREAM_SECONDS,
)
from certworker.web.api.models import MOST_NAMES
from certworker.web.api.parameters import SEARCH
from certworker.web.api.rate_limit import BURST, CALLS_PER_SECOND
from tests.cli.conftest import worker
from tests.documentation import DOCS
from tests.guides import Section, sections
from tests.recording import steady
from tests.servers.ports import free_port
from tests.servers.worker import WorkerProcess, wait_until
from tests.shell_examples import run_shell

__all__ = ["worker"]

GUIDE = DOCS / "guides" / "api.md"

#: The address on the page.
ADDRESS = "127.0.0.1:8081"


@pytest.fixture(scope="module")
def guide() -> dict[str, Section]:
    """
    Return the sections of the guide.
    """
    return sections(GUIDE)


@pytest.fixture
def address(worker: WorkerProcess) -> Iterator[str]:
    """
    Start the worker; yield the address of its API.
    """
    address = f"127.0.0.1:{free_port()}"
    worker.environment["CERTWORKER_WEB_ADDRESS"] = address
    with worker:
        worker.wait_for_line(" ready · ")
        yield address


class TestGuide:
    def test_the_commands_run_in_their_order(
        self, guide: dict[str, Section], address: str, worker: WorkerProcess, tmp_path: Path
    ) -> None:
        """
        Each command succeeds, from the first token to the list of calls, with the output below it.
        """
        environment = worker.environment | {"API": f"http://{address}/api/v1"}
        printed: dict[str, str] = {}

        def run(title: str, block: str) -> str:
            printed[title] = run_shell(block.replace(ADDRESS, address), tmp_path, environment)
            return printed[title]

        for title, section in guide.items():
            for block in section["sh"]:
                if "/events" in block:
                    assert '"state": "issued"' in first_events(block, tmp_path, environment)
                elif title == "List names":
                    # The index contains a new name after a second.
                    wait_until(partial(has_names, partial(run, title, block)), lambda: "no new name")
                else:
                    run(title, block)
            for output in section["text output"]:
                assert steady(output) <= steady(printed[title])

        assert "0\n" in printed["Get a token"]
        assert "DNS:shop.localhost" in printed["Read a name"]
        assert 4 == printed["Renew, retry and remove"].count('{"jobs": [{')
        assert '"shop.localhost"\n' == printed["Limits"]
        assert "/names/{name}/renew" in printed["Generate a client"].splitlines()

    def test_the_values_are_those_of_the_program(self, guide: dict[str, Section]) -> None:
        """
        The address, the limits and the parameters of the guide are those of the program.
        """
        text = " ".join(GUIDE.read_text().split())
        parameters = re.findall(r"`([a-z]+)`", "".join(re.findall(r"^\| `[^|]*", GUIDE.read_text(), re.M)))

        assert str(load({}).web.address) == ADDRESS
        assert f"at most {MOST_NAMES} names" in text
        assert f"a burst of {BURST} calls, and {CALLS_PER_SECOND:.0f} each second" in text
        assert (2, 4, 6, 600) == (
            *(MOST_STREAMS_OF_ONE, MOST_STREAMS_OF_TENANTS, MOST_STREAMS, STREAM_SECONDS),
        )
        assert {each.name for each in SEARCH} - {"cursor"} <= set(parameters)


def has_names(run: Callable[[], str]) -> bool | None:
    """
    Return True if *run* returns both names of the guide.
    """
    return {"blog.localhost", "shop.localhost"} <= set(run().split()) or None


def first_events(block: str, directory: Path, environment: dict[str, str]) -> str:
    """
    Return the output of the endless command in *block* up to the first outcome.
    """
    printed = ""
    with Popen(["sh", "-e", "-c", f"exec {block}"], cwd=directory, env=environment, stdout=PIPE) as process:
        assert process.stdout is not None
        while '"state": "issued"' not in printed:
            line = process.stdout.readline().decode()
            assert line, printed
            printed += line
        process.kill()
    return printed
