"""
A Docker engine for the tests: the engine of the machine if it is usable, otherwise one that the tests
install.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.containers import images
from tests.containers.docker import Docker
from tests.containers.packages import PATH, Packages, install_tools
from tests.containers.traces import removed_traces

#: The cache between runs, which `make clean` removes.
CACHE = Path(__file__).parents[2] / ".cache" / "containers"

INSTALL_ONE = "run this as root on Debian 12 or 13, which needs no image registry: sudo make test-containers"

START_TIMEOUT_SECONDS = 60
#: The timeout of the engine's stop, during which it waits ten seconds for a container that ignores SIGTERM.
STOP_TIMEOUT_SECONDS = 60


@contextmanager
def engine(say: Callable[[str], None]) -> Iterator[Docker]:
    """
    Yield an engine, and stop it afterwards if the tests started it. *say* prints the slow steps.

    Raises:
        RuntimeError: No engine is usable. The message has the remedy.
    """
    own = Docker(dict(os.environ))
    if shutil.which("docker") and own.attempt("info").returncode == 0:
        if own.attempt("compose", "version").returncode:
            raise RuntimeError(f"Docker has no compose plugin. Install it, or stop Docker and {INSTALL_ONE}")
        if problem := images.pull(own, say):
            raise RuntimeError(
                f"Docker cannot pull images ({problem}). Give it access to a registry, "
                f"or stop it and {INSTALL_ONE}"
            )
        yield own
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RuntimeError(f"There is no Docker engine. Start one that can pull images, or {INSTALL_ONE}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock, tempfile.TemporaryDirectory(prefix="certworker-") as place:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install_tools(say)
        packages = Packages(CACHE, say)
        with removed_traces(), _daemon(packages.engine(), Path(place), lock.fileno()) as brought:
            # A killed run leaves containers, which the engine starts again.
            _sweep(brought)
            images.imitate(brought, packages, CACHE, say)
            try:
                yield brought
            finally:
                _sweep(brought)


def _sweep(docker: Docker) -> None:
    docker.attempt("swarm", "leave", "--force")
    if leftovers := docker("ps", "--all", "--quiet").split():
        docker("rm", "--force", *leftovers)
    docker("volume", "prune", "--all", "--force")
    for kind in ("network", "image"):
        docker(kind, "prune", "--force")
    docker("builder", "prune", "--force", "--keep-storage", "1gb")


@contextmanager
def _daemon(root: Path, place: Path, lock: int) -> Iterator[Docker]:
    # The kernel limits the length of a socket's path, and the path of the checkout may be long.
    socket = f"unix://{place}/docker.sock"
    variables = {**os.environ, "PATH": f"{root}/usr/bin:{root}/usr/sbin:{PATH}", "DOCKER_HOST": socket}
    variables["DOCKER_CONFIG"] = str(place / "client")
    (place / "client").mkdir()
    (place / "client" / "cli-plugins").symlink_to(root / "usr/libexec/docker/cli-plugins")
    (place / "daemon.json").write_text("{}")
    log = CACHE / "dockerd.log"
    command = [
        # The engine ends with this process, even after SIGKILL, and so does the lock that it inherits.
        *("setpriv", "--pdeathsig", "TERM", "dockerd"),
        *("--config-file", f"{place}/daemon.json", "--pidfile", f"{place}/docker.pid", "--host", socket),
        *("--data-root", str(CACHE / "engine-data"), "--exec-root", f"{place}/exec"),
        # The networks of some virtual machines drop packets of 1500 bytes without an error.
        *("--mtu", "1400"),
    ]
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            command, env=variables, stdout=output, stderr=output, pass_fds=[lock], start_new_session=True
        )
    docker = Docker(variables)
    try:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while docker.attempt("info").returncode:
            if daemon.poll() is not None or time.monotonic() > deadline:
                last = log.read_text().strip().splitlines()[-1:]
                raise RuntimeError(
                    f"The engine does not start ({' '.join(last)}). Where the kernel does not allow it, as "
                    "in a container without --privileged, start a Docker engine that can pull images."
                )
            time.sleep(0.1)
        yield docker
    finally:
        daemon.terminate()
        daemon.wait(STOP_TIMEOUT_SECONDS)
