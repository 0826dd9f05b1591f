"""
The Dockerfile, the compose files and their guides, without a container engine.
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

from certworker.errors import catalog
from certworker.settings import load, variables
from certworker.tracing.setup import DISABLED, ENDPOINTS, EXPORTER
from certworker.version import __version__
from image import digests
from tests.servers.worker import WorkerProcess
from tests.test_structure import LIBRARIES

TOP = Path(__file__).parent.parent

WORKER = "appwrite-worker-certificates"

#: The variables of traces, which the SDK of OpenTelemetry reads.
OF_TRACES = {
    *ENDPOINTS,
    EXPORTER,
    DISABLED,
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_SERVICE_NAME",
}

#: The highest priority that Traefik 3 accepts for a router.
HIGHEST_PRIORITY = 2**63 - 1 - 1000


@pytest.fixture(scope="module")
def compose() -> Any:
    """
    Return docker-compose.yml, parsed.
    """
    return yaml.safe_load((TOP / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """
    Return the last stage of the Dockerfile, as pairs of instruction and argument.
    """
    text = (TOP / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    last_stage = max(number for number, line in enumerate(lines) if line.startswith("FROM "))
    pairs = (line.split(maxsplit=1) for line in lines[last_stage:])
    return [(instruction, " ".join(argument.split())) for instruction, argument in pairs]


def names_in(example: str) -> set[str]:
    """
    Return the variables of an .env file, including those that are commented out.
    """
    return set(re.findall(r"^#?\s?([A-Z_][A-Z0-9_]+)=", example, re.MULTILINE))


class TestTheWorker:
    def test_every_setting_reaches_the_container(self, compose: Any) -> None:
        """
        compose passes each variable of the settings to the container.
        """
        passed = {entry.split("=")[0] for entry in compose["services"][WORKER]["environment"]}

        assert passed == set(variables()) | OF_TRACES

    def test_the_example_has_each_variable_of_settings_compose_files_and_remedies(self) -> None:
        """
        `.env.example` has the variables of settings, compose files and remedies, and no others.
        """
        texts = [path.read_text() for path in TOP.glob("docker-compose*.yml")]
        texts += [f"{each.message_template} {each.remedy_template}" for each in catalog()]
        named = set(re.findall(r"\b(?:_APP|CERTWORKER)_[A-Z0-9_]*[A-Z0-9]\b", "\n".join(texts)))

        assert {"_APP_HTTP_PORT", "_APP_OPTIONS_FORCE_HTTPS"} < named
        assert names_in((TOP / ".env.example").read_text()) == named | set(variables()) | OF_TRACES

    def test_each_directory_it_writes_is_a_volume(self, compose: Any) -> None:
        """
        Each directory that the worker writes is a volume, because a container loses its data.
        """
        service = compose["services"][WORKER]
        directories = {
            entry.split("=")[1] for entry in service["environment"] if entry.split("=")[0].endswith("_DIR")
        }
        mounted = dict(reversed(volume.split(":")) for volume in service["volumes"])

        assert directories == set(mounted)
        assert set(mounted.values()) <= set(compose["volumes"])

    def test_it_has_no_unnecessary_privileges(self, compose: Any) -> None:
        """
        The worker has no capabilities, a read-only file system, and a port that only this machine reaches.
        """
        service = compose["services"][WORKER]

        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True
        assert ["127.0.0.1:${CERTWORKER_WEB_PORT:-8082}:8082"] == service["ports"]
        assert "CERTWORKER_WEB_ADDRESS=${CERTWORKER_WEB_ADDRESS:-0.0.0.0:8082}" in service["environment"]

    def test_only_the_worker_mounts_its_state(self, compose: Any) -> None:
        """
        No other service mounts the volume with the account key.
        """
        mounting = [
            name
            for name, service in compose["services"].items()
            if any(volume.startswith("certworker-state:") for volume in service.get("volumes", []))
        ]

        assert mounting == [WORKER]

    def test_it_can_be_scaled(self, compose: Any) -> None:
        """
        The worker has no fixed name, which would prevent a second replica, and its port may be a range.
        """
        assert "container_name" not in compose["services"][WORKER]
        assert "CERTWORKER_WEB_PORT" in compose["services"][WORKER]["ports"][0]


class TestTheNetworks:
    def test_redis_has_its_own_network(self, compose: Any) -> None:
        """
        Only the worker shares the internal network of Redis, which has no password.
        """
        members = {
            name for name, service in compose["services"].items() if "redis" in service.get("networks", [])
        }

        assert members == {"redis", WORKER}
        assert compose["services"]["redis"]["networks"] == ["redis"]
        assert compose["networks"]["redis"] == {"internal": True}

    def test_metrics_stay_in_the_container(self, compose: Any) -> None:
        """
        The metrics address is a loopback address, because other programs share a network with the worker.
        """
        environment = compose["services"][WORKER]["environment"]

        assert "CERTWORKER_METRICS_ADDRESS=${CERTWORKER_METRICS_ADDRESS:-127.0.0.1:8081}" in environment


class TestAllServices:
    def test_each_has_limited_privileges_and_resources(self, compose: Any) -> None:
        """
        Each service has no capabilities, a read-only file system, and limits of memory and processes.
        """
        for service in compose["services"].values():
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert service["read_only"] is True
            assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
            assert 0 < service["pids_limit"] <= 2048

    def test_logs_are_rotated(self, compose: Any) -> None:
        """
        The log of each service has a limited size.
        """
        for service in compose["services"].values():
            assert service["logging"]["driver"] == "json-file"
            assert set(service["logging"]["options"]) == {"max-size", "max-file"}

    def test_the_worker_starts_when_redis_answers(self, compose: Any) -> None:
        """
        The worker starts after the health check of Redis passes, so a start logs no error.
        """
        assert compose["services"][WORKER]["depends_on"] == {"redis": {"condition": "service_healthy"}}
        assert compose["services"]["redis"]["healthcheck"]["test"] == ["CMD", "redis-cli", "ping"]

    def test_redis_rejects_writes_before_the_kernel_kills_it(self, compose: Any) -> None:
        """
        The memory limit of Redis is below the limit of its container, and Redis evicts no key.
        """
        redis = compose["services"]["redis"]
        options = dict(pairwise(redis["command"]))

        assert (options["--maxmemory"], redis["mem_limit"]) == ("512mb", "1g")
        assert options["--maxmemory-policy"] == "noeviction"

    def test_no_service_mounts_the_engine_socket(self, compose: Any) -> None:
        """
        No service mounts the engine's socket, which gives root access to the host.
        """
        assert "docker.sock" not in str(compose)

    def test_services_restart_after_a_reboot(self, compose: Any) -> None:
        """
        Each service restarts, except the one that runs once.
        """
        restarted = {
            name
            for name, service in compose["services"].items()
            if service.get("restart") == "unless-stopped"
        }

        assert set(compose["services"]) - restarted == {"traefik-routes"}

    def test_redis_persists_its_data(self, compose: Any) -> None:
        """
        Redis writes queued jobs and the agenda to its volume.
        """
        redis = compose["services"]["redis"]
        command = redis["command"]

        assert command[command.index("--appendonly") + 1] == "yes"
        assert redis["volumes"] == ["certworker-redis:" + command[command.index("--dir") + 1]]

    def test_traefik_mounts_both_volumes_read_only(self, compose: Any) -> None:
        """
        Traefik mounts both volumes read-only, at the paths in the worker's YAML.
        """
        volumes = compose["services"]["traefik"]["volumes"]

        assert volumes == [
            "appwrite-certificates:/storage/certificates:ro",
            "appwrite-config:/storage/config:ro",
        ]

    def test_traefik_has_the_workers_uid(self, compose: Any, instructions: list[tuple[str, str]]) -> None:
        """
        Traefik runs with the uid of the worker, because only the owner can read a key.
        """
        assert compose["services"]["traefik"]["user"] == dict(instructions)["USER"]


class TestChallengeRoute:
    @pytest.fixture
    def routes(self, compose: Any) -> Any:
        """
        Return the dynamic configuration that compose mounts into Traefik's volume.
        """
        return yaml.safe_load((TOP / compose["configs"]["acme-challenge"]["file"]).read_text())["http"]

    def test_it_has_a_higher_priority_than_the_redirect_to_https(self, compose: Any, routes: Any) -> None:
        """
        The route has a higher priority than the redirect, because the CA validates on port 80.
        """
        options = dict(
            option.removeprefix("--").split("=", 1) for option in compose["services"]["traefik"]["command"]
        )
        redirect = int(options["entrypoints.web.http.redirections.entrypoint.priority"])
        challenge = routes["routers"]["acme-challenge"]["priority"]

        assert redirect < challenge <= HIGHEST_PRIORITY

    def test_it_leads_to_the_worker_port(self, routes: Any, instructions: list[tuple[str, str]]) -> None:
        """
        The route has only the path of the challenges, so health and metrics are not public.
        """
        router = routes["routers"]["acme-challenge"]
        (server,) = routes["services"][router["service"]]["loadBalancer"]["servers"]

        assert router["rule"] == "PathPrefix(`/.well-known/acme-challenge/`)"
        assert server["url"] == f"http://{WORKER}:{dict(instructions)['EXPOSE']}"

    def test_it_exists_before_traefik_starts(self, compose: Any) -> None:
        """
        Traefik starts after the service that writes the route.
        """
        after = compose["services"]["traefik"]["depends_on"]["traefik-routes"]["condition"]

        assert after == "service_completed_successfully"

    def test_it_is_not_a_label(self, compose: Any) -> None:
        """
        No service has labels, because Traefik ignores those of a container that is not healthy.
        """
        assert not [name for name, service in compose["services"].items() if "labels" in service]


class TestTheImage:
    def test_it_does_not_run_as_root(self, instructions: list[tuple[str, str]]) -> None:
        """
        The user is a number, so that an orchestrator can check that it is not root.
        """
        assert dict(instructions)["USER"] == "10001:10001"

    def test_its_user_owns_the_volumes(self, instructions: list[tuple[str, str]]) -> None:
        """
        The Dockerfile sets the owner of each directory before VOLUME, from which a new volume takes it.
        """
        order = [instruction for instruction, _ in instructions]
        (prepares,) = [argument for _, argument in instructions if "chown" in argument]
        volumes = re.findall(r'"([^"]+)"', dict(instructions)["VOLUME"])

        assert volumes == ["/storage/certificates", "/storage/config", "/storage/state"]
        assert all(prepares.count(volume) == 2 for volume in volumes)
        assert instructions.index(("RUN", prepares)) < order.index("VOLUME") < order.index("USER")

    def test_start_and_health_check_need_no_shell(self, instructions: list[tuple[str, str]]) -> None:
        """
        Both commands have the exec form, so signals reach the worker, and the image needs no /bin/sh.
        """
        stage = dict(instructions)

        assert stage["ENTRYPOINT"] == '["certworker"]'
        assert stage["CMD"] == '["work"]'
        assert stage["HEALTHCHECK"].endswith('CMD ["certworker", "health"]')
        assert stage["STOPSIGNAL"] == "SIGTERM"

    def test_it_reports_its_version(self, instructions: list[tuple[str, str]]) -> None:
        """
        A label of the image has the version of certworker.
        """
        assert f'org.opencontainers.image.version="{__version__}"' in dict(instructions)["LABEL"]

    def test_it_builds_with_any_engine(self) -> None:
        """
        The Dockerfile has no syntax line, which pulls an image, and no here-document, which needs a new
        builder.
        """
        text = (TOP / "Dockerfile").read_text()

        assert "# syntax" not in text
        assert "<<" not in text

    def test_its_build_context_has_only_the_copied_files(self) -> None:
        """
        The build context has the files that the Dockerfile copies, and no others.
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
        Return the text of requirements.lock.
        """
        return (TOP / "requirements.lock").read_text()

    def test_every_package_is_pinned_by_hash(self, lock: str) -> None:
        """
        Each package has a version and a hash, so a later build uses the same packages.
        """
        entries = re.split(r"^(?=[a-z])", lock, flags=re.MULTILINE)[1:]

        assert len(entries) > 20
        assert all(re.match(r"[a-z0-9.-]+==\S+ \\\n    --hash=sha256:", entry) for entry in entries)

    def test_it_names_no_index(self, lock: str) -> None:
        """
        The lock file names no index, so the builder selects it.
        """
        assert not re.search(r"://|--index|--extra-index|--find-links|--trusted-host", lock)

    def test_it_has_each_requirement_of_the_project(self, lock: str) -> None:
        """
        The lock file has each dependency of pyproject.toml.
        """
        project = tomllib.loads((TOP / "pyproject.toml").read_text())
        asked = project["project"]["dependencies"] + project["build-system"]["requires"]
        asked += project["project"]["optional-dependencies"]["lexicon"]
        names = {re.split(r"[\[<>=]", requirement)[0].lower() for requirement in asked}

        assert names <= set(re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE))


class TestTheGuide:
    """
    The guide docs/guides/docker.md.
    """

    PAGE = TOP / "docs" / "guides" / "docker.md"

    def test_its_limits_are_those_of_the_file(self, compose: Any) -> None:
        """
        The table of the guide has the limits of docker-compose.yml.
        """
        rows = dict(re.findall(r"^\| (\w+) \| (\d+ GiB.*) \|$", self.PAGE.read_text(), re.M))
        names = {**{name.capitalize(): name for name in compose["services"]}, "certworker": WORKER}
        for title, name in ((title, names[title]) for title in rows):
            service = compose["services"][name]
            memory, _, processes = rows[title].rpartition(" | ")

            assert memory.startswith(service["mem_limit"].replace("g", " GiB"))
            assert processes == str(service["pids_limit"])

    def test_its_network_is_that_of_the_file(self, compose: Any) -> None:
        """
        The guide names the Redis network of docker-compose.yml.
        """
        assert f"name: {compose['name']}_redis\n" in self.PAGE.read_text()

    def test_its_commands_are_targets_of_the_makefile(self) -> None:
        """
        Each `make` command of the guide is a target. No test runs them, because they need registries.
        """
        targets = set(re.findall(r"^make ([a-z-]+)", self.PAGE.read_text(), re.M))
        makefile = (TOP / "Makefile").read_text()

        assert targets == {"images", "audit", "lock"}
        assert [] == [each for each in targets if f"\n{each}: " not in makefile]
        assert "image/digests.py $(IMAGES) Dockerfile docker-compose.yml" in makefile

    def test_each_link_leads_to_a_file(self) -> None:
        """
        Each relative link leads to an existing file.
        """
        targets = re.findall(r"\]\((?!https?://)([^)#]+)", self.PAGE.read_text())

        assert [] == [target for target in targets if not (self.PAGE.parent / target).exists()]

    def test_its_example_of_a_secret_is_consistent(self) -> None:
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
        The example selects the staging CA, whose limits allow mistakes.
        """
        values = dict(re.findall(r"^(\w+)=(.*)$", (TOP / ".env.example").read_text(), re.M))

        assert load(values).authority.label == "letsencrypt-staging"

    def test_its_commands_lead_to_the_files_that_compose_reads(self, tmp_path: Path) -> None:
        """
        The commands of the page create the files that compose reads.
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
        The settings of the section select the development CA and a name below `.localhost`.
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
        Each dependency has both bounds. `make test-lowest` runs the tests with the lowest versions.
        """
        project = tomllib.loads((TOP / "pyproject.toml").read_text())
        asked = project["project"]["dependencies"] + project["dependency-groups"]["test"]
        for extra in ("lexicon", "otel", "web"):
            asked += project["project"]["optional-dependencies"][extra]

        assert [] == [each for each in asked if not re.search(r">=[\d.]+,<\d", each)]

    def test_every_imported_package_is_a_requirement(self) -> None:
        """
        pyproject.toml lists each package that certworker imports, and no other.
        """
        project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"]
        requirements = project["dependencies"] + extras["lexicon"] + extras["otel"] + extras["web"]
        asked = {re.split(r"[\[<>=]", each)[0].lower() for each in requirements}
        names = {
            "dns": "dnspython",
            "lexicon": "dns-lexicon",
            "opentelemetry": "opentelemetry-sdk",
            "yaml": "pyyaml",
        }
        # The exporter is a part of the module opentelemetry, rq-dashboard imports six, and Flask brings the
        # others.
        not_imported, brought = {"opentelemetry-exporter-otlp-proto-http", "six"}, {"jinja2", "werkzeug"}

        imported = {names.get(each, each.replace("_", "-")) for each in LIBRARIES}
        assert imported - brought == asked - not_imported


class TestTheDigests:
    DIGEST = "sha256:" + "a" * 64

    def test_every_image_has_one(self, compose: Any) -> None:
        """
        Each image has a digest, because a tag can change.
        """
        dockerfile = re.findall(r"^FROM (\S+)", (TOP / "Dockerfile").read_text(), re.MULTILINE)
        named = {service["image"] for service in compose["services"].values()} - {"certworker"}

        assert len(set(dockerfile)) == 1
        assert [] == [each for each in (*dockerfile, *named) if not digests.PINNED.fullmatch(each)]

    def test_every_action_has_one(self) -> None:
        """
        Each action has a commit, because a tag can change, and an action has the rights of the workflow.
        """
        workflows = [path.read_text() for path in (TOP / ".github" / "workflows").glob("*.yml")]
        used = [each for text in workflows for each in re.findall(r"uses: (\S+)", text)]

        assert used
        assert [] == [each for each in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each)]

    def test_the_packages_are_built_on_debian_12(self) -> None:
        """
        The workflows build the packages on Debian 12. The extra `demo` has no Redis for the Python of Debian
        13.
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

    def test_dependabot_updates_all_of_them(self) -> None:
        """
        Dependabot updates images, compose files, actions and Python packages.
        """
        wanted = yaml.safe_load((TOP / ".github" / "dependabot.yml").read_text())["updates"]

        assert {"docker", "docker-compose", "github-actions", "pip"} <= {
            each["package-ecosystem"] for each in wanted
        }

    @pytest.fixture
    def files(self, tmp_path: Path) -> list[str]:
        """
        Return the paths of two files that pin images.
        """
        (tmp_path / "Dockerfile").write_text(
            f"FROM python:3.13.1-slim@{self.DIGEST} AS build\nFROM scratch\n"
        )
        (tmp_path / "compose.yml").write_text(
            f"image: redis:8.1@{self.DIGEST}\nimage: quay.io/x/y:1@{self.DIGEST}\n"
        )
        return [str(tmp_path / name) for name in ("Dockerfile", "compose.yml")]

    def test_they_are_updated_from_the_registry(
        self, files: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """
        `make images` updates each digest, and changes only the tags in its arguments.
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

    def test_an_unknown_image_or_an_outage_changes_nothing(
        self, files: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """
        After an error, no file has changed.
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

    def test_a_registry_gets_the_requests_of_docker(self) -> None:
        """
        The program requests a token, and then the digest of the index, which has the image of each platform.
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
        A worker process of the tests inherits the variable that starts coverage.
        """
        project = tomllib.loads((TOP / "pyproject.toml").read_text())
        monkeypatch.setenv("COVERAGE_PROCESS_CONFIG", "its settings")
        worker = WorkerProcess({"CERTWORKER_HTTP_ADDRESS": "127.0.0.1:8080"}, tmp_path / "log")

        assert "subprocess" in project["tool"]["coverage"]["run"]["patch"]
        assert worker.environment["COVERAGE_PROCESS_CONFIG"] == "its settings"

    def test_make_without_a_target_lists_the_targets(self) -> None:
        """
        `make` without arguments prints each target.
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
