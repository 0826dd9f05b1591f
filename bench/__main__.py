"""
`python -m bench`: measure certworker and other clients, and report whether certworker meets its limits.
"""

from __future__ import annotations

import argparse
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
    history,
    job,
    kills,
    ledger,
    page,
    proxies,
    quarter,
    repair,
    scale,
    served,
    slots,
    slow,
    start,
    traces,
    web,
    wildcards,
)
from bench.figures import Figure, Skipped, missed, table
from bench.programs import versions
from tests.servers.pebble import programs

BENCHMARKS = {
    "job": job,
    "burst": burst,
    "served": served,
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
    "proxies": proxies,
    "scale": scale,
    "quarter": quarter,
    "traces": traces,
}


#: The figure that shows the noise of the machine, and the value from which other figures are doubtful.
NOISE = f"{job.TITLE}: {job.SPREAD}"
QUIET = 1.5


def main() -> int:
    """
    Run the selected benchmarks. Return 0 if each limit is met, otherwise 1.
    """
    asked = _arguments()
    # SIGTERM raises an exception like Ctrl-C, so that no server remains.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    earlier = _earlier(asked.compare)
    machine = _machine()
    chosen = [BENCHMARKS[name] for name in BENCHMARKS if name in (asked.names or BENCHMARKS)]
    figures: list[Figure] = []
    skipped: list[str] = []
    problems: list[str] = []
    try:
        for benchmark in chosen:
            _measure(benchmark, figures, skipped, problems)
    except KeyboardInterrupt:
        print("Interrupted: all servers are stopped, and all files are removed.", file=sys.stderr)
        return 128 + signal.SIGINT
    saved = history.save(figures, machine)
    print(machine, _noise(figures), sep="\n", end="\n\n")
    print(table(figures, [benchmark.NOTE for benchmark in chosen], earlier))
    print(f"\nSaved as {saved}. A later run compares its figures with: make bench COMPARE=1")
    _list("Skipped", skipped)
    problems += missed(figures)
    _list("Missed limits and failed benchmarks", problems)
    return 1 if problems else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="|".join(BENCHMARKS), help="the benchmarks to run; all by default"
    )
    parser.add_argument(
        "--compare",
        nargs="?",
        const="",
        metavar="FILE",
        help="compare with the saved run FILE; without FILE, with the last saved value of each figure",
    )
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    return asked


def _earlier(compare: str | None) -> dict[str, float] | None:
    if compare is None:
        return None
    return history.values_in(Path(compare)) if compare else history.last_values()


def _measure(benchmark: ModuleType, figures: list[Figure], skipped: list[str], problems: list[str]) -> None:
    try:
        with TemporaryDirectory(prefix="certworker-bench-") as place:
            figures += benchmark.measure(Path(place))
    except Skipped as reason:
        skipped.append(f"{benchmark.TITLE}: {reason}")
    except Exception as error:
        # The other benchmarks need minutes, so their figures must not be lost.
        traceback.print_exc()
        problems.append(f"{benchmark.TITLE}: no figures because of {str(error).partition(chr(10))[0]!r}")


def _machine() -> str:
    loads = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{os.cpu_count()} cores · load before the run {loads} · Python {platform.python_version()} · "
        f"Pebble: {programs()[0]}\n{versions()}"
    )


def _noise(figures: list[Figure]) -> str:
    spread = next((figure.value for figure in figures if figure.key == NOISE), None)
    if spread is None:
        return "Noise of this machine: not measured. The benchmark `job` measures it."
    advice = "quiet" if spread <= QUIET else "other programs use the processors, so figures are doubtful"
    measured = f"the 95th percentile of the bare client is {spread:.2f} × its median"
    return f"Noise of this machine: {measured}: {advice}."


def _list(title: str, lines: list[str]) -> None:
    if lines:
        print(f"\n{title}:", *(f"  {line}" for line in lines), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
