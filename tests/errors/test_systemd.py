"""
Tests of the remedies of a machine without Docker, wherever people read them.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis

from certworker.doctor.findings import MACHINE
from certworker.errors import catalog, systemd
from certworker.errors.fs import VolumeLocked
from certworker.errors.pages import page_of
from certworker.errors.systemd import for_this_machine, without_docker
from certworker.notify.message import read
from certworker.observability.log import sentence
from certworker.state.domain_records import RECORDS, DomainRecords

FAILURE = VolumeLocked(path="/x", seconds="30")
ON_DOCKER = "If this continues, restart the workers: docker compose restart SERVICE"
ON_SYSTEMD = "If this continues, restart the workers: sudo systemctl restart certworker"


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    Return the file that would show that this machine has Docker.
    """
    path = tmp_path / "docker.sock"
    monkeypatch.setattr(systemd, "MARKERS", (tmp_path / "none", path))
    return path


class TestWithoutDocker:
    def test_no_remedy_needs_docker(self) -> None:
        """
        No remedy for a machine without Docker has a command of Docker.
        """
        remedies = [kind.remedy_template.replace("docker-socket-proxy", "the proxy") for kind in catalog()]
        changed = map(without_docker, remedies)
        wrong = [remedy for remedy in changed if re.search(r"docker(?! ps| is| for the worker)", remedy)]

        assert not wrong, "\n".join(wrong)

    @pytest.mark.parametrize(
        ("remedy", "expected"),
        [
            ("Free disk space.", "Free disk space."),
            (
                "Set A=b in .env, then run: docker compose up -d",
                "Set A=b in /etc/certworker/env, then run: sudo systemctl restart certworker",
            ),
            ("Start it: docker compose up -d", "Start it: sudo systemctl restart certworker"),
            ("Restart it: docker compose restart SERVICE", "Restart it: sudo systemctl restart certworker"),
            ("Mount a volume in the Compose file.", "Mount a volume."),
            (
                "Run it as uid 1. In a container: docker compose exec -u 1 SERVICE certworker import",
                "Run it as uid 1. Example: sudo -u '#1' certworker import",
            ),
            ("docker compose logs redis. If not", "journalctl -u redis -n 200. If not"),
            ("docker compose ps traefik", "systemctl status traefik"),
            ("docker compose ps", "systemctl status certworker"),
            ("docker compose exec -e A=a -e B=b \\\n    SERVICE /hook", "A=a B=b /hook"),
            ("docker stats --no-stream", "top -b -n 1"),
            ("docker compose run --rm --no-deps --entrypoint ls SERVICE -ld /x", "ls -ld /x"),
            ("docker compose run --rm --no-deps SERVICE doctor", "certworker doctor"),
            ("docker compose restart traefik", "sudo systemctl restart traefik"),
            (
                "docker compose exec SERVICE rq resume --url redis://HOST:PORT",
                "rq resume --url redis://HOST:PORT",
            ),
            (
                "docker compose run --rm -u 0 --entrypoint chown SERVICE -R 1 /storage",
                "sudo chown -R 1 /storage",
            ),
        ],
    )
    def test_commands_are_those_of_systemd(self, remedy: str, expected: str) -> None:
        """
        The commands use systemd, with the unit of the guide for machines without Docker.
        """
        assert expected == without_docker(remedy)


class TestForThisMachine:
    def test_a_remedy_is_for_the_machine_that_shows_it(self, marker: Path) -> None:
        """
        The text of a failure, and a finding of the doctor, use systemd on a machine without Docker.
        """
        assert ON_SYSTEMD == FAILURE.remedy == MACHINE.failure("x", FAILURE).remedy
        assert str(FAILURE).endswith(ON_SYSTEMD)
        assert "Start it: sudo systemctl restart certworker" == (
            MACHINE.warn("worker", "No worker.", "Start it: docker compose up -d").remedy
        )

        assert not marker.exists()

    def test_on_a_machine_with_docker_nothing_changes(self, marker: Path) -> None:
        """
        On a machine with Docker, and in a container, the commands use Docker.
        """
        marker.touch()

        assert ON_DOCKER == FAILURE.remedy == for_this_machine(ON_DOCKER)

    @pytest.mark.usefixtures("marker")
    def test_a_record_has_the_commands_of_docker_and_its_reader_those_of_its_machine(
        self, connection: Redis
    ) -> None:
        """
        Machines with and without Docker may share Redis, so the commands change when a record is read.
        """
        records, now = DomainRecords(connection), datetime.now(UTC)
        records.record_failed(["a.org"], FAILURE, next_check=now, now=now)
        record = records.read("a.org")

        assert ON_DOCKER.encode() == connection.hget(RECORDS + "a.org", "remedy")
        assert record
        assert ON_SYSTEMD == record.remedy

    @pytest.mark.usefixtures("marker")
    def test_a_log_line_has_the_commands_of_its_machine(self) -> None:
        """
        The fields of a failure are those of the record in Redis. The log adapts the remedy.
        """
        line = logging.makeLogRecord({"code": FAILURE.code, "fields": FAILURE.as_json(), "msg": "failed"})

        assert ON_DOCKER == FAILURE.as_json()["remedy"]
        assert sentence(line).endswith(ON_SYSTEMD)

    @pytest.mark.usefixtures("marker")
    def test_a_notification_has_the_commands_of_the_worker_that_sends_it(self) -> None:
        """
        The outbox contains the commands of Docker.
        """
        fields = {"kind": "failed", "name": "a.org", "next_attempt": "", "in_service": "none"}
        found = read(json.dumps(fields | FAILURE.as_json()))

        assert found
        assert ON_SYSTEMD == found.remedy

    def test_the_page_of_a_code_needs_no_docker(self) -> None:
        """
        Without Docker, the page has no service of a Compose file. The documentation does.
        """
        page = page_of(FAILURE.code, without_docker)

        assert "systemctl restart certworker" in page
        assert "SERVICE" not in page
        assert "SERVICE" in page_of(FAILURE.code)
