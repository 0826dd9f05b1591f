"""
`python -m bench`: measure certworker and other clients, and report whether certworker meets its limits.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from bench import (
    burst,
    checks,
    covered,
    flood,
    job,
    kills,
    ledger,
    page,
    repair,
    slots,
    slow,
    start,
    traces,
    web,
    wildcards,
)
from bench.figures import Figure, as_json, table
from tests.servers.pebble import programs

BENCHMARKS = {
    "job": job,
    "burst": burst,
    "wildcards": wildcards,
    "covered": covered,
    "slots": slots,
    "start": start,
    "checks": checks,
    "ledger": ledger,
    "repair": repair,
    "flood": flood,
    "slow": slow,
    "kills": kills,
    "web": web,
    "page": page,
    "traces": traces,
}


def main() -> int:
    """
    Run the selected benchmarks. Return 0 if each limit is met, otherwise 1.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="|".join(BENCHMARKS), help="the benchmarks to run; all by default"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")

    # SIGTERM raises an exception like Ctrl-C, so that no server remains.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    chosen = [BENCHMARKS[name] for name in BENCHMARKS if name in (asked.names or BENCHMARKS)]
    try:
        measured = [_measured(benchmark) for benchmark in chosen]
    except KeyboardInterrupt:
        print("Interrupted: all servers are stopped, and all files are removed.", file=sys.stderr)
        return 128 + signal.SIGINT
    figures = [figure for each in measured for figure in each]
    print(_machine(), end="\n\n")
    print(table(figures, [benchmark.NOTE for benchmark in chosen]))
    if asked.json:
        asked.json.write_text(json.dumps(as_json(figures), indent=2) + "\n")
    return 0 if all(measured) and all(figure.met for figure in figures) else 1


def _measured(benchmark: ModuleType) -> list[Figure]:
    try:
        with TemporaryDirectory(prefix="certworker-bench-") as place:
            return list(benchmark.measure(Path(place)))
    except Exception:
        # The other benchmarks need minutes, so their figures must not be lost.
        traceback.print_exc()
        return []


def _machine() -> str:
    return f"{os.cpu_count()} cores · Python {platform.python_version()} · Pebble: {programs()[0]}"


if __name__ == "__main__":
    sys.exit(main())
