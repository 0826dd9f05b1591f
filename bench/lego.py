"""
lego, the ACME client in Traefik, as a command.
"""

from __future__ import annotations

import os
import subprocess
import time
from functools import cache
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.figures import progress
from bench.programs import program, version
from bench.worlds import pebble
from tests.servers.pebble import Pebble

TITLE = "lego"

ROUNDS = 3


@cache
def seconds() -> float:
    """
    Return the median time of lego for one name, of three runs with a registered account.
    """
    with TemporaryDirectory(prefix="certworker-bench-") as place, pebble(Path(place) / "ca") as ca:
        took = [_run(number, Path(place), ca) for number in range(ROUNDS + 1)]
    # The first run registers the account.
    return median(took[1:])


def _run(number: int, place: Path, ca: Pebble) -> float:
    progress(f"lego, {number} of {ROUNDS}" if number else "lego registers its account")
    command = program(TITLE, "make tools installs it")
    options: list[str | Path] = [
        *("--accept-tos", "--email", "bench@bench.test", "--path", place / "lego"),
        *("--server", ca.directory_url, "--domains", f"lego{number}.bench.test", "--http"),
    ]
    # lego 5 has its options after the command, and another option for the port.
    if is_current(command):
        arguments: list[str | Path] = ["run", *options, "--http.address", f"127.0.0.1:{ca.http_port}"]
    else:
        arguments = [*options, "--http.port", f"127.0.0.1:{ca.http_port}", "run"]
    began = time.monotonic()
    subprocess.run(
        [command, *arguments],
        env=os.environ | {"LEGO_CA_CERTIFICATES": str(ca.ca_bundle)},
        check=True,
        capture_output=True,
    )
    return time.monotonic() - began


def is_current(command: str) -> bool:
    """
    Return whether the lego at *command* has the options of release 5.
    """
    return int(version(command).partition(".")[0] or 0) >= 5
