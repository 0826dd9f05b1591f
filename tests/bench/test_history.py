"""
Tests of the saved runs.
"""

from __future__ import annotations

import json
from pathlib import Path

from bench.figures import Figure
from bench.history import last_values, save, values_in

JOB = Figure("a job", "certworker", 20.0, "ms", 30)
BURST = Figure("many", "certworker", 30.0, "certificates/s", 20, "above")


class TestHistory:
    def test_a_saved_run_has_its_figures_and_its_machine(self, tmp_path: Path) -> None:
        """
        The file has the values by key, whether each meets its limit, and the machine.
        """
        file = save([JOB, BURST], "2 cores", tmp_path)

        assert {JOB.key: 20.0, BURST.key: 30.0} == values_in(file)
        assert "2 cores" == json.loads(file.read_text())["machine"]

    def test_a_later_run_of_some_benchmarks_hides_no_earlier_value(self, tmp_path: Path) -> None:
        """
        The last value of each figure is from the last run that measured it.
        """
        for name, figures in (("2026-01-01.json", [JOB, BURST]), ("2026-01-02.json", [BURST])):
            save(figures, "", tmp_path).rename(tmp_path / name)
        later = json.loads((tmp_path / "2026-01-02.json").read_text())
        later["figures"][0]["value"] = 31.0
        (tmp_path / "2026-01-02.json").write_text(json.dumps(later))

        assert {JOB.key: 20.0, BURST.key: 31.0} == last_values(tmp_path)

    def test_without_a_saved_run_no_value_is_known(self, tmp_path: Path) -> None:
        """
        A first run has no values to compare with.
        """
        assert {} == last_values(tmp_path / "none")
