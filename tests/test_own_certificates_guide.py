"""
The commands of docs/guides/own-certificates.md for Docker and for the API work without changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app_fixture import environment
from tests.documentation import DOCS, ROOT
from tests.guides import Section, sections
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess
from tests.shell_examples import SIGN, run_shell

GUIDE = DOCS / "guides" / "own-certificates.md"
NAME = "shop.example.com"
COMPOSE = "docker compose exec -T appwrite-worker-certificates"


@pytest.fixture(scope="module")
def guide() -> dict[str, Section]:
    """
    Return the sections of the guide.
    """
    return sections(GUIDE)


@pytest.fixture
def worker(
    tmp_path: Path,
    redis_server: RedisServer,
    connection: object,
    app_authority: FaultyAuthority,
    http_port: int,
) -> Iterator[WorkerProcess]:
    """
    Start a worker with the page and the API. The files of the guide are in *tmp_path*.
    """
    variables = environment(
        tmp_path,
        app_authority.directory_url,
        http_port,
        _APP_REDIS_HOST="127.0.0.1",
        _APP_REDIS_PORT=str(redis_server.port),
        CERTWORKER_WEB_ADDRESS=f"127.0.0.1:{free_port()}",
    )
    run_shell(f"{SIGN}sign DNS:{NAME} fullchain.pem privkey.pem", tmp_path, {})
    with WorkerProcess({**variables, "PYTHONPATH": str(ROOT)}, tmp_path / "worker.log") as started:
        started.wait_for_line("certworker .* ready")
        yield started


def state_of(worker: WorkerProcess) -> str:
    """
    Return the state of the name.
    """
    return str(json.loads(worker.command("status", "--json", NAME).stdout)["state"])


def test_the_command_in_the_container_reads_the_standard_input(
    guide: dict[str, Section], worker: WorkerProcess, tmp_path: Path
) -> None:
    """
    The command for Docker Compose imports the files of the host.
    """
    (command,) = guide["Import a certificate"].commands
    assert COMPOSE in command
    printed = run_shell(command.replace(f"{COMPOSE} \\\n", ""), tmp_path, worker.environment)

    assert f"{NAME}: stored, issued by site" in printed


def test_the_call_of_the_api_imports_the_certificate(
    guide: dict[str, Section], worker: WorkerProcess, tmp_path: Path
) -> None:
    """
    The call stores the certificate, and the worker puts it into service.
    """
    (command,) = guide["By API"].commands
    token = worker.command("token", "create", "--role", "admin").stdout.strip()
    address = worker.environment["CERTWORKER_WEB_ADDRESS"]
    variables = {**worker.environment, "TOKEN": token}
    printed = run_shell(command.replace("127.0.0.1:8081", address), tmp_path, variables)
    worker.wait_for_line(f"{NAME}: imported certificate in service")

    assert f'"name": "{NAME}"' in printed
    assert "imported" == state_of(worker)
    assert "PRIVATE KEY" not in printed + worker.log
