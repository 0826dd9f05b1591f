"""
The files that make the containers: what can be known of them without an engine.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from certworker.version import __version__

TOP = Path(__file__).parent.parent

WORKER = "appwrite-worker-certificates"

#: What Traefik 3 accepts at most; a router above it is refused.
HIGHEST_PRIORITY = 2**63 - 1 - 1000


@pytest.fixture(scope="module")
def compose() -> Any:
    """
    docker-compose.yml, parsed.
    """
    return yaml.safe_load((TOP / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """
    The Dockerfile's last stage, as pairs of instruction and argument.
    """
    text = (TOP / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    last_stage = max(number for number, line in enumerate(lines) if line.startswith("FROM "))
    pairs = (line.split(maxsplit=1) for line in lines[last_stage:])
    return [(instruction, " ".join(argument.split())) for instruction, argument in pairs]


def names_in(example: str) -> set[str]:
    """
    The variables of an .env file, those that are commented out included.
    """
    return set(re.findall(r"^#?\s?([A-Z_][A-Z0-9_]+)=", example, re.MULTILINE))


class TestTheWorker:
    def test_every_setting_reaches_the_container(self, compose: Any) -> None:
        """
        A variable that compose does not pass on is set in .env and changes nothing: hours are lost on it.
        """
        passed = {entry.split("=")[0] for entry in compose["services"][WORKER]["environment"]}
        ports = {"_APP_HTTP_PORT", "_APP_HTTPS_PORT"}

        assert names_in((TOP / ".env.example").read_text()) - ports == passed

    def test_each_directory_it_writes_is_a_volume(self, compose: Any) -> None:
        """
        What lies in the container itself is lost with it, the account and the certificates first.
        """
        service = compose["services"][WORKER]
        directories = {
            entry.split("=")[1] for entry in service["environment"] if entry.split("=")[0].endswith("_DIR")
        }
        mounted = dict(reversed(volume.split(":")) for volume in service["volumes"])

        assert directories == set(mounted)
        assert set(mounted.values()) <= set(compose["volumes"])

    def test_it_may_do_nothing_that_it_need_not(self, compose: Any) -> None:
        """
        It speaks with the Internet and holds private keys.
        """
        service = compose["services"][WORKER]

        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True
        assert "ports" not in service

    def test_its_state_is_its_own(self, compose: Any) -> None:
        """
        Neither Traefik nor a core needs to see the account key.
        """
        mounting = [
            name
            for name, service in compose["services"].items()
            if any(volume.startswith("certworker-state:") for volume in service.get("volumes", []))
        ]

        assert mounting == [WORKER]

    def test_it_can_be_scaled(self, compose: Any) -> None:
        """
        A fixed name or a published port would stop the second replica.
        """
        assert {"container_name", "ports"}.isdisjoint(compose["services"][WORKER])


class TestTheCompany:
    def test_nobody_holds_the_engine(self, compose: Any) -> None:
        """
        The engine's socket is root on the host.
        """
        assert "docker.sock" not in str(compose)

    def test_services_come_back_after_a_reboot(self, compose: Any) -> None:
        """
        All but the one that has its work done once.
        """
        restarted = {
            name
            for name, service in compose["services"].items()
            if service.get("restart") == "unless-stopped"
        }

        assert set(compose["services"]) - restarted == {"traefik-routes"}

    def test_redis_keeps_what_it_was_told(self, compose: Any) -> None:
        """
        Queued jobs and the agenda outlive a restart.
        """
        redis = compose["services"]["redis"]
        command = redis["command"]

        assert command[command.index("--appendonly") + 1] == "yes"
        assert redis["volumes"] == ["certworker-redis:" + command[command.index("--dir") + 1]]

    def test_traefik_reads_and_cannot_write(self, compose: Any) -> None:
        """
        Both volumes stand where the worker's YAML says, and a broken Traefik damages no certificate.
        """
        volumes = compose["services"]["traefik"]["volumes"]

        assert volumes == [
            "appwrite-certificates:/storage/certificates:ro",
            "appwrite-config:/storage/config:ro",
        ]

    def test_traefik_has_the_workers_uid(self, compose: Any, instructions: list[tuple[str, str]]) -> None:
        """
        Keys are 0600: another uid without capabilities reads none of them.
        """
        assert compose["services"]["traefik"]["user"] == dict(instructions)["USER"]


class TestTheChallengesWay:
    @pytest.fixture
    def routes(self, compose: Any) -> Any:
        """
        The dynamic configuration that compose lays into Traefik's volume.
        """
        return yaml.safe_load((TOP / compose["configs"]["acme-challenge"]["file"]).read_text())["http"]

    def test_it_beats_the_redirect_to_https(self, compose: Any, routes: Any) -> None:
        """
        The CA's question comes to port 80 before there is a certificate for port 443.
        """
        options = dict(
            option.removeprefix("--").split("=", 1) for option in compose["services"]["traefik"]["command"]
        )
        redirect = int(options["entrypoints.web.http.redirections.entrypoint.priority"])
        challenge = routes["routers"]["acme-challenge"]["priority"]

        assert redirect < challenge <= HIGHEST_PRIORITY

    def test_it_leads_to_the_workers_own_port(self, routes: Any, instructions: list[tuple[str, str]]) -> None:
        """
        Only the challenge's path is routed: health and metrics stay inside.
        """
        router = routes["routers"]["acme-challenge"]
        (server,) = routes["services"][router["service"]]["loadBalancer"]["servers"]

        assert router["rule"] == "PathPrefix(`/.well-known/acme-challenge/`)"
        assert server["url"] == f"http://{WORKER}:{dict(instructions)['EXPOSE']}"

    def test_it_stands_before_traefik_starts(self, compose: Any) -> None:
        """
        A router that comes later loses the first challenges.
        """
        after = compose["services"]["traefik"]["depends_on"]["traefik-routes"]["condition"]

        assert after == "service_completed_successfully"

    def test_it_is_no_label(self, compose: Any) -> None:
        """
        Traefik forgets the labels of containers that are not healthy yet.
        """
        assert not [name for name, service in compose["services"].items() if "labels" in service]


class TestTheImage:
    def test_it_does_not_run_as_root(self, instructions: list[tuple[str, str]]) -> None:
        """
        A number, not a name: an orchestrator that demands a non-root user can check it.
        """
        assert dict(instructions)["USER"] == "10001:10001"

    def test_its_user_owns_the_volumes(self, instructions: list[tuple[str, str]]) -> None:
        """
        A new volume takes its owner from the directory in the image, if that is there before VOLUME.
        """
        order = [instruction for instruction, _ in instructions]
        (prepares,) = [argument for _, argument in instructions if "chown" in argument]
        volumes = re.findall(r'"([^"]+)"', dict(instructions)["VOLUME"])

        assert volumes == ["/storage/certificates", "/storage/config", "/storage/state"]
        assert all(prepares.count(volume) == 2 for volume in volumes)
        assert instructions.index(("RUN", prepares)) < order.index("VOLUME") < order.index("USER")

    def test_it_starts_and_is_asked_without_a_shell(self, instructions: list[tuple[str, str]]) -> None:
        """
        The exec form: signals reach the worker itself, and the health check needs no /bin/sh.
        """
        stage = dict(instructions)

        assert stage["ENTRYPOINT"] == '["certworker"]'
        assert stage["CMD"] == '["work"]'
        assert stage["HEALTHCHECK"].endswith('CMD ["certworker", "health"]')
        assert stage["STOPSIGNAL"] == "SIGTERM"

    def test_it_tells_its_version(self, instructions: list[tuple[str, str]]) -> None:
        """
        An image in a registry says what it holds.
        """
        assert f'org.opencontainers.image.version="{__version__}"' in dict(instructions)["LABEL"]

    def test_it_builds_with_any_engine(self) -> None:
        """
        A syntax line would pull an image first; here-documents need a newer builder than many have.
        """
        text = (TOP / "Dockerfile").read_text()

        assert "# syntax" not in text
        assert "<<" not in text

    def test_it_is_made_of_what_it_needs(self) -> None:
        """
        Neither the history, nor .env, nor a virtual environment is sent to the engine.
        """
        first, *admitted = (
            line for line in (TOP / ".dockerignore").read_text().splitlines() if not line.startswith("#")
        )
        copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (TOP / "Dockerfile").read_text(), re.MULTILINE)

        assert first == "*"
        assert {line[1:] for line in admitted if line.startswith("!")} == set(" ".join(copied).split())


class TestTheLock:
    @pytest.fixture
    def lock(self) -> str:
        """
        The text of requirements.lock.
        """
        return (TOP / "requirements.lock").read_text()

    def test_every_package_is_pinned_by_hash(self, lock: str) -> None:
        """
        The image of tomorrow is made of the packages of today.
        """
        entries = re.split(r"^(?=[a-z])", lock, flags=re.MULTILINE)[1:]

        assert len(entries) > 20
        assert all(re.match(r"[a-z0-9.-]+==\S+ \\\n    --hash=sha256:", entry) for entry in entries)

    def test_it_names_no_index(self, lock: str) -> None:
        """
        Where packages come from is the business of whoever builds.
        """
        assert not re.search(r"://|--index|--extra-index|--find-links|--trusted-host", lock)

    def test_it_holds_what_the_product_asks_for(self, lock: str) -> None:
        """
        A dependency that was added without `make lock` would be missing in the image.
        """
        project = tomllib.loads((TOP / "pyproject.toml").read_text())
        asked = project["project"]["dependencies"] + project["build-system"]["requires"]
        names = {re.split(r"[\[<>=]", requirement)[0].lower() for requirement in asked}

        assert names <= set(re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE))


class TestTheMakefile:
    def test_make_alone_teaches(self) -> None:
        """
        The first thing that is typed in a clone lists what can be typed next.
        """
        shown = subprocess.run(["make"], cwd=TOP, capture_output=True, text=True, check=True).stdout

        for target in (
            "setup",
            "demo",
            "test",
            "test-containers",
            "test-interop",
            "lint",
            "bench",
            "lock",
            "clean",
        ):
            assert f"make {target} " in shown
