"""
A real Prometheus on the loopback interface, and its tool, which the tests start and stop.
"""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import yaml

from tests.servers.ports import free_port
from tests.servers.worker import wait_until

TIMEOUT_SECONDS = 10

#: The interval of scrapes and rules. A rate over a minute has a value after two scrapes.
INTERVAL = "500ms"


def program(name: str) -> str:
    """
    Return the path of the program *name* of Prometheus.
    """
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is missing; install it: apt-get install prometheus")
    return found


def promtool(*arguments: str | Path, stdin: str = "") -> str:
    """
    Run promtool, and return its output. A check that fails raises an AssertionError with the output.
    """
    ended = subprocess.run(
        [program("promtool"), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


class Prometheus:
    """
    A server that scrapes one target and evaluates *rules*. As a context manager it starts and stops.

    Args:
        directory: The directory for its files.
        target: The address of the target, with a port.
        rules: The file with the alerts.
    """

    def __init__(self, directory: Path, target: str, rules: Path) -> None:
        directory.mkdir(exist_ok=True)
        self._port = free_port()
        self._log = directory / "prometheus.log"
        config = directory / "prometheus.yml"
        config.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
                    "rule_files": [str(rules)],
                    "scrape_configs": [{"job_name": "certworker", "static_configs": [{"targets": [target]}]}],
                }
            )
        )
        self._command = [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until(self._is_ready, lambda: f"Prometheus does not start:\n{self._log.read_text()}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """
        Return the series of *expression* now. An invalid expression raises an AssertionError.
        """
        found: list[dict[str, Any]] = self.get("query", {"query": expression})["result"]
        return found

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        """
        Return the data of an answer of the HTTP API.
        """
        status, body = self._request(f"/api/v1/{path}?{urlencode(parameters or {})}")
        assert 200 == status, body
        return json.loads(body)["data"]

    def _is_ready(self) -> bool | None:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self._request("/-/ready")[0] == 200 or None
        except OSError:
            return None

    def _request(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
