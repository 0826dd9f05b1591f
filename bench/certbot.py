"""
certbot, with the arguments of Appwrite's worker.
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
from bench.programs import program
from bench.worlds import pebble
from tests.servers.development import ChallengeServer
from tests.servers.pebble import Pebble

TITLE = "certbot"

ROUNDS = 3


@cache
def seconds() -> float:
    """
    Return the median time of certbot for one name, of three runs with a registered account.
    """
    with TemporaryDirectory(prefix="certworker-bench-") as place, pebble(Path(place) / "ca") as ca:
        webroot = Path(place) / "webroot"
        webroot.mkdir()
        with ChallengeServer(webroot, ca.http_port):
            took = [_run(number, Path(place), webroot, ca) for number in range(ROUNDS + 1)]
    # The first run registers the account.
    return median(took[1:])


def _run(number: int, place: Path, webroot: Path, ca: Pebble) -> float:
    progress(f"certbot, {number} of {ROUNDS}" if number else "certbot registers its account")
    name = f"certbot{number}.bench.test"
    began = time.monotonic()
    subprocess.run(
        [
            *(
                program(TITLE, "make tools installs it"),
                "certonly",
                "--webroot",
                "-n",
                "--agree-tos",
                "-m",
                "bench@bench.test",
            ),
            *("--cert-name", name, "-w", webroot, "-d", name, "--server", ca.directory_url),
            *("--config-dir", place / "config", "--work-dir", place / "work", "--logs-dir", place / "logs"),
        ],
        env=os.environ | {"REQUESTS_CA_BUNDLE": str(ca.ca_bundle)},
        check=True,
        capture_output=True,
    )
    return time.monotonic() - began
