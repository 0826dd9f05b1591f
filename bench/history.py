"""
The saved runs: each run writes its figures to a file, and a later run compares its figures with them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Figure, as_json

#: The directory of the saved runs. `make clean` removes it.
RUNS = Path(__file__).parents[1] / "build" / "bench"


def save(figures: Sequence[Figure], machine: str, runs: Path = RUNS) -> Path:
    """
    Write the figures of this run to a new file in *runs*, and return its path.
    """
    runs.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    file = runs / f"{now:%Y-%m-%dT%H-%M-%SZ}.json"
    content = {"time": now.isoformat(timespec="seconds"), "machine": machine, "figures": as_json(figures)}
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return file


def last_values(runs: Path = RUNS) -> dict[str, float]:
    """
    Return the last saved value of each figure. A run of only some benchmarks does not hide the others.
    """
    values: dict[str, float] = {}
    for file in sorted(runs.glob("*.json")):
        values |= values_in(file)
    return values


def values_in(file: Path) -> dict[str, float]:
    """
    Return the value of each figure in the saved run *file*.
    """
    return {each["key"]: each["value"] for each in json.loads(file.read_text())["figures"]}
