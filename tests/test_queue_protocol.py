"""
The tables of docs/reference/queue-protocol.md match the code, and its examples run.
"""

from __future__ import annotations

import http.client
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from certworker.app import App
from certworker.runtime import build_tasks
from certworker.worker.job_class import FORBIDDEN_FIELDS, SHORTEST_TTL
from certworker.worker.payload import LARGEST
from certworker.worker.producer import FAILURE_TTL, JOB_TIMEOUT, QUEUE, RESULT_TTL
from tests.servers.development import development_authority
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess, wait_until
from tests.shell_examples import variables
from tests.worker.sample_tasks import end_of, push, worker_thread

TOP = Path(__file__).parents[1]
PAGE = TOP / "docs" / "reference" / "queue-protocol.md"
TEXT = PAGE.read_text()


def blocks() -> list[tuple[str, str]]:
    """
    Return the language and the text of each example that runs, in the order of the page.
    """
    return re.findall(r"^```(sh|python) run\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)


def rows(heading: str) -> dict[str, str]:
    """
    Return the last cell of each row by its first cell, from the table with *heading*.
    """
    table = TEXT.partition(f"| {heading} |")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {row[0]: row[-1] for row in cells}


@pytest.fixture
def tools(tmp_path: Path, redis_server: RedisServer) -> Mapping[str, str]:
    """
    Return an environment in which `redis-cli` and the tools of RQ connect to the Redis of the test.
    """
    (tmp_path / "bin").mkdir()
    client = tmp_path / "bin" / "redis-cli"
    client.write_text(f'#!/bin/sh\nPATH={os.environ["PATH"]} exec redis-cli -p {redis_server.port} "$@"\n')
    client.chmod(0o755)
    paths = [str(client.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    url = f"redis://127.0.0.1:{redis_server.port}"
    return {**os.environ, "PATH": os.pathsep.join(paths), "RQ_REDIS_URL": url, "RQ_DASHBOARD_REDIS_URL": url}


class TestTables:
    def test_functions_and_arguments_match_the_code(self, app: App) -> None:
        """
        The page has each function and each argument that a producer may send, and no others.
        """
        functions = rows("function | arguments")
        known = {
            f"`{name}`": ", ".join(f"`{each}`" for each in inspect.signature(function).parameters)
            for name, function in build_tasks(app).items()
        }

        assert known == functions
        assert set(rows("argument | type | meaning")) == set(functions["`certworker.issue`"].split(", "))

    def test_the_limits_match_the_code(self) -> None:
        """
        Each limit in the table is a limit of the code.
        """
        fields = rows("field | | value")

        assert f"at most {LARGEST:,} bytes" in fields["`data`"]
        assert f"1 to {JOB_TIMEOUT}, {JOB_TIMEOUT} by default" in fields["`timeout`"]
        assert f"{SHORTEST_TTL} to {FAILURE_TTL:,}, {RESULT_TTL:,} by default" in fields["`result_ttl`"]
        assert f"{SHORTEST_TTL} to {FAILURE_TTL:,}, {FAILURE_TTL:,} by default" in fields["`failure_ttl`"]
        assert [] == [field for field in FORBIDDEN_FIELDS if f"`{field}`" not in TEXT]

    def test_the_message_of_a_rejection_is_exact(self, app: App, connection: Redis) -> None:
        """
        The page has the exact message of a rejected job, because users search for it.
        """
        data = b'["certworker.issue", null, [], {"domain": "a.org", "forse": true}]'
        with worker_thread(connection, functions=build_tasks(app)):
            _, message = end_of(connection, push(connection, "job", data=data))

        assert f"\n{message}\n" in TEXT

    def test_the_former_keyword_still_works(
        self, app: App, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A job with `i_know` uses the full rate limit of the CA.
        """
        data = b'["certworker.issue", null, [], {"domain": "a.localhost", "force": true, "i_know": true}]'
        with worker_thread(connection, functions=build_tasks(app)):
            status, _ = end_of(connection, push(connection, "job", data=data))

        assert "finished" == status
        assert "a.localhost" in app.agenda
        assert "using the CA's full rate limit" in caplog.text
        assert "its former name `i_know` still works" in TEXT

    def test_each_link_leads_to_a_file(self) -> None:
        """
        Each relative link leads to an existing file.
        """
        targets = re.findall(r"\]\((?!https?://)([^)#]+)", TEXT)

        assert targets
        assert [] == [target for target in targets if not (PAGE.parent / target).exists()]


class TestExamples:
    def test_they_run_one_after_the_other(
        self, tmp_path: Path, redis_server: RedisServer, connection: Redis, tools: Mapping[str, str]
    ) -> None:
        """
        The examples run without changes beside a worker, and each name of the page gets a certificate.
        """
        http_port = free_port()
        with development_authority(tmp_path, http01_port=http_port) as authority:
            environment = variables(tmp_path, redis_server, authority, http_port)
            with WorkerProcess(environment, tmp_path / "log") as worker:
                worker.wait_for_line("main.localhost: ")
                for language, block in blocks():
                    command = ["sh", "-e", "-c"] if language == "sh" else [sys.executable, "-c"]
                    ended = subprocess.run(
                        [*command, block], env=tools, capture_output=True, text=True, timeout=60, check=False
                    )
                    assert 0 == ended.returncode, ended.stdout + ended.stderr
                worker.wait_for_line(r"www\.shop\.localhost: certificate issued")
                assert "finished" == end_of(connection, "issue-1")[0]


class TestDashboard:
    @pytest.fixture
    def port(self, tools: Mapping[str, str]) -> Iterator[int]:
        """
        Start an rq-dashboard with the command of the page, and yield its port.
        """
        (command,) = re.findall(r"`(rq-dashboard .+)`", TEXT)
        port = free_port()
        with subprocess.Popen(
            [*command.split(), "--bind", "127.0.0.1", "--port", str(port)], env=tools
        ) as run:
            try:
                wait_until(lambda: _status(port, "/") == 200 or None, lambda: "rq-dashboard does not answer")
                yield port
            finally:
                run.kill()

    def test_each_list_of_jobs_is_shown(self, connection: Redis, port: int) -> None:
        """
        The dashboard shows finished, failed, rejected, queued, deferred, scheduled and canceled jobs.
        """
        queue = Queue(QUEUE, connection=connection, serializer=JSONSerializer)
        with worker_thread(connection):
            end_of(connection, queue.enqueue("certworker.issue", domain="a.org").id)
            end_of(connection, queue.enqueue("sample.fail").id)
            push(connection, "pickle", data=b"\x80\x05.")
            end_of(connection, "pickle")
        waiting = queue.enqueue("certworker.issue", domain="b.org")
        queue.enqueue("certworker.issue", domain="c.org", depends_on=waiting)
        queue.enqueue("certworker.issue", domain="d.org").cancel()
        kinds = ("queued", "finished", "failed", "started", "deferred", "scheduled", "canceled")
        pages = [f"/0/data/jobs/{QUEUE}/{kind}/8/asc/1.json" for kind in kinds]

        assert dict.fromkeys(pages, 200) == {page: _status(port, page) for page in pages}


def _status(port: int, path: str) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except ConnectionError:
        return None
    finally:
        connection.close()
