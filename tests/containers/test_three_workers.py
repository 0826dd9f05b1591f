"""
Three containers of the worker with one Redis and one volume, and several producers of the same names.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.containers.certification import ContainedPebble
from tests.containers.core import ContainedCore
from tests.containers.project import WORKER, Project
from tests.servers.worker import wait_until

NAMES = [f"shop{number}.internal" for number in range(500)]

#: The timeout. An idle machine with two cores needs a minute.
LONGEST_SECONDS = 400.0

#: A compose file with additional names that lead to Traefik.
MORE_NAMES = f"""
services:
  traefik:
    networks:
      default:
        aliases: [{", ".join(NAMES)}]
"""

#: A program that waits in a container for a number of Traefik's files. Checks from outside would load the
#: engine.
WAIT_FOR_FILES = """
import pathlib, sys, time
wanted, seconds = int(sys.argv[1]), float(sys.argv[2])
deadline = time.monotonic() + seconds
while (found := len(list(pathlib.Path("/storage/config").glob("shop*.yml")))) < wanted:
    if time.monotonic() > deadline:
        sys.exit(f"only {found} names are served")
    time.sleep(0.5)
"""

LIST_GENERATIONS = """
import json, pathlib
for facts in pathlib.Path("/storage/certificates/.certworker/generations").glob("*/meta.json"):
    print(*json.loads(facts.read_text())["names"])
"""


class TestThreeWorkers:
    @pytest.mark.timeout(LONGEST_SECONDS + 120)
    def test_five_hundred_names_are_issued_once_each(
        self,
        project: Project,
        pebble: ContainedPebble,
        core: ContainedCore,
        tmp_path: Path,
        tell: Callable[[str], None],
    ) -> None:
        """
        Three workers issue one certificate for each of 500 names, according to the log of the CA.
        """
        more_names = tmp_path / "more-names.yml"
        more_names.write_text(MORE_NAMES)
        project.also(more_names)
        # Three workers have three pending orders. Pebble deadlocks with more.
        project.settings["CERTWORKER_CONCURRENCY"] = "1"
        project.settings["CERTWORKER_WEB_PORT"] = "8082-8084"
        pebble.start()
        project.up("--scale", f"{WORKER}=3")
        project.wait_for_line("main.internal: certificate issued")
        producers: tuple[Callable[[], object], ...] = (
            lambda: core.send_messages(*NAMES[:300]),
            lambda: core.enqueue_jobs(*NAMES[200:]),
            lambda: project.worker("request", *NAMES[::3]),
        )
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda ask: ask(), producers))
        began = time.monotonic()
        run = ("exec", "--no-TTY", WORKER, "python3", "-c")
        project.compose(*run, WAIT_FOR_FILES, str(len(NAMES)), str(LONGEST_SECONDS))
        tell(f"{len(NAMES)} names are in service after {time.monotonic() - began:.0f} s.")
        # Wait until the last duplicate jobs have ended.
        wait_until(
            lambda: project.redis("LLEN", "rq:queue:certificates").strip() == "0" or None, project.logs
        )
        stored = Counter(project.compose(*run, LIST_GENERATIONS).split())
        project.compose("stop", WORKER)
        done = re.findall(rf"{WORKER}-(\d).* (\S+): certificate issued", project.compose("logs", WORKER))

        assert dict.fromkeys(["main.internal", *NAMES], 1) == stored == Counter(name for _, name in done)
        assert 1 + len(NAMES) == pebble.orders()
        assert 1 == pebble.accounts()
        assert 3 == len({worker for worker, _ in done})
        assert 10 == len({project.visit(name) for name in NAMES[::50]})
