"""
The doctor's report.
"""

from __future__ import annotations

import json

from tests.servers.worker import WorkerProcess


class TestDoctor:
    def test_failures_are_exit_code_2_and_plain_when_piped(self, worker: WorkerProcess) -> None:
        """
        No symbols and no colours where no terminal is.
        """
        worker.environment["_APP_REDIS_PORT"] = "1"
        ended = worker.command("doctor")

        assert 2 == ended.returncode
        assert "FAIL" in ended.stdout
        assert "\x1b" not in ended.stdout

    def test_json_has_one_finding_a_line(self, worker: WorkerProcess) -> None:
        """
        For whoever collects them.
        """
        findings = [json.loads(line) for line in worker.command("doctor", "--json").stdout.splitlines()]

        assert {"well"} == {finding["verdict"] for finding in findings}
