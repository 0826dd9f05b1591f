"""
The files that make the containers: what can be known of them without an engine.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from certworker.errors import catalogue
from certworker.settings import load, variables
from certworker.version import __version__
from image import digests
from tests.servers.worker import WorkerProcess
from tests.test_structure import LIBRARIES

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

        assert passed == set(variables())

    def test_the_example_has_each_variable_of_settings_compose_files_and_remedies(self) -> None:
        """
        The user finds what a remedy or a compose file names in `.env.example`, and nothing else is there.
        """
        texts = [path.read_text() for path in TOP.glob("docker-compose*.yml")]
        texts += [f"{each.message_template} {each.remedy_template}" for each in catalogue()]
        named = set(re.findall(r"\b(?:_APP|CERTWORKER)_[A-Z0-9_]*[A-Z0-9]\b", "\n".join(texts)))

        assert {"_APP_HTTP_PORT", "_APP_OPTIONS_FORCE_HTTPS"} < named
        assert names_in((TOP / ".env.example").read_text()) == named | set(variables())

    def test_each_directory_it_writes_is_a_volume(self, compose: Any) -> None:
        """
        Data in the container is lost with it: the account and the certificates.
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


class TestTheNetworks:
    def test_redis_has_one_of_its_own(self, compose: Any) -> None:
        """
        It has no password, and Traefik speaks with the whole Internet.
        """
        members = {
            name for name, service in compose["services"].items() if "redis" in service.get("networks", [])
        }

        assert members == {"redis", WORKER}
        assert compose["services"]["redis"]["networks"] == ["redis"]
        assert compose["networks"]["redis"] == {"internal": True}

    def test_metrics_stay_in_the_container(self, compose: Any) -> None:
        """
        A program that shares a network with the worker reaches its other port.
        """
        environment = compose["services"][WORKER]["environment"]

        assert "CERTWORKER_METRICS_ADDRESS=${CERTWORKER_METRICS_ADDRESS:-127.0.0.1:8081}" in environment


class TestTheCompany:
    def test_each_may_do_and_take_no_more_than_it_needs(self, compose: Any) -> None:
        """
        Whatever a service turns into, the machine and its neighbors stay.
        """
        for service in compose["services"].values():
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert service["read_only"] is True
            assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
            assert 0 < service["pids_limit"] <= 2048

    def test_logs_are_rotated(self, compose: Any) -> None:
        """
        A log without a limit fills the disk.
        """
        for service in compose["services"].values():
            assert service["logging"]["driver"] == "json-file"
            assert set(service["logging"]["options"]) == {"max-size", "max-file"}

    def test_the_worker_starts_when_redis_answers(self, compose: Any) -> None:
        """
        A start has no errors that pass by themselves.
        """
        assert compose["services"][WORKER]["depends_on"] == {"redis": {"condition": "service_healthy"}}
        assert compose["services"]["redis"]["healthcheck"]["test"] == ["CMD", "redis-cli", "ping"]

    def test_redis_refuses_before_the_kernel_kills_it(self, compose: Any) -> None:
        """
        A full Redis is a failure with a remedy; one that is killed forgets the last second.
        """
        redis = compose["services"]["redis"]
        options = dict(pairwise(redis["command"]))

        assert (options["--maxmemory"], redis["mem_limit"]) == ("512mb", "1g")
        assert options["--maxmemory-policy"] == "noeviction"

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

    def test_redis_persists_its_data(self, compose: Any) -> None:
        """
        Queued jobs and the agenda outlive a restart.
        """
        redis = compose["services"]["redis"]
        command = redis["command"]

        assert command[command.index("--appendonly") + 1] == "yes"
        assert redis["volumes"] == ["certworker-redis:" + command[command.index("--dir") + 1]]

    def test_traefik_reads_and_cannot_write(self, compose: Any) -> None:
        """
        Both volumes are at the paths of the worker's YAML, and a broken Traefik damages no certificate.
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

    def test_it_reports_its_version(self, instructions: list[tuple[str, str]]) -> None:
        """
        An image in a registry describes its content.
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
        The builder decides from where packages come.
        """
        assert not re.search(r"://|--index|--extra-index|--find-links|--trusted-host", lock)

    def test_it_holds_what_the_product_asks_for(self, lock: str) -> None:
        """
        A dependency that was added without `make lock` would be missing in the image.
        """
        project = tomllib.loads((TOP / "pyproject.toml").read_text())
        asked = project["project"]["dependencies"] + project["build-system"]["requires"]
        asked += project["project"]["optional-dependencies"]["lexicon"]
        names = {re.split(r"[\[<>=]", requirement)[0].lower() for requirement in asked}

        assert names <= set(re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE))


class TestTheGuide:
    """
    docs/guides/docker.md.
    """

    PAGE = TOP / "docs" / "guides" / "docker.md"

    def test_its_limits_are_those_of_the_file(self, compose: Any) -> None:
        """
        An operator plans a machine with them.
        """
        rows = dict(
            re.findall(r"^\| (Redis|Traefik|certworker) \| (\d+ GiB.*) \|$", self.PAGE.read_text(), re.M)
        )
        for title, name in (("Redis", "redis"), ("Traefik", "traefik"), ("certworker", WORKER)):
            service = compose["services"][name]
            memory, _, processes = rows[title].rpartition(" | ")

            assert memory.startswith(service["mem_limit"].replace("g", " GiB"))
            assert processes == str(service["pids_limit"])

    def test_its_network_is_that_of_the_file(self, compose: Any) -> None:
        """
        A program of another project finds Redis by this name.
        """
        assert f"name: {compose['name']}_redis\n" in self.PAGE.read_text()

    def test_its_commands_are_targets_of_the_makefile(self) -> None:
        """
        They ask registries, so that no test can run them everywhere; what they run is tested below.
        """
        targets = set(re.findall(r"^make ([a-z-]+)", self.PAGE.read_text(), re.M))
        makefile = (TOP / "Makefile").read_text()

        assert targets == {"images", "audit", "lock"}
        assert [] == [each for each in targets if f"\n{each}: " not in makefile]
        assert "image/digests.py $(IMAGES) Dockerfile docker-compose.yml" in makefile

    def test_each_link_leads_to_a_file(self) -> None:
        """
        A dead link is a broken promise.
        """
        targets = re.findall(r"\]\((?!https?://)([^)#]+)", self.PAGE.read_text())

        assert [] == [target for target in targets if not (self.PAGE.parent / target).exists()]

    def test_its_example_of_a_secret_is_whole(self) -> None:
        """
        The setting, the secret of the service and the file have the same name.
        """
        blocks = re.findall(r"```yaml\n(.*?)```", self.PAGE.read_text(), re.S)
        (example,) = (block for block in map(yaml.safe_load, blocks) if "secrets" in block)
        service = example["services"][WORKER]
        variable, _, path = service["environment"][0].partition("=")

        assert variable in variables()
        assert [path.removeprefix("/run/secrets/")] == service["secrets"] == list(example["secrets"])


class TestTheFirstTry:
    def test_it_is_at_the_staging_ca(self) -> None:
        """
        A newcomer's mistakes use up the limits of a CA that has generous ones.
        """
        values = dict(re.findall(r"^(\w+)=(.*)$", (TOP / ".env.example").read_text(), re.M))

        assert load(values).authority.label == "letsencrypt-staging"

    def test_its_commands_lead_to_the_files_that_compose_reads(self, tmp_path: Path) -> None:
        """
        The block of the page that makes them, in a copy of the project.
        """
        page = (TOP / "docs" / "getting-started" / "docker.md").read_text()
        blocks = re.findall(r"```sh\n(.*?)```", page, re.S)
        (commands,) = (block for block in blocks if "make-secrets" in block)
        shutil.copytree(TOP / "contrib" / "standalone", tmp_path / "contrib" / "standalone")
        shutil.copy(TOP / ".env.example", tmp_path)
        subprocess.run(["sh", "-e", "-c", commands], cwd=tmp_path, check=True, capture_output=True)
        settings = (tmp_path / ".env").read_text().splitlines()

        assert settings[-1] == "COMPOSE_FILE=docker-compose.standalone.yml"
        assert (TOP / settings[-1].partition("=")[2]).is_file()
        assert (tmp_path / "secrets" / "redis-users.acl").is_file()

    def test_without_a_public_name_the_development_ca_takes_the_name_of_the_page(self) -> None:
        """
        The settings of the section on top of the example are valid, and its name needs no public suffix.
        """
        page = (TOP / "docs" / "getting-started" / "docker.md").read_text()
        section = page.partition("## Try it without a public name")[2].partition("## ")[0]
        values = dict(re.findall(r"^(\w+)=(.*)$", (TOP / ".env.example").read_text(), re.M))
        settings = load(values | dict(re.findall(r"`(\w+)=(\S+)`", section)))

        assert settings.authority.kind == "development"
        assert settings.domains == ("shop.localhost",)
        assert "https://shop.localhost" in section


class TestTheBounds:
    def test_every_package_has_a_lowest_and_a_highest_version(self) -> None:
        """
        `make test-lowest` runs the suite at the lower end, the image and the suite at the upper one.
        """
        project = tomllib.loads((TOP / "pyproject.toml").read_text())
        asked = project["project"]["dependencies"] + project["dependency-groups"]["test"]
        asked += project["project"]["optional-dependencies"]["lexicon"]

        assert [] == [each for each in asked if not re.search(r">=[\d.]+,<\d", each)]

    def test_every_package_that_is_imported_is_asked_for(self) -> None:
        """
        A dependency of another package has no bounds here.
        """
        project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
        requirements = project["dependencies"] + project["optional-dependencies"]["lexicon"]
        asked = {re.split(r"[\[<>=]", each)[0].lower() for each in requirements}
        names = {"dns": "dnspython", "lexicon": "dns-lexicon", "yaml": "pyyaml"}

        assert {names.get(each, each.replace("_", "-")) for each in LIBRARIES} == asked


class TestTheDigests:
    DIGEST = "sha256:" + "a" * 64

    def test_every_image_has_one(self, compose: Any) -> None:
        """
        A tag may lead to another image tomorrow.
        """
        dockerfile = re.findall(r"^FROM (\S+)", (TOP / "Dockerfile").read_text(), re.MULTILINE)
        named = {service["image"] for service in compose["services"].values()} - {"certworker"}

        assert len(set(dockerfile)) == 1
        assert [] == [each for each in (*dockerfile, *named) if not digests.PINNED.fullmatch(each)]

    def test_every_action_has_one(self) -> None:
        """
        So may the tag of an action, which runs with the rights of the workflow.
        """
        workflows = [path.read_text() for path in (TOP / ".github" / "workflows").glob("*.yml")]
        used = [each for text in workflows for each in re.findall(r"uses: (\S+)", text)]

        assert used
        assert [] == [each for each in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each)]

    def test_the_packages_are_built_where_the_demo_brings_its_redis(self) -> None:
        """
        The extra `demo` has a Redis for the Python of Debian 12, and none for that of Debian 13.
        """
        workflows = [
            yaml.safe_load(path.read_text()) for path in (TOP / ".github" / "workflows").glob("*.yml")
        ]
        building = [
            job["container"]
            for workflow in workflows
            for job in workflow["jobs"].values()
            if any(step.get("run") == ".ci/run dist" for step in job["steps"])
        ]

        assert building == ["debian:12"] * 2

    def test_all_of_them_are_raised_by_a_machine(self) -> None:
        """
        What is pinned and never raised keeps its weaknesses.
        """
        wanted = yaml.safe_load((TOP / ".github" / "dependabot.yml").read_text())["updates"]

        assert {"docker", "docker-compose", "github-actions", "pip"} <= {
            each["package-ecosystem"] for each in wanted
        }

    @pytest.fixture
    def files(self, tmp_path: Path) -> list[str]:
        """
        Two files that pin images.
        """
        (tmp_path / "Dockerfile").write_text(
            f"FROM python:3.13.1-slim@{self.DIGEST} AS build\nFROM scratch\n"
        )
        (tmp_path / "compose.yml").write_text(
            f"image: redis:8.1@{self.DIGEST}\nimage: quay.io/x/y:1@{self.DIGEST}\n"
        )
        return [str(tmp_path / name) for name in ("Dockerfile", "compose.yml")]

    def test_they_are_raised_to_what_the_registry_says(
        self, files: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """
        `make images` keeps the tags, but those that it is given.
        """

        def resolve(image: str, tag: str) -> str:
            return "sha256:" + sha256(f"{image}:{tag}".encode()).hexdigest()

        assert 0 == digests.main(["redis:8.2", *files], resolve)
        first, second = (Path(file).read_text() for file in files)
        assert first == f"FROM python:3.13.1-slim@{resolve('python', '3.13.1-slim')} AS build\nFROM scratch\n"
        assert f"redis:8.2@{resolve('redis', '8.2')}\n" in second
        assert 3 == capsys.readouterr().out.count("(changed)")
        assert 0 == digests.main(files, resolve)
        assert 0 == capsys.readouterr().out.count("(changed)")

    def test_a_slip_or_an_outage_changes_nothing(
        self, files: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """
        Half of the files at new digests would be worse than none.
        """

        def away(image: str, tag: str) -> str:
            if image == "redis":
                raise OSError("no route to host")
            return "sha256:" + "b" * 64

        before = [Path(file).read_text() for file in files]
        assert 1 == digests.main(files, away)
        assert 1 == digests.main(["radis:8.2", *files], away)

        assert before == [Path(file).read_text() for file in files]
        message = capsys.readouterr().err
        assert "nothing is changed: no route to host" in message
        assert "no file has radis; they have python, quay.io/x/y, redis" in message

    def test_a_registry_is_asked_as_docker_asks_it(self) -> None:
        """
        A token first, then the digest of the index, which has the image of each kind of processor.
        """

        digest, asked = self.DIGEST, []

        class Registry(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"token": "secret"}')

            def do_HEAD(self) -> None:
                asked.append(f"{self.path} {self.headers['Authorization']} {self.headers['Accept']}")
                self.send_response(200)
                self.send_header("Docker-Content-Digest", digest)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Registry) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            here = f"http://127.0.0.1:{server.server_port}"
            found = digests.digest_of("redis", "8.1", here, f"{here}/token?service=x")
            server.shutdown()

        assert digest == found
        assert asked == [
            "/token?service=x&scope=repository:library/redis:pull",
            f"/v2/library/redis/manifests/8.1 Bearer secret {', '.join(digests.INDEX)}",
        ]


class TestTheMakefile:
    def test_coverage_counts_the_processes_that_tests_start(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        coverage starts in each process that inherits its variable.
        """
        project = tomllib.loads((TOP / "pyproject.toml").read_text())
        monkeypatch.setenv("COVERAGE_PROCESS_CONFIG", "its settings")
        worker = WorkerProcess({"CERTWORKER_HTTP_ADDRESS": "127.0.0.1:8080"}, tmp_path / "log")

        assert "subprocess" in project["tool"]["coverage"]["run"]["patch"]
        assert worker.environment["COVERAGE_PROCESS_CONFIG"] == "its settings"

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
            "images",
            "clean",
        ):
            assert f"make {target} " in shown
