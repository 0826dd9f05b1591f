"""
The pages of docs/reference about events, files, HTTP and metrics match a running worker.
"""

from __future__ import annotations

import http.client
import json
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from tests.documentation import DOCS
from tests.servers.development import development_authority
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess
from tests.shell_examples import variables

NAME = "main.localhost"


def page(name: str) -> str:
    """
    Return the text of a page of the reference.
    """
    return (DOCS / "reference" / f"{name}.md").read_text()


@dataclass(frozen=True)
class Running:
    """
    A worker after one issuance and one failure.
    """

    place: Path
    port: int
    connection: Redis

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """
        Return the status and the body of the response to a request for *path*.
        """
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        client.putrequest(method, path)
        client.endheaders()
        answer = client.getresponse()
        body = answer.read()
        client.close()
        return answer.status, body


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Running]:
    """
    Start a worker with a development CA.
    """
    place, port = tmp_path_factory.mktemp("reference"), free_port()
    with (
        redis_server.client() as connection,
        development_authority(place, http01_port=port) as authority,
    ):
        connection.flushall()
        settings = variables(place, redis_server, authority, port)
        limits = place / "limits.json"
        limits.write_text(json.dumps({authority.directory_url: {"orders_per_account": "300/3h"}}))
        settings["CERTWORKER_LIMITS_FILE"] = str(limits)
        settings["CERTWORKER_METRICS_PER_NAME"] = "10"
        # A channel gives the metric of waiting notifications its label.
        settings["CERTWORKER_NOTIFY_URL"] = f"http://127.0.0.1:{free_port()}/"
        with WorkerProcess(settings, place / "log") as worker:
            worker.wait_for_line(f"{NAME}: certificate issued")
            subprocess.run(
                [sys.executable, "-m", "certworker", "request", "--wait", "missing.invalid"],
                env=worker.environment,
                capture_output=True,
                check=False,
                timeout=60,
            )
            yield Running(place, port, connection)


class TestEvents:
    def test_the_example_has_the_fields_of_an_event(self, running: Running) -> None:
        """
        Events of issued and of failed names have the fields of the page.
        """
        (example,) = re.findall(r"^```json\n(.*?)^```", page("events"), re.DOTALL | re.MULTILINE)
        stream = running.connection.xrange("certworker:events")
        events = [
            json.loads(fields[b"event"])
            for _, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", stream)
        ]

        assert {"issued", "failed"} <= {event["state"] for event in events}
        for event in events:
            assert set(json.loads(example)) == set(event) - {"problem"}
        assert {"type", "detail"} <= {key for event in events for key in event.get("problem", ())}
        assert "\n| `problem` | " in page("events")

    def test_the_page_lists_fields_of_the_record(self, running: Running) -> None:
        """
        A record of an issued name has each field of the page, except those of a tenant, of a failure and of a
        forced request.
        """
        row = next(
            line for line in page("events").splitlines() if line.startswith("| hash `certworker:name:")
        )
        listed = set(re.findall(r"`([a-z_]+)`", row))
        names = running.connection.hkeys(f"certworker:name:{NAME}")
        stored = {name.decode() for name in cast("list[bytes]", names)}

        assert len(listed) > 10
        forced = {"forced", "forced_begun", "forced_completed"}
        assert forced <= listed
        assert listed - {"code", "message", "remedy", "tenant", "owner"} - forced <= stored


class TestMetrics:
    def test_the_page_lists_each_metric(self, running: Running) -> None:
        """
        The page has the name and the labels of each metric of a scrape.
        """
        rows = re.findall(r"^\| `(certworker_\w+)` \| [\w ]+ \| (.*?) \|", page("metrics"), re.MULTILINE)
        status, body = running.get("/metrics")
        families = list(text_string_to_metric_families(body.decode()))
        labels = {
            name: set().union(*(sample.labels for sample in family.samples)) - {"le"}
            for family in families
            for name in [family.name + "_total" * (family.type == "counter")]
            if name.startswith("certworker_")
            and not name.endswith(("_gcount", "_gsum"))  # parts of a gauge histogram in this format
        }

        assert 200 == status
        assert {name for name, _ in rows} == set(labels)
        assert {name: set(re.findall(r"`(\w+)`", listed)) for name, listed in rows} == labels


class TestHttp:
    def test_the_paths_of_the_page_are_served(self, running: Running) -> None:
        """
        A healthy worker returns 200 for `/healthz` and `/metrics`.
        """
        paths = re.findall(r"^\| `(/[^`]+)` \|", page("http"), re.MULTILINE)

        assert paths == ["/.well-known/acme-challenge/TOKEN", "/healthz", "/metrics"]
        assert [404, 200, 200] == [running.get(path)[0] for path in paths]

    @pytest.mark.parametrize("path", ["/", "//metrics", "/%6Detrics"])
    def test_any_other_path_is_404(self, running: Running, path: str) -> None:
        """
        The worker returns 404 for another spelling of a path, so a proxy can block the path.
        """
        assert 404 == running.get(path)[0]

    def test_other_methods_are_not_allowed(self, running: Running) -> None:
        """
        The worker allows only GET and HEAD.
        """
        assert [405, 200] == [running.get("/healthz", method)[0] for method in ("POST", "HEAD")]


class TestFiles:
    def test_the_directories_have_the_files_of_the_page(self, running: Running) -> None:
        """
        The directories have the files of the page.
        """
        text = page("files")
        (pem_files,) = re.findall(r"^  DOMAIN/\{(.+?)\}\.pem ", text, re.MULTILINE)
        links = [running.place / "certificates" / NAME / f"{name}.pem" for name in pem_files.split(",")]
        (generation,) = {link.resolve().parent for link in links}

        assert ".certworker/generations/ID/" in text
        assert running.place / "certificates" / ".certworker" / "generations" == generation.parent
        assert str(generation) in (running.place / "config" / f"{NAME}.yml").read_text()

    def test_only_the_worker_can_read_keys(self, running: Running) -> None:
        """
        Private keys and account keys have mode 0600.
        """
        keys = [
            *(running.place / "certificates" / ".certworker" / "generations").glob("*/privkey.pem"),
            *(running.place / "state").rglob("key.pem"),
        ]

        assert len(keys) > 1
        assert {0o600} == {stat.S_IMODE(key.stat().st_mode) for key in keys}
