"""
The connections between containers, and their limits.
"""

from __future__ import annotations

import json

from tests.containers.certification import ContainedPebble
from tests.containers.docker import Docker
from tests.containers.images import PYTHON
from tests.containers.project import WORKER, Project

#: A program that prints the status or the error of each URL, for the network of another container.
REACH = """
import json, sys, urllib.error, urllib.request
found = {}
for url in sys.argv[1:]:
    try:
        found[url] = urllib.request.urlopen(url, timeout=5).status
    except urllib.error.HTTPError as answer:
        found[url] = answer.code
    except urllib.error.URLError as error:
        found[url] = type(error.reason).__name__
print(json.dumps(found))
"""


class TestTraefik:
    def test_it_reaches_the_challenges_and_neither_redis_nor_the_metrics(
        self, docker: Docker, project: Project, pebble: ContainedPebble
    ) -> None:
        """
        Traefik can connect to the challenge port of the worker, but not to Redis or the metrics.
        """
        pebble.start()
        project.up()
        project.wait_for_line("ready")
        urls = (
            f"http://{WORKER}:8080/healthz",
            f"http://{WORKER}:8080/metrics",
            f"http://{WORKER}:8081/metrics",
        )
        beside = ("--network", f"container:{project.container('traefik')}")
        found = json.loads(
            docker("run", "--rm", *beside, PYTHON, "python3", "-c", REACH, *urls, "http://redis:6379")
        )

        assert (
            dict(
                zip(
                    (*urls, "http://redis:6379"),
                    (200, 404, "ConnectionRefusedError", "gaierror"),
                    strict=True,
                )
            )
            == found
        )
        inside = project.compose(
            "exec", "--no-TTY", WORKER, "python3", "-c", REACH, "http://127.0.0.1:8081/metrics"
        )
        assert [200] == list(json.loads(inside).values())


class TestLimits:
    def test_each_service_has_them(self, project: Project, pebble: ContainedPebble) -> None:
        """
        The engine applies the limits of memory and processes to each service.
        """
        pebble.start()
        project.up()
        project.wait_for_line("ready")
        wanted = ("Memory", "PidsLimit", "CapDrop", "ReadonlyRootfs")
        template = " ".join(f"{{{{.HostConfig.{each}}}}}" for each in wanted)
        for service in ("redis", "traefik", WORKER):
            memory, processes, dropped, read_only = project.inspect(template, service).split()

            assert 0 < int(memory) <= 2 << 30
            assert 0 < int(processes) <= 2048
            assert ("[ALL]", "true") == (dropped, read_only)

    def test_redis_writes_its_data_as_a_user_without_privileges(
        self, project: Project, pebble: ContainedPebble
    ) -> None:
        """
        Redis has its data after a restart, without root and without capabilities.
        """
        pebble.start()
        project.up()
        project.redis("SET", "kept", "yes")
        project.compose("restart", "redis")

        assert "yes" == project.redis("GET", "kept").strip()
        assert "999:999" == project.inspect("{{.Config.User}}", "redis")
