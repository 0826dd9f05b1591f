"""
The image and its container: content, privileges, size and start time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from certworker.version import __version__
from tests.containers.certification import ContainedPebble
from tests.containers.docker import Docker
from tests.containers.images import PYTHON
from tests.containers.project import WORKER, Project

WRITABLE = ("/storage/certificates", "/storage/config", "/storage/state", "/tmp")

#: dns-lexicon with its packages needs 7 MB of them, and the page with the API another 7 MB.
LARGEST_MEGABYTES = 95
#: The highest processor time until the worker is ready.
LONGEST_START_SECONDS = 1.5
LONGEST_START_BY_THE_CLOCK_SECONDS = 15

#: A program that prints each file of an image, without those of the kernel.
LIST_FILES = """
import os
for place, inside, names in os.walk("/"):
    if place == "/":
        inside[:] = set(inside) - {"dev", "proc", "sys"}
    for name in names:
        print(os.path.join(place, name))
"""

#: A program that prints the privileges and the writable directories of the process with PID 1.
LOOK_AROUND = """
import json, os
found = dict(line.strip().split(":", 1) for line in open("/proc/1/status"))
found["writable"] = []
for place, inside, _ in os.walk("/"):
    if place == "/":
        inside[:] = set(inside) - {"dev", "proc", "sys"}
    if os.access(place, os.W_OK):
        found["writable"].append(place)
print(json.dumps(found))
"""

#: A program that prints the processor time of the process with PID 1.
PROCESSOR_SECONDS = """
import os
times = open("/proc/1/stat").read().rpartition(")")[2].split()[11:13]
print(sum(map(int, times)) / os.sysconf("SC_CLK_TCK"))
"""


def files(docker: Docker, image: str) -> set[str]:
    """
    Return the paths of all files of *image*.
    """
    run = ("run", "--rm", "--network", "none", "--user", "0", "--entrypoint", "python3")
    return set(docker(*run, image, "-c", LIST_FILES).splitlines())


class TestTheImage:
    def test_it_adds_only_the_product_a_user_and_bytecode(self, docker: Docker, image: str) -> None:
        """
        The image adds only the product, a user and bytecode to its base, and no file of the build.
        """
        added = files(docker, image) - files(docker, PYTHON)
        of_the_user = ("/etc/", "/var/log/")
        elsewhere = {path for path in added if not path.startswith(("/opt/certworker/", *of_the_user))}

        assert set() == {path for path in elsewhere if not path.endswith(".pyc")}
        assert {"cacert.pem"} == {
            path.rpartition("/")[2] for path in added if path.endswith((".pem", ".key", ".env"))
        }

    def test_no_layer_contains_a_secret(self, docker: Docker, image: str) -> None:
        """
        No layer and no setting of the image contains a secret.
        """
        (inspected,) = json.loads(docker("image", "inspect", image))
        message = {variable.partition("=")[0] for variable in inspected["Config"]["Env"]}

        assert not {name for name in message if name.startswith(("_APP_", "CERTWORKER_"))}
        assert "_APP_" not in docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)

    def test_it_lists_its_packages(self, docker: Docker, image: str) -> None:
        """
        The list of packages has each package of the image, and no other.
        """
        labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", image))
        read = "import sys; print(open(sys.argv[1]).read())"
        bill = json.loads(
            docker("run", "--rm", "--entrypoint", "python3", image, "-c", read, labels["certworker.sbom"])
        )
        listed = docker(
            *("run", "--rm", "--entrypoint", "python3", image, "-c"),
            "from importlib.metadata import distributions; print(*(each.name for each in distributions()))",
        )

        assert "CycloneDX" == bill["bomFormat"]
        assert __version__ == bill["metadata"]["component"]["version"]
        assert {"certworker"} | {each["name"] for each in bill["components"]} == set(
            listed.lower().replace("_", "-").split()
        )

    def test_it_is_small(self, docker: Docker, image: str, tell: Callable[[str], None]) -> None:
        """
        The image has a limited size.
        """
        size, base = (
            int(docker("image", "inspect", "--format", "{{.Size}}", each)) for each in (image, PYTHON)
        )
        megabytes = (size - base) / 1e6
        tell(f"The image has {megabytes:.0f} MB on top of its base.")

        assert megabytes <= LARGEST_MEGABYTES


class TestTheContainer:
    def test_it_has_no_unnecessary_privileges(self, project: Project, pebble: ContainedPebble) -> None:
        """
        The worker's process has no capabilities, and can write only to its volumes.
        """
        pebble.start()
        project.up()
        project.wait_for_line("ready")
        found = json.loads(project.compose("exec", "--no-TTY", WORKER, "python3", "-c", LOOK_AROUND))

        assert ["10001"] * 4 == found["Uid"].split() == found["Gid"].split()
        assert {0} == {int(found[mask], 16) for mask in ("CapEff", "CapPrm", "CapBnd", "CapAmb")}
        assert "1" == found["NoNewPrivs"].strip()
        assert all(place.startswith(WRITABLE) for place in found["writable"])
        assert "true" == project.inspect("{{.HostConfig.ReadonlyRootfs}}")

    def test_it_starts_quickly(
        self, project: Project, pebble: ContainedPebble, tell: Callable[[str], None]
    ) -> None:
        """
        The worker is ready within the limit of processor time.
        """
        pebble.start()
        project.up()
        project.wait_for_line("ready")
        project.compose("restart", WORKER)
        started = datetime.fromisoformat(project.inspect("{{.State.StartedAt}}")[:26] + "+00:00")
        line = project.wait_for_line("ready", "--timestamps", times=2)
        processor = float(project.compose("exec", "--no-TTY", WORKER, "python3", "-c", PROCESSOR_SECONDS))
        clock = (datetime.fromisoformat(line.split(" ")[0][:26] + "+00:00") - started).total_seconds()
        tell(f"The container is ready after {clock:.2f} s, with {processor:.2f} s of processor time.")

        assert processor <= LONGEST_START_SECONDS
        assert clock <= LONGEST_START_BY_THE_CLOCK_SECONDS
